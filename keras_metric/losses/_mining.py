"""Which negative goes with which positive: the minings of the triplet loss, row by row.

With few positives an anchor, one pass over the row for each beats sorting it; never a cube.
"""

from collections.abc import Callable

import numpy as np
from keras import ops

from keras_metric.numerics.operations import at_least, switch, take_columns, where
from keras_metric.pairs import Pairs, count_below, masked_mean

__all__ = ["COLUMNS", "TIERS", "all_triplets", "by_positives", "semi_hard_of_many"]

SHORT = 512  # candidates; a pass over fewer costs less than a branch around it
TIERS = (3, 8)  # P x K batches of 4 images a class have 3 positives an anchor


def hard(pairs: Pairs, _):
    """(A, 2): the farthest positive, the nearest negative."""
    d, positives, negatives = pairs
    return ops.concatenate([_largest(d, positives)[1], _largest(-d, negatives)[1]], axis=1)


def easy_positive(pairs: Pairs, _):
    """(A, 2): the nearest positive, the nearest negative."""
    near = -pairs.distances
    columns = [_largest(near, mask)[1] for mask in (pairs.positives, pairs.negatives)]
    return ops.concatenate(columns, axis=1)


def semi_hard(pairs: Pairs, mates):
    """(A, 2 S): the positives among the mates (A, S), and each one's nearest negative beyond it."""
    places = at_least(mates, 0)
    filled = ops.logical_and(mates >= 0, take_columns(pairs.positives, places))
    near = take_columns(-pairs.distances, places)
    columns = ops.concatenate([mates, _nearest_beyond(pairs, near, filled)], axis=1)
    return where(ops.concatenate([filled, filled], axis=1), columns, -1)


def hardest_semi_hard(pairs: Pairs, _):
    """(A, 2): the farthest positive, and its nearest negative beyond it."""
    far, column = _largest(pairs.distances, pairs.positives)
    negative = _nearest_beyond(pairs, -far, ops.ones_like(column, "bool"))
    return ops.concatenate([column, negative], axis=1)


COLUMNS = {
    "semi_hard": semi_hard,
    "hard": hard,
    "easy_positive": easy_positive,
    "hardest_semi_hard": hardest_semi_hard,
}


def by_positives(pairs: Pairs, few: Callable, many: Callable):
    """few(mates) with mates (A, S) of the least of TIERS that holds all positives, else many()."""
    most = ops.amax(ops.sum(ops.cast(pairs.positives, "int32"), axis=1))
    tier = sum(ops.cast(most > tier, "int32") for tier in TIERS)

    def through_mates(slots):
        positives = ops.cast(pairs.positives, "float32")
        if (pairs.positives.shape[1] or 0) < slots:
            positives = ops.pad(positives, [[0, 0], [0, slots]])
        filled, mates = ops.top_k(positives, slots)
        return few(where(filled > 0, ops.cast(mates, "int32"), -1))

    branches = [lambda slots=slots: through_mates(slots) for slots in TIERS]
    return switch(tier, [*branches, many])


def semi_hard_of_many(pairs: Pairs, violation: Callable):
    """Semi-hard with the row sorted once: the mean violation of an anchor, (A,)."""
    d, positives, negatives = pairs
    away = where(negatives, ops.stop_gradient(d), np.inf)
    order = ops.argsort(away, axis=1)
    in_order = take_columns(away, order)
    nearer = count_below(in_order, ops.stop_gradient(d), strictly=False)
    last = ops.sum(ops.cast(negatives, "int32"), axis=1, keepdims=True) - 1
    chosen = take_columns(order, ops.clip(nearer, 0, at_least(last, 0)))
    return masked_mean(violation(d - take_columns(d, chosen)), positives)


def all_triplets(pairs: Pairs, margin: float):
    """Mean of the hinges above 0, (A,).

    With n_p negatives within the reach d_p + margin of a positive p, the hinges add up to the sum
    over p of n_p (d_p + margin), minus d of each negative as often as it is within reach.
    """
    return by_positives(
        pairs,
        lambda mates: _all_of_few(pairs, mates, margin),
        lambda: _all_of_many(pairs, margin),
    )


def _all_of_few(pairs, mates, margin):
    """One pass over the row for each positive counts the negatives within its reach."""
    d, _, negatives = pairs
    reach = take_columns(d, at_least(mates, 0)) + margin
    away = where(negatives, ops.stop_gradient(d), np.inf)
    limits = where(mates >= 0, ops.stop_gradient(reach), -np.inf)
    within = [
        ops.cast(away < limits[:, slot : slot + 1], d.dtype) for slot in range(limits.shape[1])
    ]
    counts = ops.stack([ops.sum(one, axis=1) for one in within], axis=1)
    total = ops.sum(counts * reach, axis=1) - ops.sum(sum(within) * d, axis=1)
    return ops.relu(total) / at_least(ops.sum(counts, axis=1), 1)


def _all_of_many(pairs, margin):
    """By sorting, counting and prefix sums: the negatives within reach are the first in order."""
    d, positives, negatives = pairs
    order = ops.argsort(where(negatives, ops.stop_gradient(d), np.inf), axis=1)
    is_negative = take_columns(negatives, order)
    in_order = take_columns(d, order)
    sums = ops.cumsum(where(is_negative, in_order, 0), axis=1)
    reach = d + margin
    count = count_below(where(is_negative, in_order, np.inf), reach, strictly=True)
    sum_below = take_columns(sums, at_least(count - 1, 0))
    count = ops.cast(count, d.dtype)
    hinges = where(positives, ops.relu(count * reach - where(count > 0, sum_below, 0)), 0)
    active = ops.sum(where(positives, count, 0), axis=1)
    return ops.sum(hinges, axis=1) / at_least(active, 1)


def _nearest_beyond(pairs, near, filled):
    """(A, S): the nearest negative less near than each of (A, S); the farthest if there is none.

    Where `filled` is False any column will do.
    """
    negatives = where(pairs.negatives, -pairs.distances, -np.inf)
    slots = [near[:, slot : slot + 1] for slot in range(near.shape[1])]
    found = [_largest(negatives, negatives < limit) for limit in slots]
    value, nearest = (ops.concatenate(parts, axis=1) for parts in zip(*found, strict=True))
    exists = value > -np.inf

    def or_farthest():
        return where(exists, nearest, _largest(pairs.distances, pairs.negatives)[1])

    if (pairs.distances.shape[1] or SHORT) < SHORT:
        return or_farthest()
    found_all = ops.all(ops.logical_or(exists, ops.logical_not(filled)))
    return ops.cond(found_all, lambda: nearest, or_farthest)


def _largest(values, mask):
    """(A, 1) each: the largest chosen value of a row, -inf where none is chosen, and its column."""
    value, column = ops.top_k(where(mask, values, -np.inf), 1)
    return value, ops.cast(column, "int32")
