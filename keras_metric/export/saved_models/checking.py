"""Reads a SavedModel back, as a server does, and holds its answers against the Keras model's."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import tensorflow as tf

from keras_metric.export.quiet import quiet_tensorflow
from keras_metric.export.saved_models.signatures import Endpoint

TOLERANCE = 1e-5
_BATCHES = (3, 0)
_SIZES = (32, 64, 128, 256, 512)  # tried in this order where the model takes any size


def check(folder: Path, expected: dict[str, Endpoint], *, pixel_range: tuple[float, float]) -> None:
    """Compares every signature in `folder` with its endpoint run by Keras.

    Raises:
        RuntimeError: an answer differs by more than 1e-5, relative to the largest answer above 1.
    """
    asked = {}
    with session(folder) as served:
        for name, endpoint in expected.items():
            for count in _BATCHES:
                inputs, wanted = _probed(endpoint, count, pixel_range)
                compare(name, served(name, inputs), wanted)
                asked.setdefault(name, inputs)
    return asked


@contextmanager
def session(folder: str | Path) -> Iterator[Callable]:
    """A TensorFlow session with the tag `serve`: `(signature, named arrays) -> named arrays`."""
    with tf.Graph().as_default(), quiet_tensorflow():
        opened = tf.compat.v1.Session()
        loader = tf.compat.v1.saved_model.loader
        signatures = loader.load(opened, ["serve"], str(folder)).signature_def

    def answer(signature: str, inputs: dict) -> dict[str, np.ndarray]:
        named = signatures[signature]
        feeds = {named.inputs[key].name: value for key, value in inputs.items()}
        return opened.run({key: info.name for key, info in named.outputs.items()}, feeds)

    try:  # not `with opened`: that would put Keras's own call into the session's graph
        yield answer
    finally:
        opened.close()


def compare(name: str, served: dict, wanted: dict, *, tolerance: float = TOLERANCE) -> None:
    """Raises a RuntimeError that says which output of signature `name` differs, and by how much."""
    if set(served) != set(wanted):
        raise RuntimeError(
            f"Signature {name!r} has other outputs than the Keras model. "
            f"Expected: {sorted(wanted)}. Received: {sorted(served)}."
        )
    for output, values in wanted.items():
        values, answered = np.asarray(values), np.asarray(served[output])
        differs = difference(answered, values)
        if not differs <= tolerance:
            raise RuntimeError(
                f"Output {output!r} of signature {name!r} is not what the Keras model answers. "
                f"Expected: shape {values.shape}, a difference of at most {tolerance:g}. "
                f"Received: shape {answered.shape}, a difference of {differs:.3g}."
            )


def difference(answered: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference, relative to the largest value above 1; NaN where a NaN is met."""
    if answered.shape != wanted.shape:
        return np.inf
    if wanted.dtype.kind != "f" or not wanted.size:
        return 0.0  # names and numbers of near ties may change places; their scores may not
    return float(np.max(np.abs(answered - wanted)) / max(1.0, float(np.max(np.abs(wanted)))))


def _probed(endpoint: Endpoint, count: int, pixel_range) -> tuple[dict, dict]:
    """Random inputs for `count` images, and what Keras answers to them."""
    for size in _SIZES:
        inputs = {
            name: _files(count)
            if spec.dtype == tf.string
            else _images(spec, count, size, pixel_range)
            for name, spec in endpoint.inputs.items()
        }
        try:
            return inputs, endpoint.answer(**{k: tf.constant(v) for k, v in inputs.items()})
        except (ValueError, tf.errors.InvalidArgumentError):
            if size == _SIZES[-1] or not any(None in s.shape[1:] for s in endpoint.inputs.values()):
                raise
    raise AssertionError("unreachable")


def _images(spec: tf.TensorSpec, count: int, size: int, pixel_range) -> np.ndarray:
    shape = [count, *(size if length is None else length for length in spec.shape[1:])]
    draw = np.random.default_rng(count)
    if spec.dtype.is_integer:
        return draw.integers(0, 256, shape).astype(spec.dtype.as_numpy_dtype)
    return draw.uniform(*sorted(pixel_range), shape).astype(spec.dtype.as_numpy_dtype)


def _files(count: int) -> np.ndarray:
    """PNG files, the second one broken off."""
    draw = np.random.default_rng(count)
    files = [
        tf.io.encode_png(draw.integers(0, 256, (40, 30, 3)).astype(np.uint8)).numpy()
        for _ in range(count)
    ]
    return np.array([data[:99] if place == 1 else data for place, data in enumerate(files)], object)
