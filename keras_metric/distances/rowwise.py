"""The same distances between row and row, `(B, D), (B, D) -> (B,)`, exact near 0."""

from keras import ops

from keras_metric.distances.norms import (
    angle,
    centred,
    is_zero,
    precise,
    root,
    scaled,
    signal,
    square_of_scale,
    unit,
)


def euclidean(a, b):
    (a, b), scale = scaled(a, b)
    return scale * root(ops.sum(ops.square(a - b), axis=-1))


def squared_euclidean(a, b):
    (a, b), scale = scaled(a, b)
    return square_of_scale(ops.sum(ops.square(a - b), axis=-1), scale)


def cosine(a, b):
    """1 - cos(a, b) = |u - v|^2 / 2 for the unit vectors u and v: no cancellation near 0."""
    u, v = unit(a), unit(b)
    zeros = ops.cast(is_zero(u), u.dtype) + ops.cast(is_zero(v), u.dtype)
    return (ops.sum(ops.square(u - v), axis=-1) + zeros) / 2


def angular(a, b):
    u, v = unit(a), unit(b)
    nowhere = ops.logical_and(is_zero(u), is_zero(v))
    apart = root(ops.where(nowhere, 1, ops.sum(ops.square(u - v), axis=-1)))
    together = root(ops.where(nowhere, 1, ops.sum(ops.square(u + v), axis=-1)))
    return angle(apart, together)


def negative_dot(a, b):
    return -ops.sum(precise(a) * precise(b), axis=-1)


def manhattan(a, b):
    return ops.sum(ops.abs(precise(a) - precise(b)), axis=-1)


def signal_to_noise(a, b):
    (a, b), _ = scaled(a, b)
    a, b = centred(a), centred(b)
    return ops.sum(ops.square(a - b), axis=-1) / signal(a)
