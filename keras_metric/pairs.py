"""Pairs: A anchors against C candidates: their distances, and which of them are of one class.

Anchors are the rows. There are more candidates than anchors with a memory bank, with other
replicas, or for a block of the anchors; code that reads Pairs need not distinguish these.
"""

from typing import NamedTuple

import numpy as np
from keras import ops

from keras_metric.labels import as_labels, same_class
from keras_metric.numerics.operations import at_least, masked_logsumexp, where

__all__ = [
    "Pairs",
    "count_below",
    "from_labels",
    "from_read_labels",
    "masked_logsumexp",
    "masked_max",
    "masked_mean",
    "masked_min",
    "masked_sum",
    "nearest_negative",
]


class Pairs(NamedTuple):
    """Distances and the two kinds of pair, `(A, C)` each. An anchor is never paired with itself."""

    distances: object
    positives: object
    negatives: object

    def to_positives(self):
        """Distances and a mask of those to positives, (A, S) each.

        S is C, or fewer columns that contain all positives if they were taken out of the rows.
        A loss that reads its positives only through this method works with both.
        """
        return self.distances, self.positives


def from_labels(
    distances, labels, candidate_labels=None, *, offset=0, multi_label: bool = False
) -> Pairs:
    """The pairs of labeled anchors with labeled candidates.

    distances: (A, C). labels: (A,) or (A, 1) integers of any size; with `multi_label` (A, L) of 0
    and 1, and two samples are positive when they share at least one label. candidate_labels: the
    same for the candidates, by default the anchors' own.
    offset: the column that is anchor 0 itself; anchor i is column `offset + i`, and that pair is
    neither positive nor negative. None when no anchor is among the candidates.

    Raises ValueError for labels that are not integers or not of these shapes, see `as_labels` of
    `keras_metric.labels`.
    """
    labels = as_labels(labels, multi_label=multi_label)
    if candidate_labels is None:
        candidate_labels = labels
    else:
        candidate_labels = as_labels(candidate_labels, multi_label=multi_label)
    return from_read_labels(
        distances, labels, candidate_labels, offset=offset, multi_label=multi_label
    )


def from_read_labels(
    distances, labels, candidate_labels, *, offset=0, multi_label: bool = False
) -> Pairs:
    """`from_labels` for labels that `as_labels` has already read."""
    same = same_class(labels, candidate_labels, multi_label=multi_label)
    different = ops.logical_not(same)
    if offset is None:
        return Pairs(distances, same, different)
    rows = ops.arange(ops.shape(same)[0], dtype="int32") + ops.cast(offset, "int32")
    others = rows[:, None] != ops.arange(ops.shape(same)[1], dtype="int32")[None]
    if multi_label:  # a sample without a label is not even of its own class
        different = ops.logical_and(different, others)
    return Pairs(distances, ops.logical_and(same, others), different)


def masked_sum(values, mask):
    """The sum of the chosen values of each row, 0 where none is chosen."""
    return ops.sum(where(mask, values, 0), axis=-1)


def masked_mean(values, mask):
    """The mean of the chosen values of each row, 0 where none is chosen."""
    count = ops.sum(ops.cast(mask, values.dtype), axis=-1)
    return masked_sum(values, mask) / at_least(count, 1)


def masked_max(values, mask):
    """The largest chosen value of each row, 0 where none is chosen."""
    largest = ops.amax(where(mask, values, -np.inf), axis=-1)
    return where(ops.any(mask, axis=-1), largest, 0)


def masked_min(values, mask):
    """The smallest chosen value of each row, 0 where none is chosen."""
    smallest = ops.amin(where(mask, values, np.inf), axis=-1)
    return where(ops.any(mask, axis=-1), smallest, 0)


def nearest_negative(pairs: Pairs):
    """(A, 1): the distance to the anchor's nearest negative, 1e30 where it has none."""
    nearest = masked_min(pairs.distances, pairs.negatives)
    return ops.where(ops.any(pairs.negatives, axis=1), nearest, 1e30)[:, None]


def count_below(in_order, limits, *, strictly: bool):
    """How many of each ascending row lie below (or at) each limit of that row: binary search."""
    in_order, limits = ops.stop_gradient(in_order), ops.stop_gradient(limits)
    width = ops.shape(in_order)[1]
    below = ops.less if strictly else ops.less_equal

    def halve(step, count):
        probe = ops.minimum(count + step, width)
        value = ops.take_along_axis(in_order, probe - 1, axis=1)
        inside = ops.logical_and(count + step <= width, below(value, limits))
        return step // 2, ops.where(inside, probe, count)

    bits = ops.floor(ops.log2(ops.cast(width, "float32") + 0.5))
    first = ops.cast(ops.power(2.0, bits) + 0.5, "int32")
    zero = ops.zeros_like(limits, dtype="int32")
    return ops.while_loop(lambda step, _: step > 0, halve, (first, zero))[1]
