"""Which negative goes with which positive: the minings of the triplet loss, row by row.

Up to FEW positives an anchor, one pass over the row for each beats sorting it; never a cube.
"""

from collections.abc import Callable

import numpy as np
from keras import ops

from keras_metric.pairs import Pairs, count_below, masked_mean

__all__ = ["COLUMNS", "FEW", "all_triplets", "by_positives", "semi_hard_of_many"]

FEW = 8
AT_ONCE = 2**18  # elements of (A, FEW, C) up to which all positives go in one pass


def hard(pairs: Pairs, _):
    """(A, 2): the farthest positive, the nearest negative."""
    d, positives, negatives = pairs
    return _side_by_side(_farthest(d, positives), _nearest(d, negatives))


def easy_positive(pairs: Pairs, _):
    """(A, 2): the nearest positive, the nearest negative."""
    d, positives, negatives = pairs
    return _side_by_side(_nearest(d, positives), _nearest(d, negatives))


def semi_hard(pairs: Pairs, mates):
    """(A, 2 S): the positives among the mates (A, S), and each one's nearest negative beyond it.

    Where none is beyond it, the farthest negative.
    """
    d, positives, negatives = pairs
    places = ops.maximum(mates, 0)
    filled = ops.logical_and(mates >= 0, ops.take_along_axis(positives, places, axis=1))
    limits = ops.take_along_axis(d, places, axis=1)
    away = ops.where(negatives, d, np.inf)
    nearest, exists = _nearest_beyond(away, limits, filled)
    nearest = ops.cond(
        ops.all(ops.logical_or(exists, ops.logical_not(filled))),
        lambda: nearest,
        lambda: ops.where(exists, nearest, _farthest(d, negatives)[:, None]),
    )
    columns = ops.concatenate([mates, nearest], axis=1)
    return ops.where(ops.concatenate([filled, filled], axis=1), columns, -1)


COLUMNS = {"semi_hard": semi_hard, "hard": hard, "easy_positive": easy_positive}


def by_positives(pairs: Pairs, few: Callable, many: Callable):
    """few(mates) where no anchor has more than FEW positives, else many()."""
    count = ops.sum(ops.cast(pairs.positives, "int32"), axis=1)

    def through_mates():
        positives = ops.cast(pairs.positives, "float32")
        if (pairs.positives.shape[1] or 0) < FEW:
            positives = ops.pad(positives, [[0, 0], [0, FEW]])
        filled, mates = ops.top_k(positives, FEW)
        return few(ops.where(filled > 0, ops.cast(mates, "int32"), -1))

    return ops.cond(ops.max(count) <= FEW, through_mates, many)


def semi_hard_of_many(pairs: Pairs, violation: Callable):
    """Semi-hard with the row sorted once: the mean violation of an anchor, (A,)."""
    d, positives, negatives = pairs
    away = ops.where(negatives, ops.stop_gradient(d), np.inf)
    order = ops.argsort(away, axis=1)
    in_order = ops.take_along_axis(away, order, axis=1)
    nearer = count_below(in_order, ops.stop_gradient(d), strictly=False)
    last = ops.sum(ops.cast(negatives, "int32"), axis=1, keepdims=True) - 1
    chosen = ops.take_along_axis(order, ops.clip(nearer, 0, ops.maximum(last, 0)), axis=1)
    return masked_mean(violation(d - ops.take_along_axis(d, chosen, axis=1)), positives)


def all_triplets(pairs: Pairs, margin: float):
    """Mean of the hinges above 0, (A,).

    With n_p negatives within reach of the positive p, which is at d_p + margin, the hinges add up to
    sum over p of n_p (d_p + margin), minus d of each negative as often as it is within reach.
    """
    return by_positives(
        pairs,
        lambda mates: _all_of_few(pairs, mates, margin),
        lambda: _all_of_many(pairs, margin),
    )


def _all_of_few(pairs, mates, margin):
    """One pass over the row for each positive counts the negatives within its reach."""
    d, _, negatives = pairs
    reach = ops.take_along_axis(d, ops.maximum(mates, 0), axis=1) + margin
    away = ops.where(negatives, ops.stop_gradient(d), np.inf)
    limits = ops.where(mates >= 0, ops.stop_gradient(reach), -np.inf)
    slot_numbers = ops.arange(limits.shape[1], dtype="int32")[None]

    def next_slot(slot, counts, times):
        within = ops.cast(away < ops.take(limits, slot, axis=1)[:, None], d.dtype)
        count = ops.sum(within, axis=1)[:, None]
        return slot + 1, ops.where(slot_numbers == slot, count, counts), times + within

    start = ops.zeros((), "int32"), ops.zeros_like(limits), ops.zeros_like(away)
    last = _last_slot(mates >= 0)
    _, counts, times = ops.while_loop(lambda slot, *_: slot < last, next_slot, start)
    counts, times = ops.stop_gradient(counts), ops.stop_gradient(times)
    total = ops.sum(counts * reach, axis=1) - ops.sum(times * d, axis=1)
    return ops.relu(total) / ops.maximum(ops.sum(counts, axis=1), 1)


def _all_of_many(pairs, margin):
    """By sorting, counting and prefix sums: the negatives within reach are the first in order."""
    d, positives, negatives = pairs
    order = ops.argsort(ops.where(negatives, ops.stop_gradient(d), np.inf), axis=1)
    is_negative = ops.take_along_axis(negatives, order, axis=1)
    in_order = ops.take_along_axis(d, order, axis=1)
    sums = ops.cumsum(ops.where(is_negative, in_order, 0), axis=1)
    reach = d + margin
    count = count_below(ops.where(is_negative, in_order, np.inf), reach, strictly=True)
    sum_below = ops.take_along_axis(sums, ops.maximum(count - 1, 0), axis=1)
    count = ops.cast(count, d.dtype)
    hinges = ops.where(positives, ops.relu(count * reach - ops.where(count > 0, sum_below, 0)), 0)
    active = ops.sum(ops.where(positives, count, 0), axis=1)
    return ops.sum(hinges, axis=1) / ops.maximum(active, 1)


def _nearest_beyond(away, limits, filled):
    """(A, C), (A, S) -> (A, S): the column of the least value beyond each limit, and if any is."""
    anchors, slots, width = (*limits.shape, away.shape[1])
    if None not in (anchors, width) and anchors * slots * width <= AT_ONCE:
        beyond = ops.where(away[:, None] > limits[:, :, None], away[:, None], np.inf)
        nearest = ops.argmin(beyond, axis=2)
        return ops.cast(nearest, "int32"), ops.min(beyond, axis=2) < np.inf
    slot_numbers = ops.arange(slots, dtype="int32")[None]

    def next_slot(slot, nearest, exists):
        beyond = ops.where(away > ops.take(limits, slot, axis=1)[:, None], away, np.inf)
        column = ops.cast(ops.argmin(beyond, axis=1), "int32")[:, None]
        some = ops.take_along_axis(beyond, column, axis=1) < np.inf
        mine = slot_numbers == slot
        return slot + 1, ops.where(mine, column, nearest), ops.where(mine, some, exists)

    start = ops.zeros((), "int32"), ops.zeros_like(limits, "int32"), ops.zeros_like(filled)
    last = _last_slot(filled)
    return ops.while_loop(lambda slot, *_: slot < last, next_slot, start)[1:]


def _last_slot(filled):
    """One more than the last column of (A, S) bool in which any row is filled."""
    return ops.max(ops.where(filled, ops.arange(1, filled.shape[1] + 1, dtype="int32")[None], 0))


def _farthest(d, mask):
    return ops.cast(ops.argmax(ops.where(mask, d, -np.inf), axis=1), "int32")


def _nearest(d, mask):
    return ops.cast(ops.argmin(ops.where(mask, d, np.inf), axis=1), "int32")


def _side_by_side(*columns):
    return ops.stack(columns, axis=1)
