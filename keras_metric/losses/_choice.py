"""Losses that read few pairs of a row: chosen without gradient, then measured with it.

A hinge on the hardest pair reads two of a row's C distances. Which two has no gradient, and their
distances can be had from the embeddings again, so the backward pass meets nothing of size A x C.
"""

import numpy as np
from keras import ops

from keras_metric import distances
from keras_metric.losses._base import PairLoss
from keras_metric.losses._batch import has_needed
from keras_metric.numerics.operations import at_least, switch, take_columns, take_rows, where

__all__ = ["ChoosingLoss", "by_mates", "dense", "mates_of"]


class ChoosingLoss(PairLoss):
    """A loss on pairs that reads the same few pairs of a row, whatever the gradient.

    A leaf implements `columns(pairs, mates)`, (A, S) candidates of which -1 stands for none, and
    `of_distances(d, filled)`, their distances (A, S) and which of them there are -> (A,).

    tiers: numbers of positives for which `columns` gets an anchor's candidates of its own class as
    mates; the least tier that serves every anchor is taken, and beyond the last `values(pairs)`.
    Without tiers it serves any number, and gets no mates.
    """

    reads = 2  # columns for each mate, or in all without mates
    chooses = True  # or False, for an instance that reads whole rows
    tiers = ()

    def columns(self, pairs, mates):
        """Pairs, mates (A, tier) or None -> (A, S) int32 columns of the pairs, -1 for none."""
        raise NotImplementedError(
            f"{type(self).__name__} does not implement columns(pairs, mates)."
        )

    def of_distances(self, d, filled):
        """(A, S) distances of the columns, (A, S) bool whether they are there -> (A,) values."""
        raise NotImplementedError(
            f"{type(self).__name__} does not implement of_distances(d, filled)."
        )

    def values(self, pairs):
        return self.through_columns(pairs, None)

    def through_columns(self, pairs, mates):
        """Pairs -> (A,), with gradient through the distances of the pairs."""
        columns = self.columns(pairs, mates)
        d = take_columns(pairs.distances, at_least(columns, 0))
        return self.of_distances(d, columns >= 0)

    def _counted(self, batch):
        every = super()._counted
        if not (self.chooses and distances.is_named(self._distance) and self._pays(batch)):
            return every(batch)
        if not self.tiers:
            return self._measured(batch)
        if self.multi_label:
            return every(batch)
        return by_mates(batch, self.tiers, self._measured, every)

    def _pays(self, batch):
        """Whether measuring the chosen rows again costs less than a gradient through all pairs."""
        count, width = batch.candidates.shape
        read = self.reads * min(self.tiers, default=1)
        return (
            None in (count, width) or 2 * count >= read * width or self.rows_per_block is not None
        )

    def _measured(self, batch):
        """Values and counts (A,), with gradient through the distances of the chosen rows alone."""
        chosen = self._by_rows(self._chosen, _without_gradient(batch), dtype="int32")
        columns, counts = chosen[:, :-1], chosen[:, -1] > 0
        rows = take_rows(dense(batch.candidates), at_least(columns, 0))
        d = distances.paired(self._distance)(ops.expand_dims(batch.anchors, 1), rows)
        return where(counts, self.of_distances(d, columns >= 0), 0), counts

    def _chosen(self, batch):
        """The columns of some anchors, and as a last one whether the anchor counts."""
        ranked = distances.ranking(self._distance) if self._miner is None else self._distance
        pairs = self._pairs(batch, ranked)
        counts = ops.cast(has_needed(pairs, self.needs), "int32")
        return ops.concatenate([self.columns(pairs, batch.mates), counts[:, None]], axis=1)


def by_mates(batch, tiers, few, many):
    """few(batch) with the mates of the least tier that serves every anchor, else many(batch)."""
    mates, largest = mates_of(batch, tiers[-1])
    tier = sum(ops.cast(largest > tier, "int32") for tier in tiers)
    branches = [lambda tier=tier: few(batch._replace(mates=mates[:, :tier])) for tier in tiers]
    return switch(tier, [*branches, lambda: many(batch)])


def mates_of(batch, most):
    """(A, most) candidates of each anchor's class, -1 where there are fewer.

    Also how many the anchor with the most has; of more than `most` of them some are missing. Labels
    of two words are matched by their first, so a mate need not be a positive.
    """
    keys, wanted = (ops.take(words, 0, axis=1) for words in (batch.candidate_words, batch.words))
    count = ops.shape(keys)[0]
    order = ops.cast(ops.argsort(keys), "int32")
    in_order = ops.take(keys, order)
    first = ops.cast(ops.searchsorted(in_order, wanted, side="left"), "int32")
    last = ops.cast(ops.searchsorted(in_order, wanted, side="right"), "int32")
    itself = 0 if batch.offset is None else 1
    places = first[:, None] + ops.arange(most + itself, dtype="int32")[None]
    mates = ops.take(order, ops.minimum(places, count - 1))
    mates = where(places < last[:, None], mates, -1)
    if itself:
        mates = _without_own(mates, batch.offset)
    return mates, ops.amax(last - first) - itself


def _without_own(mates, offset):
    """Leave anchor i's own column, offset + i, out of (A, M + 1) columns: (A, M)."""
    own = ops.arange(ops.shape(mates)[0], dtype="int32") + ops.cast(offset, "int32")
    width = mates.shape[1]
    until = np.triu(np.ones((width, width), "float32"))  # a product: cumsum takes longer
    passed = ops.matmul(ops.cast(mates == own[:, None], "float32"), until) > 0
    return ops.where(passed[:, :-1], mates[:, 1:], mates[:, :-1])


def _without_gradient(batch):
    anchors = ops.stop_gradient(batch.anchors)
    whole = batch.candidates is batch.anchors
    candidates = anchors if whole else ops.stop_gradient(batch.candidates)
    return batch._replace(anchors=anchors, candidates=candidates)


def dense(rows):
    """The same rows; TensorFlow's gradient of a reshape is dense, that of a gather is not."""
    return ops.reshape(rows, ops.shape(rows))
