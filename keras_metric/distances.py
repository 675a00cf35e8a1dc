"""Distances `(A, D), (C, D) -> (A, C)`: smaller is nearer, always.

Every distance computes in at least float32, is never negative (`negative_dot` alone may be), has a
finite gradient where two points coincide and at zero vectors, and stays finite for huge norms.

The pairwise forms of `euclidean` and `squared_euclidean` expand |a - c|^2 into a matrix product, so
they resolve pairs nearer than about 3e-4 times their norm (float32) only roughly. `paired` compares
row with row, (B, D), (B, D) -> (B,), by differences, and is exact there.

A distance of the table is a function `(A, D), (C, D) -> (A, C)` under `@named(row_by_row)`, where
`row_by_row` is the same distance between row and row, `(B, D), (B, D) -> (B,)`.
"""

import difflib
import math
from collections.abc import Callable

from keras import ops
from keras.backend import standardize_dtype

from keras_metric.numerics.operations import (
    all_products,
    at_least,
    largest_magnitude,
    unit_rows,
    where,
)

__all__ = [
    "angular",
    "cosine",
    "euclidean",
    "get",
    "is_named",
    "manhattan",
    "names",
    "negative_dot",
    "paired",
    "precise",
    "ranking",
    "root",
    "signal_to_noise",
    "squared_euclidean",
    "unit",
]

_HUGE = 1e15  # beyond it (or below its inverse) float32 squares leave the range: work on a scale
_LARGEST = 1e38
_LEAST = 2.0**-120  # its square root, taken in place of that of 0, is exact on every device

_BY_NAME, _PAIRED, _RANKING = {}, {}, {}


def names() -> list[str]:
    """The names that `get` accepts."""
    return sorted(_BY_NAME)


def is_named(distance: Callable) -> bool:
    """Whether `get` returns this function for its name."""
    return _BY_NAME.get(getattr(distance, "__name__", None)) is distance


def get(identifier: str | Callable) -> Callable:
    """The distance of that name, or the callable itself."""
    if callable(identifier):
        return identifier
    if identifier in _BY_NAME:
        return _BY_NAME[identifier]
    nearest = difflib.get_close_matches(str(identifier), _BY_NAME, n=1, cutoff=0.4)
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    raise ValueError(
        f"Unknown distance. Expected: one of {', '.join(names())}, or a function "
        f"(A, D), (C, D) -> (A, C). Received: distance={identifier!r}{hint}."
    )


def paired(identifier: str | Callable) -> Callable:
    """The same distance between row and row: (B, D), (B, D) -> (B,), exact near 0.

    Your own callable is evaluated on one pair at a time, through its pairwise form.
    """
    distance = get(identifier)
    if distance in _PAIRED:
        return _PAIRED[distance]

    def row_by_row(a, b):
        a, b = precise(a), precise(b)
        return ops.vectorized_map(lambda pair: distance(pair[0][None], pair[1][None])[0, 0], (a, b))

    return row_by_row


def ranking(identifier: str | Callable) -> Callable:
    """A cheaper function (A, D), (C, D) -> (A, C) that orders each anchor's candidates alike.

    Its values cannot be compared between anchors.
    """
    distance = get(identifier)
    return _RANKING.get(distance, distance)


def precise(x):
    """`x` as a tensor of at least float32."""
    x = ops.convert_to_tensor(x)
    return x if standardize_dtype(x.dtype) == "float64" else ops.cast(x, "float32")


def root(squares):
    """The square root, with value and gradient 0 at 0 and below."""
    return ops.sqrt(at_least(squares, _LEAST)) - math.sqrt(_LEAST)


def unit(x):
    """Rows scaled to length 1; a zero row stays zero, with gradient 0."""
    return unit_rows(precise(x))


def named(row_by_row: Callable, *, ranks: Callable | None = None) -> Callable:
    """Register a distance by its function's name, with its row-by-row form.

    ranks: a cheaper `(A, D), (C, D) -> (A, C)` that orders each anchor's candidates alike.
    """

    def enter(distance: Callable) -> Callable:
        distance.is_named_distance = True  # saved by its name, see `arguments.as_json`
        _BY_NAME[distance.__name__] = distance
        _PAIRED[distance] = row_by_row
        if ranks is not None:
            _RANKING[distance] = ranks
        return distance

    return enter


def _rank_by_squares(anchors, candidates):
    """|c|^2 - 2 a·c: what changes with c in |a - c|^2."""
    (anchors, candidates), _ = _scaled(anchors, candidates)
    return all_products(-2 * anchors, candidates) + _squared_lengths(candidates)[None]


def _rank_by_cosines(anchors, candidates):
    """-cos(a, c)."""
    anchors, candidates = _of_both(unit, anchors, candidates)
    return all_products(-anchors, candidates)


def _euclidean_rows(a, b):
    (a, b), scale = _scaled(a, b)
    return scale * root(ops.sum(ops.square(a - b), axis=-1))


@named(_euclidean_rows, ranks=_rank_by_squares)
def euclidean(anchors, candidates):
    """|a - c|."""
    (anchors, candidates), scale = _scaled(anchors, candidates)
    return scale * root(_expanded(anchors, candidates))


def _squared_euclidean_rows(a, b):
    (a, b), scale = _scaled(a, b)
    return _times_square_of(scale, ops.sum(ops.square(a - b), axis=-1))


@named(_squared_euclidean_rows, ranks=_rank_by_squares)
def squared_euclidean(anchors, candidates):
    """|a - c|^2; beyond the range of float32 it stays at 1e38."""
    (anchors, candidates), scale = _scaled(anchors, candidates)
    return _times_square_of(scale, _squared_differences(anchors, candidates))


def _cosine_rows(a, b):
    """1 - cos(a, b) = |u - v|^2 / 2 for the unit vectors u and v: no cancellation near 0."""
    u, v = unit(a), unit(b)
    zeros = ops.cast(_is_zero(u), u.dtype) + ops.cast(_is_zero(v), u.dtype)
    return (ops.sum(ops.square(u - v), axis=-1) + zeros) / 2


@named(_cosine_rows, ranks=_rank_by_cosines)
def cosine(anchors, candidates):
    """1 - a·c / (|a| |c|), in [0, 2]; a zero vector is at distance 1 from everything."""
    anchors, candidates = _of_both(unit, anchors, candidates)
    return ops.relu(all_products(-anchors, candidates) + 1)


def _angular_rows(a, b):
    u, v = unit(a), unit(b)
    both_zero = ops.logical_and(_is_zero(u), _is_zero(v))
    apart = root(ops.where(both_zero, 1, ops.sum(ops.square(u - v), axis=-1)))
    together = root(ops.where(both_zero, 1, ops.sum(ops.square(u + v), axis=-1)))
    return _angle(apart, together)


@named(_angular_rows, ranks=_rank_by_cosines)
def angular(anchors, candidates):
    """The angle between a and c divided by pi, in [0, 1]; for a zero vector 1/2."""
    anchors, candidates = _of_both(unit, anchors, candidates)
    cosines = all_products(anchors, candidates)
    return _angle(root(2 - 2 * cosines), root(2 + 2 * cosines))


def _negative_dot_rows(a, b):
    return -ops.sum(precise(a) * precise(b), axis=-1)


@named(_negative_dot_rows)
def negative_dot(anchors, candidates):
    """-a·c: inner products as they are, for embeddings of any length; may be negative."""
    anchors, candidates = _of_both(precise, anchors, candidates)
    return all_products(-anchors, candidates)


def _manhattan_rows(a, b):
    return ops.sum(ops.abs(precise(a) - precise(b)), axis=-1)


@named(_manhattan_rows)
def manhattan(anchors, candidates):
    """sum_k |a_k - c_k|. Memory A·C·D."""
    anchors, candidates = precise(anchors), precise(candidates)
    return ops.sum(ops.abs(anchors[:, None] - candidates[None]), axis=-1)


def _signal_to_noise_rows(a, b):
    (a, b), _ = _scaled(a, b)
    a, b = _centered(a), _centered(b)
    return ops.sum(ops.square(a - b), axis=-1) / _power(a)


@named(_signal_to_noise_rows)
def signal_to_noise(anchors, candidates):
    """var(a - c) / var(a), variances over the D coordinates: noise over the anchor's signal.

    Not symmetric. An anchor whose coordinates are all equal has variance 0, which counts as 1.
    Yuan et al., "Signal-to-noise ratio", CVPR 2019. arXiv:1904.02616, eq. 4
    """
    (anchors, candidates), _ = _scaled(anchors, candidates)
    anchors, candidates = _of_both(_centered, anchors, candidates)
    return _squared_differences(anchors, candidates) / _power(anchors)[:, None]


def _scaled(anchors, candidates):
    """Both over one constant, which is 1 unless squares would leave the range of float32."""
    both = _of_both(precise, anchors, candidates)
    peaks = _of_both(largest_magnitude, *both)
    peak = peaks[0] if peaks[0] is peaks[1] else ops.maximum(*peaks)
    out_of_range = ops.logical_or(peak > _HUGE, ops.logical_and(peak > _LEAST, peak < 1 / _HUGE))
    scale = where(out_of_range, peak, 1)
    inverse = ops.reciprocal(scale)
    return _of_both(lambda x: x * inverse, *both), scale


def _of_both(function, anchors, candidates):
    """The function of each, computed once where anchors and candidates are the same tensor."""
    of_anchors = function(anchors)
    return of_anchors, of_anchors if candidates is anchors else function(candidates)


def _squared_lengths(rows):
    return ops.sum(ops.square(rows), axis=-1)


def _expanded(anchors, candidates):
    """|a|^2 + |c|^2 - 2 a·c, which rounding may bring below 0."""
    of_anchors, of_candidates = _of_both(_squared_lengths, anchors, candidates)
    products = all_products(-2 * anchors, candidates)
    return products + of_anchors[:, None] + of_candidates[None]


def _squared_differences(anchors, candidates):
    """|a - c|^2, at least 0; rounding below 0 has no gradient."""
    return ops.relu(_expanded(anchors, candidates))


def _times_square_of(scale, squares):
    """squares · scale^2, at most the largest number that float32 holds."""
    return ops.minimum(squares * scale, _LARGEST / scale) * scale


def _centered(x):
    """x minus the mean of its row; a row of equal coordinates is exactly zero."""
    centered = x - ops.mean(x, axis=-1, keepdims=True)
    power = ops.sum(ops.square(centered), axis=-1, keepdims=True)
    rounding = 1e-10 * ops.sum(ops.square(x), axis=-1, keepdims=True)
    return ops.where(power > rounding, centered, 0)


def _power(centered):
    """The squared length of each row, 1 in place of 0."""
    power = _squared_lengths(centered)
    return ops.where(power > 0, power, 1)


def _is_zero(rows):
    return ops.amax(ops.abs(rows), axis=-1) == 0


def _angle(apart, together):
    """The angle over pi between unit vectors u and v, from |u - v| and |u + v|."""
    return ops.arctan2(apart, together) * (2 / math.pi)
