"""Numbers made safe: at least float32, of any norm, with finite gradients at 0."""

import math

from keras import ops
from keras.backend import standardize_dtype

from keras_metric.numerics.eager import at_least, largest_magnitude, where
from keras_metric.numerics.kernels import unit_rows

_HUGE = 1e15  # beyond it (or below its inverse) float32 squares leave the range: work on a scale
_LARGEST = 1e38
_LEAST = 2.0**-120  # its square root, taken in place of that of 0, is exact on every device


def precise(x):
    """`x` as a tensor of at least float32."""
    x = ops.convert_to_tensor(x)
    return x if standardize_dtype(x.dtype) == "float64" else ops.cast(x, "float32")


def root(squares):
    """The square root, with value and gradient 0 at 0 and below."""
    return ops.sqrt(at_least(squares, _LEAST)) - math.sqrt(_LEAST)


def unit(x):
    """Rows of length 1, of any norm before; a zero row becomes zero, with gradient 0."""
    return unit_rows(precise(x))


def squared_lengths(rows):
    return ops.sum(ops.square(rows), axis=-1)


def scaled(anchors, candidates):
    """Both over one constant, which is 1 unless squares would leave the range of float32."""
    both = of_both(precise, anchors, candidates)
    peaks = of_both(largest_magnitude, *both)
    peak = peaks[0] if peaks[0] is peaks[1] else ops.maximum(*peaks)
    out_of_range = ops.logical_or(peak > _HUGE, ops.logical_and(peak > _LEAST, peak < 1 / _HUGE))
    scale = where(out_of_range, peak, 1)
    inverse = ops.reciprocal(scale)
    return of_both(lambda x: x * inverse, *both), scale


def of_both(function, anchors, candidates):
    """The function of each, computed once where anchors and candidates are the same tensor."""
    of_anchors = function(anchors)
    return of_anchors, of_anchors if candidates is anchors else function(candidates)


def square_of_scale(squares, scale):
    """squares · scale^2, at most the largest number that float32 holds."""
    return ops.minimum(squares * scale, _LARGEST / scale) * scale


def centred(x):
    """x minus the mean of its row; a row of equal coordinates is exactly zero."""
    centred = x - ops.mean(x, axis=-1, keepdims=True)
    power = ops.sum(ops.square(centred), axis=-1, keepdims=True)
    rounding = 1e-10 * ops.sum(ops.square(x), axis=-1, keepdims=True)
    return ops.where(power > rounding, centred, 0)


def signal(centred):
    power = ops.sum(ops.square(centred), axis=-1)
    return ops.where(power > 0, power, 1)


def is_zero(rows):
    return ops.amax(ops.abs(rows), axis=-1) == 0


def angle(apart, together):
    """The angle over pi between unit vectors u and v, from |u - v| and |u + v|."""
    return ops.arctan2(apart, together) * (2 / math.pi)
