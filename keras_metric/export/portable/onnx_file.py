"""SavedModel -> ONNX, for ONNX Runtime and other runtimes."""

import logging
from pathlib import Path

import numpy as np

from keras_metric.export.portable.single_file import Portable, Source, free, keep, open_source

OPSET = 18
LIMIT = 1e-4


def to_onnx(
    saved: str | Path,
    path: str | Path,
    *,
    signature: str = "serving_default",
    samples=None,
    opset: int = OPSET,
    limit: float = LIMIT,
) -> Portable:
    """Write a signature of a SavedModel as an `.onnx` file; its outputs are compared first.

    The file keeps the names of inputs and outputs, and takes batches (and, for a map, images) of
    any size. ONNX Runtime runs it on the CPU and is compared with the SavedModel.

    Args:
        saved: folder of a version, or of versions, as `saved_model` writes it.
        path: the file to write; it must not exist.
        signature: a signature whose inputs and outputs are numbers.
        samples: images as the model takes them, (N, H, W, C), or a dict of them by input; the
            comparison is made on them. By default noise in the model's pixel range.
        opset: version of the ONNX operators.
        limit: largest difference that is accepted, relative to the largest answer above 1.

    Raises:
        FileExistsError: `path` exists.
        ImportError: a package of the extra `onnx` is missing.
        ValueError: the signature or the samples do not match.
        RuntimeError: ONNX has no operation for a part of the model, or its outputs differ.
    """
    free(path)
    _refuse_missing()
    source = open_source(saved, signature, samples)
    content = _converted(source, opset)
    opened = _opened(content, source, opset)
    names = [output.name for output in opened.get_outputs()]

    def run(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        return dict(zip(names, map(np.asarray, opened.run(names, inputs)), strict=True))

    return keep(source, path, content, run, limit)


def _refuse_missing() -> None:
    from importlib.util import find_spec

    missing = [name for name in ("tf2onnx", "onnx", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise ImportError(
            'ONNX files are written by tf2onnx. Expected: pip install "keras-metric[onnx]". '
            f"Received: no package {', '.join(missing)}."
        )


def _converted(source: Source, opset: int) -> bytes:
    import tensorflow as tf
    import tf2onnx

    names = list(source.specs)
    wanted = [tf.TensorSpec(source.specs[n].shape, source.specs[n].dtype, name=n) for n in names]

    @tf.function(input_signature=wanted)
    def answer(*tensors):
        return source.function(**dict(zip(names, tensors, strict=True)))

    logger = logging.getLogger("tf2onnx")
    level = logger.level
    logger.setLevel(logging.CRITICAL)  # what it logs is said in the error
    try:
        model, _ = tf2onnx.convert.from_function(
            answer,
            input_signature=wanted,
            opset=opset,
            custom_op_handlers={"Erfc": (_one_minus_erf, [])},
        )
    except (ValueError, RuntimeError, NotImplementedError) as error:
        raise _inexpressible(source, opset, error) from error
    finally:
        logger.setLevel(level)
    return model.SerializeToString()


def _one_minus_erf(graph, node, name: str, arguments: list) -> None:
    """Erfc, in which TensorFlow computes the exact GELU and which ONNX does not have."""
    from tf2onnx import utils

    node.type = "Erf"
    erf = node.output[0]
    one = graph.make_const(utils.make_name("one"), np.array(1, np.float32))
    kept = {"dtypes": [graph.get_dtype(erf)], "shapes": [graph.get_shape(erf)]}
    graph.insert_node_on_output(graph.make_node("Sub", [one.output[0], erf], **kept), erf)


def _opened(content: bytes, source: Source, opset: int):
    """A session of ONNX Runtime.

    Raises:
        RuntimeError: an operation is left that ONNX does not have.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 4
    try:
        return onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its exceptions have no base of their own
        raise _inexpressible(source, opset, error) from error


def _inexpressible(source: Source, opset: int, error: Exception) -> RuntimeError:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return RuntimeError(
        f"ONNX cannot express the signature {source.signature!r}. Expected: operations that "
        f"opset {opset} has. Received: {lines[-1][-200:]}"
    )
