"""Scores before softmax: the last activation is looked through, the model stays as it is."""

from collections.abc import Callable

import keras
from keras import ops

from keras_metric.cam.hooks import Call, Patch, on_call, producer

_SQUASHING = ("Softmax", "LogSoftmax", "Sigmoid", "LogSigmoid")
_SQUASHING_FUNCTIONS = ("softmax", "log_softmax", "sigmoid", "log_sigmoid")
_UNIT_LENGTH = ("UnitNormalization", "Normalize")
_SHAPE_ONLY = (
    keras.layers.Reshape,
    keras.layers.Flatten,
    keras.layers.Dropout,
    keras.layers.Identity,
)


def look_through_softmax(calls: list[Call], answer) -> list[Patch]:
    """Patches that let a final softmax or sigmoid, fused or a layer of its own, pass its input."""
    return _look_through(calls, answer, _is_squashing)


def look_through_unit_length(calls: list[Call], embedding) -> list[Patch]:
    """Patches that let a final scaling to unit length pass its input."""
    return _look_through(calls, embedding, lambda x: type(x).__name__ in _UNIT_LENGTH)


def _look_through(calls: list[Call], tensor, is_transparent: Callable) -> list[Patch]:
    call = producer(calls, tensor)
    while call is not None:
        if is_transparent(call.layer):
            return on_call(call.layer, lambda original, x, *args, **kwargs: x)
        if is_transparent(getattr(call.layer, "activation", None)):
            return [Patch(call.layer, "activation", lambda original, x: x)]
        if not isinstance(call.layer, _SHAPE_ONLY):
            break
        call = producer(calls, call.input)
    return []


def _is_squashing(function) -> bool:
    if type(function).__name__ in _SQUASHING:
        return True
    return any(function is getattr(keras.activations, name) for name in _SQUASHING_FUNCTIONS)


def class_scores(answer):
    """A model's answer as `(B, C)` in float32: the mean over positions when it is a map."""
    scores = ops.cast(answer, "float32")
    if len(scores.shape) == 1:
        return scores[:, None]
    return ops.mean(scores, axis=tuple(range(1, len(scores.shape) - 1)))


def looks_like_probabilities(answer) -> bool:
    values = ops.convert_to_numpy(ops.cast(answer, "float32"))
    if values.ndim < 2 or values.shape[-1] < 2 or values.min() < 0:
        return False
    return bool(abs(values.sum(-1) - 1).max() < 1e-3)
