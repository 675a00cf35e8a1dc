"""Distances within a batch whose every digit depends on the two rows alone, on any backend.

The products of float32 matrices are rounded, and how depends on where a row lies: a batch of equal
rows gets distances that differ. Here each number is cut into slices of 8 bits, whose products and
sums float32 holds exactly, in any order and on any device (a tensor core, too); what is added up
afterwards is added pair by pair, in one order. Ozaki, Ogita, Oishi, Rump, "Error-free
transformations of matrix multiplication", Numerical Algorithms 59, 2012.
"""

import math
from collections.abc import Callable

from keras import ops

from keras_metric import distances

SLICES, BITS = 4, 8
WIDTH = 128  # coordinates summed at once: sums of differences of slices stay below 2^24


def within(embeddings, distance: Callable):
    """(B, B): the distances of the rows (B, D) from each other; NaN where a row is not finite.

    Manhattan, signal to noise and custom distances are computed as usual; rows equal to another
    one get its distances.
    """
    x = ops.cast(embeddings, "float32")
    finite = ops.all(ops.isfinite(x), axis=1)
    x = ops.where(finite[:, None], x, 0)
    apart = _RULES.get(distance, _as_it_is(distance))(x)
    both = ops.logical_and(finite[:, None], finite[None])
    return ops.where(both, apart, float("nan"))


def _squares(x):
    """|x_i - x_j|^2 over the square of a scale, and the scale."""
    center = (ops.amax(x, axis=0) / 2) + (ops.amin(x, axis=0) / 2)
    x, scale = _scaled(x - center, ops.amax(ops.abs(x - center)))
    slices = _slices(x)
    return ops.relu(_by_order(lambda i, j: _differences(slices[i], slices[j]))), scale


def _euclidean(x):
    squares, scale = _squares(x)
    return scale * ops.sqrt(squares)


def _squared_euclidean(x):
    squares, scale = _squares(x)
    return ops.minimum(squares * scale, 1e38 / scale) * scale


def _of_units(x):
    """|u - v|^2 of the rows at length 1; 2 where one of them is zero."""
    peaks = ops.amax(ops.abs(x), axis=1, keepdims=True)
    rows = x / ops.where(peaks > 0, peaks, 1.0)
    slices = _slices(rows)
    lengths = _by_order(lambda i, j: _added(ops.sum(slices[i] * slices[j], axis=2)))
    zero = peaks[:, 0] == 0
    rows = rows / ops.sqrt(ops.where(zero, 1.0, lengths))[:, None]
    slices = _slices(rows)
    squares = ops.relu(_by_order(lambda i, j: _differences(slices[i], slices[j])))
    return ops.where(ops.logical_or(zero[:, None], zero[None]), 2.0, squares)


def _cosine(x):
    return _of_units(x) / 2


def _angular(x):
    return ops.arcsin(ops.minimum(ops.sqrt(_of_units(x)) / 2, 1)) * (2 / math.pi)


def _negative_dot(x):
    x, scale = _scaled(x, ops.amax(ops.abs(x)))
    slices = _slices(x)
    return -scale * scale * _by_order(lambda i, j: _added(_products(slices[i], slices[j])))


def _as_it_is(distance: Callable):
    def computed(x):
        apart = distance(x, x)
        same = ops.argmax(ops.cast(_squares(x)[0] == 0, "int32"), axis=1)  # the first equal row
        return ops.take(ops.take(apart, same, axis=0), same, axis=1)

    return computed


_RULES = {
    distances.angular: _angular,
    distances.cosine: _cosine,
    distances.euclidean: _euclidean,
    distances.negative_dot: _negative_dot,
    distances.squared_euclidean: _squared_euclidean,
}


def _scaled(x, peak):
    """x over a power of two that is not below its peak, and that power; no digit is lost."""
    exponent = ops.ceil(ops.log2(ops.clip(ops.where(peak > 0, peak, 1.0), 2.0**-100, 2.0**126)))
    half = ops.floor(exponent / 2)
    return x / _power(half) / _power(exponent - half), _power(half) * _power(exponent - half)


def _power(exponent):
    """2^exponent for a whole number between -64 and 64, exact on every device."""
    whole = ops.cast(ops.abs(exponent), "int32")
    found = ops.ones_like(exponent)
    for bit in range(7):
        has = ops.bitwise_and(whole, 1 << bit) > 0
        found = ops.where(has, found * 2.0 ** (1 << bit), found)
    return ops.where(exponent < 0, 1 / found, found)


def _slices(x):
    """x (B, D), in [-1, 1], as SLICES of whole numbers (chunks, B, WIDTH) of at most 128."""
    width = min(WIDTH, x.shape[1])
    x = ops.pad(x, ((0, 0), (0, -x.shape[1] % width)))
    rest = ops.transpose(ops.reshape(x, (-1, x.shape[1] // width, width)), (1, 0, 2))
    rest, found = rest * 2.0 ** (BITS - 1), []
    for _ in range(SLICES):
        found.append(ops.round(rest))
        rest = (rest - found[-1]) * 2.0**BITS
    return found


def _by_order(term: Callable):
    """The sum over slices i and j of term(i, j), from the most significant on."""
    total = 0.0
    for order in range(SLICES):
        pairs = [(i, order - i) for i in range(order // 2 + 1)]
        part = sum((1 if i == j else 2) * term(i, j) for i, j in pairs)
        total = total + part * 2.0 ** (-2 * (BITS - 1) - BITS * order)
    return total


def _products(a, b):
    """(chunks, B, B): the symmetric half of a·b' and b·a', each sum exact."""
    there = ops.matmul(a, ops.transpose(b, (0, 2, 1)))
    return there if a is b else (there + ops.transpose(there, (0, 2, 1))) / 2


def _differences(a, b):
    """(B, B): sum_k (a_ik - a_jk)(b_ik - b_jk), exact in each chunk."""
    own = ops.sum(a * b, axis=2)
    return _added(own[:, :, None] + own[:, None] - 2 * _products(a, b))


def _added(chunks):
    """The sum of the chunks, one after the other for every element alike."""
    total = chunks[0]
    for number in range(1, chunks.shape[0]):
        total = total + chunks[number]
    return total
