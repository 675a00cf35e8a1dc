"""SavedModel -> LiteRT (TensorFlow Lite), for phones, microcontrollers and browsers."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_metric.export.portable.single_file import Portable, Source, free, keep, open_source
from keras_metric.export.saved_models.graph import quiet_tensorflow

LIMITS = {"float32": 1e-4, "float16": 1e-2, "dynamic": 5e-2, "int8": 5e-2}


def to_litert(
    saved: str | Path,
    path: str | Path,
    *,
    signature: str = "serving_default",
    precision: str = "float32",
    samples=None,
    limit: float | None = None,
) -> Portable:
    """Write a signature of a SavedModel as a `.tflite` file; its outputs are compared first.

    The file keeps the names of inputs and outputs, and takes batches (and, for a map, images) of
    any size. The LiteRT interpreter runs it and is compared with the SavedModel.

    Args:
        saved: folder of a version, or of versions, as `saved_model` writes it.
        path: the file to write; it must not exist.
        signature: a signature whose inputs and outputs are numbers.
        precision: of the weights: "float32"; "float16"; "dynamic", int8 with activations in
            float32; "int8", activations too, whose ranges are taken from `samples`. Inputs and
            outputs stay float32.
        samples: images as the model takes them, (N, H, W, C), or a dict of them by input; the
            comparison is made on them. By default noise in the model's pixel range.
        limit: largest difference that is accepted, relative to the largest answer above 1; by
            default 1e-4, 1e-2, 5e-2 and 5e-2.

    Raises:
        FileExistsError: `path` exists.
        ImportError: LiteRT is missing.
        ValueError: an option does not fit, or "int8" without samples.
        RuntimeError: LiteRT has no operation for a part of the model, or its outputs differ.
    """
    if precision not in LIMITS:
        raise ValueError(
            f"Unknown precision. Expected: one of {', '.join(LIMITS)}. Received: {precision!r}."
        )
    if precision == "int8" and samples is None:
        raise ValueError(
            "int8 takes the ranges of activations from images. Expected: samples, some 100 images "
            "as the model meets them. Received: samples=None."
        )
    free(path)
    interpreter = _interpreter()
    source = open_source(saved, signature, samples)
    content = _converted(source, precision)

    def run(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return interpreter(model_content=content).get_signature_runner(signature)(**inputs)

    return keep(source, path, content, run, LIMITS[precision] if limit is None else limit)


def _interpreter():
    try:
        from ai_edge_litert.interpreter import Interpreter
    except ImportError as error:
        raise ImportError(
            "LiteRT runs the file that is to be checked. Expected: pip install "
            '"keras-metric[litert]". Received: no package ai_edge_litert.'
        ) from error
    return Interpreter


def _converted(source: Source, precision: str) -> bytes:
    import tensorflow as tf

    with quiet_tensorflow():
        converter = tf.lite.TFLiteConverter.from_saved_model(
            str(source.folder), signature_keys=[source.signature], tags=["serve"]
        )
        if precision != "float32":
            converter.optimizations = [tf.lite.Optimize.DEFAULT]
        if precision == "float16":
            converter.target_spec.supported_types = [tf.float16]
        if precision == "int8":
            converter.representative_dataset = lambda: _one_by_one(source)
        try:
            return converter.convert()
        except Exception as error:  # the converter raises a class of its own, without a base
            raise RuntimeError(
                f"LiteRT cannot express the signature {source.signature!r}. Expected: operations "
                f"that it has. Received: {str(error).strip().splitlines()[-1][:200]}"
            ) from error


def _one_by_one(source: Source) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    for place in range(len(next(iter(source.samples.values())))):
        one = {name: array[place : place + 1] for name, array in source.samples.items()}
        yield source.signature, one
