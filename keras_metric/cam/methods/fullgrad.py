"""FullGrad: the score as the input's share plus every bias's share, position by position.

    score = x . dS/dx + sum over layers l of  b_l . dS/d(output of l)      (nets of ReLU and max)

Srinivas & Fleuret, "Full-Gradient Representation", 2019. arXiv:1905.00780, eq. 2 and 8
"""

from typing import Any, NamedTuple

import keras
from keras import ops

from keras_metric.cam.network.gradients import backward
from keras_metric.cam.network.hooks import Patch, forward, on_call, operations
from keras_metric.cam.network.positions import positions_of, spatial_inputs
from keras_metric.cam.plan import Plan
from keras_metric.cam.rendering import EPSILON, resized


class FullGradient(NamedTuple):
    """Raw map `(B, H, W)`, what all shares add up to `(B,)`, the answer."""

    map: Any
    total: Any
    answer: Any


def fullgrad(plan: Plan, inputs, score) -> FullGradient:
    """Magnitudes of all shares, each tensor min-max scaled, at the image's size, added up.

    Args:
        score: `score(answer) -> (B,)`.
    """
    place, size = spatial_inputs(inputs)[0], plan.sizes[0]
    biases: list[Any] = []

    def run(seize):
        met = []
        biases.clear()

        def take(tensor, bias):
            met.append(seize(tensor))
            biases.append(bias)
            return met[-1]

        flat = list(keras.tree.flatten(inputs))
        flat[place] = take(flat[place], None)
        hooks = [*plan.patches, *_bias_hooks(plan.model, take)]
        outputs = forward(plan.model, keras.tree.pack_sequence_as(inputs, flat), hooks)
        return plan.answer(outputs), met

    found = backward(run, lambda answer: ops.sum(score(answer)))
    total, summed = 0.0, 0.0
    for bias, tensor, gradient in zip(biases, found.activations, found.gradients, strict=True):
        factor = tensor if bias is None else bias
        share = ops.cast(gradient, "float32") * ops.cast(factor, "float32")
        total = total + ops.sum(share, axis=tuple(range(1, len(share.shape))))
        summed = summed + _magnitude(share, size)
    return FullGradient(summed, total, found.outputs)


def check(plan: Plan) -> None:
    if len(plan.sizes) != 1:
        raise ValueError(
            "fullgrad maps one image at a time. Expected a model that reads one image. Received "
            f"{plan.model.name!r}, which reads {len(plan.sizes)}."
        )


def _bias_hooks(model: keras.Model, take) -> list[Patch]:
    hooks = []
    for layer in operations(model):
        if isinstance(layer, keras.layers.BatchNormalization):
            hooks += on_call(layer, _after(take, layer))
        elif getattr(layer, "bias", None) is not None and hasattr(layer, "activation"):
            hooks.append(Patch(layer, "activation", _before(take, layer)))
    return hooks


def _after(take, layer):
    def replacement(original, *args, **kwargs):
        return take(original(*args, **kwargs), _implied_bias(layer))

    return replacement


def _before(take, layer):
    def replacement(original, x, *args, **kwargs):
        return original(take(x, ops.convert_to_tensor(layer.bias)), *args, **kwargs)

    return replacement


def _implied_bias(norm: keras.layers.BatchNormalization):
    """What batch normalisation at inference adds: beta - gamma mean / sqrt(variance + epsilon)."""
    variance = ops.cast(ops.convert_to_tensor(norm.moving_variance), "float32")
    scale = ops.rsqrt(variance + norm.epsilon)
    if norm.scale:
        scale = scale * ops.convert_to_tensor(norm.gamma)
    bias = -ops.convert_to_tensor(norm.moving_mean) * scale
    return bias + ops.convert_to_tensor(norm.beta) if norm.center else bias


def _magnitude(share, size):
    grid = positions_of(share, size)
    if grid is None or grid.skip:
        return ops.zeros((1, *size))
    flat = ops.abs(grid.flatten(share))
    flat = flat - ops.min(flat, axis=(1, 2), keepdims=True)
    flat = flat / (ops.max(flat, axis=(1, 2), keepdims=True) + EPSILON)
    return resized(grid.maps(ops.sum(flat, axis=-1)), size)
