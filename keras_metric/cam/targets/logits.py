"""Scores before softmax: the last activation is skipped without changing the model."""

from collections.abc import Iterator

import keras
import numpy as np
from keras import ops

from keras_metric.cam.network.hooks import Call, Patch, on_call, producer
from keras_metric.cam.network.positions import Positions

_SQUASHING = ("Softmax", "LogSoftmax", "Sigmoid", "LogSigmoid")
_SQUASHING_FUNCTIONS = ("softmax", "log_softmax", "sigmoid", "log_sigmoid")
_SHAPE_ONLY = (
    keras.layers.Reshape,
    keras.layers.Flatten,
    keras.layers.Dropout,
    keras.layers.Identity,
)


def look_through_softmax(calls: list[Call], answer) -> list[Patch]:
    """Patches that let a final softmax or sigmoid, fused or a layer of its own, pass its input."""
    for call in _last_calls(calls, answer):
        if _is_squashing(call.layer):
            return on_call(call.layer, _pass_on)
        if _is_squashing(getattr(call.layer, "activation", None)):
            return [Patch(call.layer, "activation", _pass_on)]
    return []


def look_through(calls: list[Call], answer) -> list[Patch]:
    """Patches past a final softmax or sigmoid, or a final scaling to unit length."""
    return look_through_softmax(calls, answer) or look_through_unit_length(calls, answer)


def kind_of_scores(patches: list[Patch]) -> str:
    """What is numbered: "class" before softmax or sigmoid, "dimension" before unit length."""
    if not patches:
        return "output"
    owner = patches[0].owner
    squashes = _is_squashing(owner) or _is_squashing(getattr(owner, "activation", None))
    return "class" if squashes else "dimension"


def look_through_unit_length(calls: list[Call], embedding) -> list[Patch]:
    """Patches that let a final scaling to unit length, whatever layer does it, pass its input."""
    for call in _last_calls(calls, embedding):
        if _scales_to_unit_length(call):
            return on_call(call.layer, _pass_on)
    return []


def _pass_on(original, x, *args, **kwargs):
    return x


def _last_calls(calls: list[Call], tensor) -> Iterator[Call]:
    """The call that made a tensor, and those before it while they only change the shape."""
    call = producer(calls, tensor)
    while call is not None:
        yield call
        call = producer(calls, call.input) if isinstance(call.layer, _SHAPE_ONLY) else None


def _scales_to_unit_length(call: Call) -> bool:
    """Vectors that happen to have unit length tell nothing: then three times as long ones do."""
    if isinstance(call.input, list) or len(call.input.shape) != 2:
        return False
    before, after = (ops.convert_to_numpy(ops.cast(x, "float32")) for x in call[1:])
    if before.shape != after.shape:
        return False
    length = np.linalg.norm(before, axis=-1, keepdims=True)
    if np.abs(after * length - before).max() > 1e-2 * np.abs(before).max():
        return False
    if np.abs(length - 1).max() > 1e-2:
        return True
    longer = ops.convert_to_numpy(ops.cast(call.layer(3 * call.input), "float32"))
    return bool(np.abs(longer - after).max() <= 1e-2)


def _is_squashing(function) -> bool:
    if type(function).__name__ in _SQUASHING:
        return True
    return any(function is getattr(keras.activations, name) for name in _SQUASHING_FUNCTIONS)


def channels_last(answer, layout: Positions | None):
    """An answer that is a map, its places first and its classes last."""
    rank = len(answer.shape)
    if layout is None or layout.axes == tuple(range(1, 1 + len(layout.axes))):
        return answer
    rest = (a for a in range(1, rank) if a not in layout.axes)
    return ops.transpose(answer, (0, *layout.axes, *rest))


def class_scores(answer):
    """A model's answer as `(B, C)` in float32: the mean over places when it is a map."""
    scores = ops.cast(answer, "float32")
    if len(scores.shape) == 1:
        return scores[:, None]
    return ops.mean(scores, axis=tuple(range(1, len(scores.shape) - 1)))


def looks_like_probabilities(answer) -> bool:
    values = ops.convert_to_numpy(ops.cast(answer, "float32"))
    if values.ndim < 2 or values.shape[-1] < 2 or values.min() < 0:
        return False
    return bool(abs(values.sum(-1) - 1).max() < 1e-3)
