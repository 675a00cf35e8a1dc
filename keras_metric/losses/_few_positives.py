"""The fast way of batches with few positives an anchor, such as P x K batches of 4 images a class.

The few candidates of an anchor's class are found by sorting the labels, without a look at the
(A, C) pairs. A loss that reads its positives through `pairs.to_positives()` then reads (A, S)
distances, S of `TIERS`, and only what the negatives need is of size A x C.
"""

from collections.abc import Callable

import numpy as np
from keras import ops

from keras_metric.numerics.operations import (
    at_least,
    may_branch,
    switch,
    take_columns,
    where,
    with_columns,
)
from keras_metric.pairs import Pairs

__all__ = [
    "TIERS",
    "FewPositives",
    "by_labels",
    "by_pairs",
    "same_class_columns",
    "take_positives_out",
]

TIERS = (3, 8)  # positives an anchor that a fast way is built for; the least that is enough is used


class FewPositives(Pairs):
    """Pairs whose positives were taken out of the row: `to_positives` gives those alone."""

    def __new__(cls, pairs: Pairs, distances, positives):
        self = super().__new__(cls, *pairs)
        self.taken_out = distances, positives
        return self

    def to_positives(self):
        return self.taken_out


def take_positives_out(pairs: Pairs, columns) -> FewPositives:
    """The pairs whose positives are all among the columns (A, S), of which -1 stands for none."""
    places = at_least(columns, 0)
    positives = ops.logical_and(columns >= 0, take_columns(pairs.positives, places))
    whole, distances = with_columns(pairs.distances, places)
    return FewPositives(pairs._replace(distances=whole), distances, positives)


def by_labels(batch, few: Callable, many: Callable, *, loops: bool = False):
    """few(batch), with the columns of each anchor's class, or many(batch) where they are too many.

    The columns are (A, S) with S the least of TIERS that is enough for every anchor. `loops`:
    whether both work through the anchors in a loop.
    """
    if not may_branch(batch.anchors, batch.candidates, loops=loops):
        return many(batch)
    columns, most = same_class_columns(batch, TIERS[-1])
    alone = batch.anchors is batch.candidates

    def of(function, slots=None):
        same_class = None if slots is None else columns[:, :slots]

        def branch(*rows):
            return function(
                batch._replace(anchors=rows[0], candidates=rows[-1], same_class=same_class)
            )

        return branch

    rows = [batch.anchors] if alone else [batch.anchors, batch.candidates]
    return switch(_tier(most), [*(of(few, slots) for slots in TIERS), of(many)], *rows)


def by_pairs(pairs: Pairs, few: Callable, many: Callable):
    """few(pairs, their positives taken out), or many(pairs) where an anchor has too many."""
    if not may_branch(pairs.distances):
        return many(pairs)
    most = ops.amax(ops.sum(ops.cast(pairs.positives, "int32"), axis=1))

    def of_few(slots, distances):
        positives = ops.cast(pairs.positives, "float32")
        if (pairs.positives.shape[1] or 0) < slots:
            positives = ops.pad(positives, [[0, 0], [0, slots]])
        filled, columns = ops.top_k(positives, slots)
        columns = where(filled > 0, ops.cast(columns, "int32"), -1)
        return few(take_positives_out(pairs._replace(distances=distances), columns))

    branches = [lambda distances, slots=slots: of_few(slots, distances) for slots in TIERS]
    return switch(
        _tier(most),
        [*branches, lambda distances: many(pairs._replace(distances=distances))],
        pairs.distances,
    )


def _tier(most):
    """The index of the least tier that holds `most`, len(TIERS) beyond the last."""
    return sum(ops.cast(most > tier, "int32") for tier in TIERS)


def same_class_columns(batch, most: int):
    """(A, most) columns of the candidates of each anchor's class, -1 where there are fewer.

    Also how many the anchor with the most has; of more than `most` of them some are missing. Labels
    of two columns are matched by their first, so that some may not be positives.
    """
    labels, wanted = (ops.take(x, 0, axis=1) for x in (batch.candidate_labels, batch.labels))
    count = ops.shape(labels)[0]
    order = ops.cast(ops.argsort(labels), "int32")
    in_order = ops.take(labels, order)
    first = ops.cast(ops.searchsorted(in_order, wanted, side="left"), "int32")
    last = ops.cast(ops.searchsorted(in_order, wanted, side="right"), "int32")
    itself = 0 if batch.offset is None else 1
    places = first[:, None] + ops.arange(most + itself, dtype="int32")[None]
    columns = ops.take(order, ops.minimum(places, count - 1))
    columns = where(places < last[:, None], columns, -1)
    if itself:
        columns = _without_own(columns, batch.offset)
    return columns, ops.amax(last - first) - itself


def _without_own(columns, offset):
    """Leave anchor i's own column, offset + i, out of (A, M + 1) columns: (A, M)."""
    own = ops.arange(ops.shape(columns)[0], dtype="int32") + ops.cast(offset, "int32")
    width = columns.shape[1]
    until = np.triu(np.ones((width, width), "float32"))  # a product: cumsum takes longer
    passed = ops.matmul(ops.cast(columns == own[:, None], "float32"), until) > 0
    return ops.where(passed[:, :-1], columns[:, 1:], columns[:, :-1])
