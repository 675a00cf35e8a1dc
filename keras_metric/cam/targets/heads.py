"""Is the score linear over positions? Then its weights are the activation map.

    score_c = b_c + mean over positions p of  w_c . f(p)

Found by following the layers from the score back to the mean of the activation, and proved on
numbers: the pooled activation must give the score, and the layers after it must be affine.
Zhou et al., "Learning Deep Features for Discriminative Localization", 2016. arXiv:1512.04150
"""

import math
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_metric.cam.network.hooks import Call, Patch, patched, producer
from keras_metric.cam.network.positions import Positions
from keras_metric.cam.targets.logits import channels_last, class_scores

_POINTWISE = (keras.layers.Conv1D, keras.layers.Conv2D, keras.layers.Conv3D)


class LinearHead(NamedTuple):
    """The layers from the pooled activation to the scores.

    layout: of scores that are a map; local: each of these follows from one position alone.
    """

    steps: list
    pooled_shape: tuple[int, ...]
    patches: list[Patch]
    layout: Positions | None = None
    local: bool = False

    @property
    def channels(self) -> int:
        return math.prod(self.pooled_shape)

    def apply(self, pooled):
        """`(B, K) -> (B, C)`."""
        with patched(self.patches):
            tensor = ops.reshape(pooled, (-1, *self.pooled_shape))
            for step in self.steps:
                tensor = step(tensor)
        return class_scores(channels_last(tensor, self.layout))

    def weights(self, channels: int) -> tuple[Any, Any]:
        """`w (K, C)` and `b (C,)`, read from the model's variables as they are now."""
        kernels = [s for s in self.steps if not isinstance(s, _RESHAPING)]
        if len(kernels) == 1 and _is_plain_kernel(kernels[0]):
            kernel = ops.cast(ops.convert_to_tensor(kernels[0].kernel), "float32")
            kernel = ops.reshape(kernel, (channels, -1))
            if kernels[0].bias is None:
                return kernel, ops.zeros(kernel.shape[1:])
            return kernel, ops.cast(ops.convert_to_tensor(kernels[0].bias), "float32")
        if not kernels:
            return ops.eye(channels), ops.zeros((channels,))
        bias = self.apply(ops.zeros((1, channels)))
        return self.apply(ops.eye(channels)) - bias, bias[0]


_RESHAPING = (keras.layers.Reshape, keras.layers.Flatten)


class Refusal(NamedTuple):
    """Why there is no linear head."""

    reason: str


def linear_head(
    calls: list[Call],
    activation,
    positions: Positions,
    scores,
    patches: list[Patch],
    layout: Positions | None = None,
) -> LinearHead | Refusal:
    """The head that turns the mean of an activation into scores, or why there is none.

    `layout` is that of scores that are a map.
    """
    pooled = ops.mean(positions.flatten(activation), axis=1)
    close = _closeness(activation)
    steps: list = []
    tensor = scores
    while not close(_rows(tensor), pooled):
        if tensor is activation or close(tensor, activation):
            shape = tuple(
                1 if axis in positions.axes else length
                for axis, length in enumerate(activation.shape)
            )[1:]
            head = _proved(LinearHead(steps, shape, patches, layout), pooled, scores, close)
            return _with_locality(head, positions.flatten(activation), scores, close)
        call = _made_by(calls, tensor, close)
        if call is None or len(steps) > 50:
            return Refusal(_broken_off(steps))
        if isinstance(call.input, list):
            return Refusal(f"several tensors meet in {_name(call.layer)}")
        steps.insert(0, call.layer)
        tensor = call.input
    head = LinearHead(steps, tuple(tensor.shape[1:]), patches, layout)
    return _proved(head, pooled, scores, close)


def _proved(head: LinearHead, pooled, scores, close) -> LinearHead | Refusal:
    for step in head.steps:
        if any(length > 1 for length in _reach(step)):
            return Refusal(f"{_name(step)} mixes positions")
    try:
        again = head.apply(pooled)
    except Exception:  # what cannot read one position fails in each backend's own way
        if len(head.pooled_shape) == 1:
            names = ", ".join(map(_name, head.steps))
            return Refusal(f"not all layers after pooling can be applied alone: {names}")
        return Refusal(f"{_name(head.steps[0])} does not average over positions")
    if not close(again, class_scores(channels_last(scores, head.layout))):
        return Refusal(f"{_name(head.steps[0])} does not average over positions")
    rng = np.random.default_rng(0)
    scale = 1.0 + ops.max(ops.abs(pooled))
    noise = rng.normal(size=(2, 8, pooled.shape[-1])).astype("float32")
    a, b = scale * ops.convert_to_tensor(noise)
    if not close(head.apply(a + b) + head.apply(0 * a), head.apply(a) + head.apply(b)):
        names = ", ".join(_name(step) for step in head.steps)
        return Refusal(f"the layers between pooling and scores are not linear: {names}")
    return head


def _with_locality(head: LinearHead | Refusal, flat, scores, close) -> LinearHead | Refusal:
    if isinstance(head, Refusal) or head.layout is None:
        return head
    alone = head.apply(ops.reshape(flat, (-1, flat.shape[-1])))
    every = ops.cast(channels_last(scores, head.layout), "float32")
    return head._replace(local=close(alone, ops.reshape(every, (-1, every.shape[-1]))))


def _reach(layer) -> tuple[int, ...]:
    """How many positions a convolution or pooling reads at once."""
    reach = getattr(layer, "kernel_size", None) or getattr(layer, "pool_size", None)
    return reach if isinstance(reach, tuple) else ()


def _made_by(calls: list[Call], tensor, close) -> Call | None:
    """The call that made a tensor; a layer of another precision reads a cast copy of it."""
    exact = producer(calls, tensor)
    if exact is not None:
        return exact
    for call in calls:
        output = call.output
        if hasattr(output, "shape") and output is not tensor and close(output, tensor):
            return call
    return None


def _closeness(activation):
    tolerance = 1e-4 if keras.backend.standardize_dtype(activation.dtype) == "float32" else 3e-2

    def close(a, b) -> bool:
        if tuple(a.shape) != tuple(b.shape):
            return False
        a, b = (ops.convert_to_numpy(ops.cast(x, "float32")) for x in (a, b))
        return bool(np.abs(a - b).max() <= tolerance * (np.abs(b).max() + 1e-6))

    return close


def _rows(tensor):
    return ops.reshape(tensor, (tensor.shape[0], -1))


def _is_plain_kernel(layer) -> bool:
    pointwise = isinstance(layer, _POINTWISE) and set(layer.kernel_size) == {1}
    plain = isinstance(layer, keras.layers.Dense) or (pointwise and layer.groups == 1)
    return plain and getattr(layer, "quantization_mode", None) is None


def _name(layer) -> str:
    return f"{layer.name!r} ({type(layer).__name__})"


def _broken_off(steps: list) -> str:
    if not steps:
        return "no layer gives the scores as they are"
    return f"{_name(steps[0])} reads something that is neither the activation nor its mean"
