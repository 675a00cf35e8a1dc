"""AttnLRP: relevance through a transformer, as activation x gradient under changed derivatives.

    R(x) = x . d'S/dx       d' as the ordinary derivative, except:

    A V and Q K^T  half of the derivative to either factor           (proposition 3.3)
    softmax        its own: R_i = x_i (R_i - s_i sum of R)           (proposition 3.1)
    normalization  the division by the deviation as by a constant    (proposition 3.4)
    activation     f(x) = x . f(x) / x, the quotient a constant      (identity rule)
    linear layers  their own: the epsilon rule as epsilon goes to 0

Achtibat et al., "AttnLRP: Attention-Aware Layer-Wise Relevance Propagation for Transformers", ICML
2024. arXiv:2402.05602, section 3
"""

from collections.abc import Callable, Iterator

import keras
import numpy as np
from keras import ops

from keras_metric.cam.methods.attention import ATTENTION
from keras_metric.cam.network.hooks import Patch, on_call, operations
from keras_metric.cam.plan import Plan, gradient_evidence

STABILIZER = 1e-6  # least magnitude of what an activation function's value is divided by
_NORMS = (keras.layers.LayerNormalization, keras.layers.RMSNormalization)
_ACTIVATIONS = (
    keras.layers.Activation,
    keras.layers.ReLU,
    keras.layers.LeakyReLU,
    keras.layers.ELU,
    keras.layers.PReLU,
)
_MATRIX_PRODUCTS = ("Matmul", "Einsum", "Dot")
_PRODUCTS = (*_MATRIX_PRODUCTS, "Multiply")
_OF_ROWS = (
    keras.activations.softmax,
    keras.activations.log_softmax,
    keras.activations.sparsemax,
    keras.activations.glu,
)
_FUNCTIONS = (
    *("Relu", "Relu6", "LeakyRelu", "Elu", "Selu", "Celu", "Gelu", "Silu", "HardSilu"),
    *("Sigmoid", "HardSigmoid", "Tanh", "HardTanh", "Softplus", "Softsign"),
)


def relevance_evidence(plan: Plan, inputs, score: Callable):
    """The outputs, and evidence whose gradients are the changed ones; `score(outputs) -> (B,)`."""
    patches = [*plan.patches, *rules(plan.model, plan.patches)]
    return gradient_evidence(plan._replace(patches=patches), inputs, score)


def mixes_tokens(layer) -> bool:
    """Whether a layer or an operation is attention, or may be a part of it."""
    is_matrix_product = type(layer).__name__ in _MATRIX_PRODUCTS and _is_product(layer)
    return isinstance(layer, ATTENTION) or is_matrix_product


def _pass_through(tensor, factor):
    return tensor


def rules(model: keras.Model, patches: list[Patch], take: Callable = _pass_through) -> list[Patch]:
    """The changed derivatives, but for layers that are patched; values stay as they are.

    `take(tensor, factor)` sees every tensor that has a share of its own: its gradient times the
    factor, which is a bias, or a number that multiplies the tensor.
    """
    skipped = {id(patch.owner) for patch in patches}
    every = operations(model)
    skipped |= {id(x._softmax) for x in every if isinstance(x, ATTENTION)}
    layers = [x for x in every if id(x) not in skipped]
    return [patch for layer in layers for patch in _rules_of(layer, take)]


def _rules_of(layer, take: Callable) -> Iterator[Patch]:
    name = type(layer).__name__
    if isinstance(layer, ATTENTION):
        yield Patch(layer, "_compute_attention", _attention(layer, take))
        if getattr(layer, "_gate_dense", None) is not None:
            yield from on_call(layer._gate_dense, _half)
    elif isinstance(layer, _NORMS):
        yield from on_call(layer, _normalization(layer, take))
    elif name == "Softmax" or _function(layer) is keras.activations.softmax:
        yield from _on_function(layer, _softmax(take))
    elif isinstance(layer, _ACTIVATIONS) or (_is_operation(layer) and name in _FUNCTIONS):
        yield from on_call(layer, _activation)
    elif isinstance(layer, keras.layers.Multiply):
        yield from on_call(layer, _product_of_layers)
    elif _is_product(layer):
        yield from on_call(layer, _product(layer))
    elif _function(layer) not in (None, keras.activations.linear, *_OF_ROWS):
        yield Patch(layer, "activation", _activation)


def _function(layer):
    """The function that a layer ends with; None if it has none."""
    function = getattr(layer, "activation", None)
    return function if callable(function) else None


def _on_function(layer, replacement: Callable) -> list[Patch]:
    if _function(layer) is None:
        return on_call(layer, replacement)
    return [Patch(layer, "activation", replacement)]


def _is_operation(layer) -> bool:
    """A function of `keras.ops` in a functional model."""
    return not isinstance(layer, keras.Layer)


def _is_product(layer) -> bool:
    """A product of two tensors that are computed, not of one and a constant."""
    return _is_operation(layer) and type(layer).__name__ in _PRODUCTS and sum(_computed(layer)) > 1


def _computed(operation) -> list[bool]:
    arguments = operation._inbound_nodes[0].arguments
    return [isinstance(a, keras.KerasTensor) for a in arguments.args]


def _shared(x, share: float):
    """The tensor itself, with a part of its gradient."""
    held = ops.stop_gradient(x)
    return held + (x - held) * ops.cast(share, x.dtype)


def _attention(layer, take: Callable) -> Callable:
    """Half to V and half to A; of the latter, half to Q and half to K: softmax stays fused."""
    gated = getattr(layer, "_gate_dense", None) is not None

    def replacement(original, query, key, value, *args, **kwargs):
        query, key = take(query, -1), take(key, -1)
        mixed, scores = original(
            _shared(query, 0.25), _shared(key, 0.25), _shared(value, 0.5), *args, **kwargs
        )
        mixed = take(mixed, 0.5)
        return _shared(mixed, 0.5) if gated else mixed, scores

    return replacement


def _half(original, *args, **kwargs):
    return _shared(original(*args, **kwargs), 0.5)


def _product(operation) -> Callable:
    """Each of n factors gets 1 / n."""
    computed = _computed(operation)

    def replacement(original, *args, **kwargs):
        shared = [
            _shared(a, 1 / sum(computed)) if is_one else a
            for a, is_one in zip(args, computed, strict=True)
        ]
        return original(*shared, **kwargs)

    return replacement


def _product_of_layers(original, inputs, *args, **kwargs):
    return original([_shared(x, 1 / len(inputs)) for x in inputs], *args, **kwargs)


def _softmax(take: Callable) -> Callable:
    def replacement(original, x, *args, **kwargs):
        return take(original(take(x, -1), *args, **kwargs), 1)

    return replacement


def _activation(original, x, *args, **kwargs):
    value = original(x, *args, **kwargs)
    wide = ops.cast(x, "float32")
    divisor = ops.where(
        ops.abs(wide) < STABILIZER, ops.where(wide < 0, -STABILIZER, STABILIZER), wide
    )
    quotient = ops.stop_gradient(ops.cast(value, "float32") / divisor)
    return _of_value(value, ops.cast(wide * quotient, value.dtype))


def _normalization(layer, take: Callable) -> Callable:
    """(x - mean) gamma / deviation, the last two held; and beta, which takes its share."""
    rms = isinstance(layer, keras.layers.RMSNormalization)
    scale = layer.scale if rms else layer.gamma

    def replacement(original, x, *args, **kwargs):
        value = original(x, *args, **kwargs)
        wide, rank = ops.cast(x, "float32"), len(x.shape)
        axes = sorted(a % rank for a in np.atleast_1d(layer.axis).tolist())
        centered = wide if rms else wide - ops.mean(wide, axis=axes, keepdims=True)
        spread = ops.mean(ops.square(centered), axis=axes, keepdims=True)
        factor = ops.stop_gradient(ops.rsqrt(spread + layer.epsilon))
        if scale is not None:
            lengths = [x.shape[a] if a in axes else 1 for a in range(rank)]
            factor = factor * ops.cast(ops.reshape(scale, lengths), "float32")
        linear = ops.cast((wide if _keeps_mean(layer) else centered) * factor, value.dtype)
        return linear + take(ops.stop_gradient(value - linear), 1)

    return replacement


def _keeps_mean(layer) -> bool:
    return getattr(layer, "rms_scaling", True)


def _of_value(value, way):
    """The value, with the gradient of the other way in which it is computed."""
    return ops.stop_gradient(value - way) + way
