"""FullGrad: the score as the input's share plus every bias's share, position by position.

    score = x . dS/dx + sum over layers l of  b_l . dS/d(output of l)      (nets of ReLU and max)

Srinivas & Fleuret, "Full-Gradient Representation", 2019. arXiv:1905.00780, eq. 2 and 8
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_metric.cam.network.axes import changes, layout_over
from keras_metric.cam.network.gradients import backward
from keras_metric.cam.network.hooks import Patch, forward, on_call, operations
from keras_metric.cam.network.positions import Positions
from keras_metric.cam.plan import Plan, example
from keras_metric.cam.rendering import EPSILON, resized


class FullGradient(NamedTuple):
    """Raw map `(B, H, W)`, what all shares add up to `(B,)`, the model's outputs."""

    map: Any
    total: Any
    outputs: Any


Layouts = list[Positions | None]


def fullgrad(plan: Plan, layouts: Layouts, inputs, score: Callable) -> FullGradient:
    """Magnitudes of all shares, each tensor min-max scaled, at the image's size, added up.

    Args:
        layouts: as `measured_layouts` gives them.
        score: `score(outputs) -> (B,)`.
    """
    biases: list[Any] = []

    def run(seize):
        nonlocal biases
        outputs, met, biases = _pass(plan, inputs, seize)
        return outputs, met

    found = backward(run, lambda outputs: ops.sum(score(outputs)))
    total, summed = 0.0, 0.0
    parts = zip(biases, found.activations, found.gradients, layouts, strict=True)
    for bias, tensor, gradient, layout in parts:
        factor = tensor if bias is None else bias
        share = ops.cast(gradient, "float32") * ops.cast(factor, "float32")
        total = total + ops.sum(share, axis=tuple(range(1, len(share.shape))))
        summed = summed + _magnitude(share, layout, plan.sizes[0])
    return FullGradient(summed, total, found.outputs)


def measured_layouts(plan: Plan, inputs) -> Layouts:
    """The grid of each tensor that has a share, the input first; None for those without places."""
    inputs = keras.tree.map_structure(example, inputs)

    def run(inputs):
        return _pass(plan, inputs, lambda tensor: tensor)[1]

    image = plan.mapped.images[0]
    tensors = run(inputs)
    found = zip(changes(run, inputs, image.number), tensors, strict=True)
    layouts = [layout_over(change, image, tensor) for change, tensor in found]
    return [None if layout is None or layout.skip else layout for layout in layouts]


def _pass(plan: Plan, inputs, seize: Callable):
    """Outputs, the tensors that have shares, and their biases (None for the input)."""
    met, biases = [], []

    def take(tensor, bias):
        met.append(seize(tensor))
        biases.append(bias)
        return met[-1]

    flat = list(keras.tree.flatten(inputs))
    place = plan.mapped.images[0].number
    flat[place] = take(flat[place], None)
    hooks = [*plan.patches, *bias_hooks(plan.model, take)]
    outputs = forward(plan.model, keras.tree.pack_sequence_as(inputs, flat), hooks)
    return outputs, met, biases


def check(plan: Plan) -> None:
    if len(plan.sizes) != 1:
        raise ValueError(
            "fullgrad maps one image at a time. Expected: a model that reads one image. Received: "
            f"{plan.model.name!r}, which reads {len(plan.sizes)}."
        )


def bias_hooks(model: keras.Model, take: Callable) -> list[Patch]:
    """`take(tensor, bias)` is put in place of every tensor to which a bias was added."""
    hooks = []
    for layer in operations(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            hooks += on_call(layer, _after(take, layer))
        elif getattr(layer, "bias", None) is not None and hasattr(layer, "activation"):
            hooks.append(Patch(layer, "activation", _before(take, layer)))
    return hooks


def _after(take, layer):
    def replacement(original, *args, **kwargs):
        normed = original(*args, **kwargs)
        return take(normed, _along(_implied_bias(layer), layer.axis, normed))

    return replacement


def _before(take, layer):
    def replacement(original, x, *args, **kwargs):
        bias = ops.convert_to_tensor(layer.bias)
        first = getattr(layer, "data_format", None) == "channels_first"
        return original(take(x, _along(bias, 1, x) if first else bias), *args, **kwargs)

    return replacement


def _along(bias, axis: int, tensor):
    """A bias in a shape that adds along one axis of a tensor."""
    rank = len(tensor.shape)
    return ops.reshape(bias, [-1 if a == axis % rank else 1 for a in range(rank)])


def _implied_bias(norm: keras.layers.BatchNormalization):
    """What batch normalization at inference adds: beta - gamma mean / sqrt(variance + epsilon)."""
    variance = ops.cast(ops.convert_to_tensor(norm.moving_variance), "float32")
    scale = ops.rsqrt(variance + norm.epsilon)
    if norm.scale:
        scale = scale * ops.convert_to_tensor(norm.gamma)
    bias = -ops.convert_to_tensor(norm.moving_mean) * scale
    return bias + ops.convert_to_tensor(norm.beta) if norm.center else bias


def _magnitude(share, grid: Positions | None, size):
    if grid is None:
        return ops.zeros((1, *size))
    flat = ops.abs(grid.flatten(share))
    flat = flat - ops.min(flat, axis=(1, 2), keepdims=True)
    flat = flat / (ops.max(flat, axis=(1, 2), keepdims=True) + EPSILON)
    return resized(grid.maps(ops.sum(flat, axis=-1)), size)
