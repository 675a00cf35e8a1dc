"""Logits of very many classes, (B, C): what a head needs in as few copies of that size as possible.

Backends keep what every operation of a formula computed for its gradient. Here the gradient is
written down, so that inputs and a few short vectors are all that is kept. This file meets the
backends.
"""

import keras
from keras import ops

from keras_metric.numerics.operations import all_products, take_columns

__all__ = ["nearest_of_centers", "others_and_own", "softly_of_centers", "unit_products"]

_HUGE = 1e37  # its negative stands in place of minus infinity
_LEAST = 1e-36  # a float32 at or below it has no inverse and counts as 0
AT_ONCE = 2**14  # classes whose rows are brought to length 1 at a time


def unit_products(rows, class_weights):
    """(B, D), (C, D) -> (B, C): products of rows with the class weights brought to length 1.

    The rows of length 1 are never all there: classes are taken a block at a time.
    """
    return _derived(_UnitProducts, 2, rows, class_weights)[0]


def others_and_own(logits, columns, *, axis: int = 1):
    """log sum exp without the own entries, and the own entry of each row.

        (B, C), (B,) int32 -> others, own (B,)

    Row i's own entry stands in column columns[i]. others: (B,) over the rest of a row, or with
    axis=0 (C,) over the rest of a column; a huge negative number where nothing is left.
    """
    columns = ops.convert_to_tensor(columns, "int32")
    return _derived(_OthersAndOwn(axis), 1, logits, columns)


def nearest_of_centers(cosines):
    """(B, C, K) -> (B, C): the largest of each class's K, the gradient shared where equal."""
    return _derived(_Nearest, 1, cosines)[0]


def softly_of_centers(cosines, temperature: float):
    """(B, C, K) -> (B, C): sum over k of softmax_k(cosine / temperature) · cosine."""
    return _derived(_Softly(temperature), 1, cosines)[0]


# A function with its gradient: forward(*inputs) gives outputs and what else is kept, and
# backward(upstream, kept, *inputs) the gradients of the first inputs.


class _UnitProducts:
    @staticmethod
    def forward(rows, weights):
        factors = _joined((_inverse_lengths(block) for _, block in _blocks(weights)), weights, 1)
        products = (all_products(rows, block * factors[at]) for at, block in _blocks(weights))
        return (_joined(products, rows, ops.shape(weights)[0], axis=1),), (factors,)

    @staticmethod
    def backward(upstream, kept, rows, weights):
        of_rows = ops.zeros_like(rows)

        def of_blocks():
            nonlocal of_rows
            for at, block in _blocks(weights):
                slopes, unit = upstream[0][:, at], block * kept[0][at]
                of_rows = of_rows + ops.matmul(slopes, unit)
                of_unit = ops.matmul(ops.transpose(slopes), rows)
                along = ops.sum(of_unit * unit, axis=1, keepdims=True)
                yield (of_unit - along * unit) * kept[0][at]

        of_weights = _joined(of_blocks(), weights, weights.shape[1])
        return of_rows, of_weights


class _OthersAndOwn:
    def __init__(self, axis):
        self.axis = axis

    def forward(self, logits, columns):
        mine = _mine(logits, columns)
        peak = ops.maximum(_largest(ops.where(mine, -_HUGE, logits), self.axis), -_HUGE)
        # the same choice again: kept under a name it would be one more copy without a graph
        total = ops.sum(ops.exp(ops.where(mine, -_HUGE, logits) - peak), axis=self.axis)
        others = ops.log(total) + ops.squeeze(peak, axis=self.axis)
        return (others, take_columns(logits, columns[:, None])[:, 0]), (others,)

    def backward(self, upstream, kept, logits, columns):
        of_others, of_own = upstream
        others = ops.expand_dims(kept[0], self.axis)
        weights = ops.exp(logits - others) * ops.expand_dims(of_others, self.axis)
        return (ops.where(_mine(logits, columns), of_own[:, None], weights),)


class _Nearest:
    @staticmethod
    def forward(cosines):
        nearest = ops.squeeze(_largest(cosines, -1), axis=-1)
        return (nearest,), (nearest,)

    @staticmethod
    def backward(upstream, kept, cosines):
        nearest = cosines == kept[0][..., None]
        share = upstream[0] / ops.sum(ops.cast(nearest, cosines.dtype), axis=-1)
        return (ops.where(nearest, share[..., None], 0),)


class _Softly:
    def __init__(self, temperature):
        self.temperature = temperature

    def forward(self, cosines):
        value = ops.sum(ops.softmax(cosines / self.temperature, axis=-1) * cosines, axis=-1)
        return (value,), (value,)

    def backward(self, upstream, kept, cosines):
        shares = ops.softmax(cosines / self.temperature, axis=-1)
        apart = (cosines - kept[0][..., None]) / self.temperature
        return (upstream[0][..., None] * (shares * (1 + apart)),)


def _blocks(weights):
    """Places and rows of each block; of a number of rows that is not known, all."""
    count = weights.shape[0]
    if count is None or count <= AT_ONCE:
        return [(slice(None), weights)]
    places = (slice(start, start + AT_ONCE) for start in range(0, count, AT_ONCE))
    return ((at, weights[at]) for at in places)


def _joined(parts, like, width, *, axis: int = 0):
    """Blocks side by side: (rows of `like`, width), whose rows or columns they are."""
    if keras.backend.backend() != "torch":
        parts = list(parts)
        return parts[0] if len(parts) == 1 else ops.concatenate(parts, axis=axis)
    whole, start = like.new_empty((like.shape[0], width)), 0  # no second copy of every block
    for part in parts:
        whole.narrow(axis, start, part.shape[axis]).copy_(part)
        start += part.shape[axis]
    return whole


def _inverse_lengths(rows):
    """(C, D) -> (C, 1): 1 / |row| for rows of any norm, 0 for a row of zeros."""
    largest = _largest(ops.abs(rows), 1)
    nothing = largest <= _LEAST
    inverse = ops.where(nothing, 0, 1 / ops.where(nothing, 1, largest))
    squares = ops.sum(ops.square(rows * inverse), axis=1, keepdims=True)
    return inverse * ops.rsqrt(squares + ops.cast(nothing, rows.dtype))


def _largest(x, axis):
    """The maximum along an axis, which stays; also of no rows."""
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.reduce_max(x, axis=axis, keepdims=True)
    return ops.amax(x, axis=axis, keepdims=True)


def _mine(logits, columns):
    return ops.arange(ops.shape(logits)[1], dtype="int32")[None] == columns[:, None]


def _derived(function, count, *inputs):
    """The outputs, a tuple; gradients reach the first `count` inputs."""
    inputs = [ops.convert_to_tensor(x) for x in inputs]
    ways = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}
    return ways[keras.backend.backend()](function, count, *inputs)


def _tensorflow(function, count, *inputs):
    import tensorflow as tf

    constants = inputs[count:]

    @tf.custom_gradient
    def value(*x):
        outputs, kept = function.forward(*x, *constants)

        def gradient(*upstream):
            return function.backward(upstream, kept, *x, *constants)

        return outputs, gradient

    return value(*inputs[:count])


def _jax(function, count, *inputs):
    import jax

    @jax.custom_vjp
    def value(*inputs):
        return function.forward(*inputs)[0]

    def forward(*inputs):
        outputs, kept = function.forward(*inputs)
        return outputs, (kept, inputs)

    def backward(saved, upstream):
        kept, inputs = saved
        constants = [None] * (len(inputs) - count)
        return (*function.backward(upstream, kept, *inputs), *constants)

    value.defvjp(forward, backward)
    return value(*inputs)


def _torch(function, count, *inputs):
    return _Derived.apply(function, count, *inputs)


if keras.backend.backend() == "torch":
    import torch

    class _Derived(torch.autograd.Function):
        @staticmethod
        def forward(context, function, count, *inputs):
            outputs, kept = function.forward(*inputs)
            context.function, context.count, context.inputs = function, count, len(inputs)
            context.save_for_backward(*inputs, *kept)
            return outputs

        @staticmethod
        def backward(context, *upstream):
            saved = context.saved_tensors
            inputs, kept = saved[: context.inputs], saved[context.inputs :]
            gradients = context.function.backward(upstream, kept, *inputs)
            return (None, None, *gradients, *[None] * (context.inputs - context.count))
