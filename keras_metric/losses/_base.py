"""The two base classes of all losses.

`SampleLoss` reduces one value per sample. `PairLoss` forms the pairs of a labeled batch, passes
them to the miner, and computes one value per anchor, for all rows or a block of rows at a time.
"""

import copy
from collections.abc import Callable
from typing import NamedTuple

import keras
from keras import ops

from keras_metric import distances
from keras_metric.arguments import Configured, number, whole
from keras_metric.labels import as_labels
from keras_metric.losses._few_positives import by_labels, take_positives_out
from keras_metric.numerics.blocks import map_rows, rows_from
from keras_metric.numerics.operations import at_least, at_least_one, nan_unless_finite, where
from keras_metric.numerics.replicas import gather, replica_mean
from keras_metric.pairs import Pairs, from_read_labels

__all__ = ["Batch", "PairLoss", "SampleLoss", "has_needed"]


class SampleLoss(Configured, keras.losses.Loss):
    """A Keras loss, saved by its arguments; a subclass implements `call`, one value per sample."""

    def __init__(
        self,
        *,
        gather: bool = False,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.gather = gather  # means divide by what counts on all replicas

    def __call__(self, y_true, y_pred, sample_weight=None):
        values = self.call(y_true, y_pred)
        counts = ops.ones_like(values, dtype="bool") if self.gather else None
        return self.reduce(values, counts, sample_weight)

    def reduce(self, values, counts, sample_weight=None):
        """Apply Keras's reductions to values (A,); means are over those that count.

        counts: (A,) bool or None for all. A value that does not count is 0 and excluded from the
        denominator of "sum_over_batch_size", "mean" and "mean_with_sample_weight"; with
        sample_weight (A,) or (A, 1) the first two divide by the number that count, as Keras does,
        the third by the sum of their weights. reduction="sum" adds the values, None returns them.
        """
        weights, reduction = None, self.reduction
        if sample_weight is not None:
            weights = ops.cast(ops.reshape(sample_weight, (-1,)), values.dtype)
        if counts is not None:
            counted = ops.cast(counts, values.dtype)
            samples = ops.cast(ops.shape(values)[0], values.dtype)
            if self.reduction in ("sum_over_batch_size", "mean"):
                total = at_least(self._total(ops.sum(counted)), 1e-30)
                if weights is None and keras.backend.backend() != "tensorflow":
                    return ops.sum(values) / total  # what Keras comes to in ten more steps
                values = values * (samples / total)
            elif self.reduction == "mean_with_sample_weight":
                counted = counted if weights is None else weights * counted
                total = self._total(ops.sum(counted))
                values = values * counted * ops.divide_no_nan(samples, total)
                weights, reduction = None, "sum_over_batch_size"
        if values.shape[0] == 0 and self.reduction not in (None, "none"):
            return ops.sum(values)  # Keras leaves no values as they are
        reduce = _Reduction(reduction=reduction, dtype=values.dtype, name=self.name)
        return reduce(values, values, weights)

    def gather_over_replicas(self, gather: bool = True) -> None:
        """Set `gather` of a loss before a training step is compiled with it."""
        vars(self)["gather"] = gather

    def _total(self, count):
        """The denominator of a mean; over several replicas the mean of theirs."""
        return replica_mean(count) if self.gather else count


@keras.saving.register_keras_serializable(package="keras_metric", name="_Reduction")
class _Reduction(keras.losses.Loss):
    """Keras's own reduction, of values that are already computed."""

    def call(self, y_true, y_pred):
        return y_pred


class Batch(NamedTuple):
    """Anchors (A, D) and candidates (C, D), with their labels as `as_labels` reads them.

    offset: the candidate that is anchor 0 itself, None when no anchor is among the candidates.
    same_class: (A, S) int32 columns of the candidates of the anchor's class, for the fast paths.
    """

    anchors: object
    labels: object
    candidates: object
    candidate_labels: object
    offset: object
    same_class: object = None

    def is_whole(self) -> bool:
        """Whether every candidate is an anchor."""
        return self.candidates is self.anchors


class PairLoss(SampleLoss):
    """A loss over the pairs of a labeled batch, `(labels, embeddings) -> loss`.

    distance: name or function, see `keras_metric.distances`.
    miner: name or function Pairs -> Pairs, see `keras_metric.miners`; None keeps every pair.
    rows_per_block: number of anchors processed at a time, recomputed in the backward pass: memory
    O(rows · B) instead of O(B^2), same value and gradient.
    gather: under a `tf.distribute` strategy, compare with the samples of every replica.
    multi_label: labels are (B, L) rows of 0 and 1; positives share at least one label.

    Labels are (B,) or (B, 1) integers and are never cast to a float. The reduction is the mean over
    the anchors that count, 0 when none does. The loss computes in float32 and returns it, float64
    for embeddings of float64.

    A subclass implements `values(pairs)`, its formula. It may also set or override:

    needs: which pairs an anchor must have, after mining, to count.
    looks_beyond_row: True for a loss that also reads the pairs of its candidates. It implements
    `context(pairs)`, Pairs of all candidates -> (C, W), and is called as `values(pairs, context)`.

    For speed only (a test compares value and gradient with those of `values(pairs)` on whole rows,
    which a loss with `fast = False` always uses):

    few_positives_from: for a loss that reads its positives only through `pairs.to_positives()`, the
    number of candidates from which on the few positives of each anchor are first collected from its
    row; in shorter rows that costs more than it saves.
    fast_values(pairs): the same values, computed faster; also of `FewPositives`.
    _counted(batch): values and counts without all pairs, see `TripletLoss`.
    """

    needs = "both"  # a positive and a negative; or "positive"; or "any": either
    looks_beyond_row = False
    few_positives_from = None
    fast = True

    def __init__(
        self,
        *,
        distance: str | Callable = "euclidean",
        miner: str | Callable | None = None,
        rows_per_block: int | None = None,
        gather: bool = False,
        multi_label: bool = False,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype=None,
    ):
        super().__init__(gather=gather, name=name, reduction=reduction, dtype=dtype)
        self.distance = distance
        self.miner = miner
        if rows_per_block is not None:
            rows_per_block = whole("rows_per_block", rows_per_block)
        self.rows_per_block = rows_per_block
        self.multi_label = multi_label
        self._distance = distances.get(distance)
        self._miner = _miner(miner)
        self._drops_pairs = self._miner is not None  # so that an anchor may be left with none

    def values(self, pairs: Pairs, context=None):
        """Pairs -> (A,); values of anchors without the pairs that the loss `needs` are ignored."""
        raise NotImplementedError(f"{type(self).__name__} does not implement values(pairs).")

    def context(self, pairs: Pairs):
        """Pairs of all candidates -> (C, W): what `values` needs of each, computed once."""
        raise NotImplementedError(f"{type(self).__name__} does not implement context(pairs).")

    def fast_values(self, pairs: Pairs):
        """The same as `values(pairs)`, computed faster where a loss overrides this."""
        return self.values(pairs)

    def __call__(self, labels, embeddings, sample_weight=None):
        """The reduced loss of labels (B,) or (B, 1) and embeddings (B, D)."""
        return self.loss_against(
            labels, embeddings, *self._candidates(labels, embeddings), sample_weight=sample_weight
        )

    def call(self, labels, embeddings):
        """One value per anchor, (B,): 0 if the anchor does not count."""
        return self.against(labels, embeddings, *self._candidates(labels, embeddings))

    def against(self, labels, embeddings, candidate_labels, candidates, offset=None):
        """One value per anchor, (A,), for anchors (A, D) against any candidates (C, D).

        offset: the candidate that is anchor 0 itself (anchor i is candidate offset + i); None when
        no anchor is among the candidates.
        """
        arguments = labels, embeddings, candidate_labels, candidates, offset
        return self.counted_values(*arguments)[0]

    def loss_against(
        self, labels, embeddings, candidate_labels, candidates, offset=None, *, sample_weight=None
    ):
        """The reduced loss of anchors against any candidates: see `against`."""
        arguments = labels, embeddings, candidate_labels, candidates, offset
        return self.reduce(*self.counted_values(*arguments), sample_weight)

    def counted_values(self, labels, embeddings, candidate_labels, candidates, offset=None):
        """Values (A,) of the anchors and whether each counts, (A,) bool: see `against`."""
        among_themselves = candidates is embeddings and candidate_labels is labels
        anchors, labels = self._read(embeddings, labels)
        if not among_themselves:
            candidates, candidate_labels = self._read(candidates, candidate_labels)
            _refuse_no_candidates(anchors, candidates)
            candidates, candidate_labels, _ = at_least_one(candidates, candidate_labels)
        anchors, labels, without = at_least_one(anchors, labels)
        if among_themselves:
            candidates, candidate_labels = anchors, labels
        batch = Batch(anchors, labels, candidates, candidate_labels, offset)
        values, counts = self._counted(batch)
        return without(nan_unless_finite(values, batch.anchors, batch.candidates)), without(counts)

    def among(self, valid):
        """The same loss without the candidates that are not `valid`, (C,) bool."""
        chosen = copy.copy(self)

        def mined(pairs: Pairs, candidates) -> Pairs:
            distances, positives, negatives = pairs
            pairs = Pairs(distances, positives & valid[None], negatives & valid[None])
            return self._mined(pairs, candidates)

        chosen._mined, chosen._drops_pairs = mined, True
        return chosen

    def _counted(self, batch: Batch):
        """Values and counts, (A,) each, in the way that costs least."""
        start = self.few_positives_from
        if not self.fast or self.multi_label or start is None:
            return self._of_whole_rows(batch)
        if (batch.candidates.shape[0] or start) < start:
            return self._of_whole_rows(batch)
        loops = self.rows_per_block is not None
        return by_labels(batch, self._of_few_positives, self._of_whole_rows, loops=loops)

    def _of_whole_rows(self, batch):
        """Values and counts, (A,) each, from all (A, C) pairs."""
        if self.looks_beyond_row:
            return self._with_context(batch)
        values = self.fast_values if self.fast else self.values

        def of_rows(rows):
            pairs = self._pairs(rows)
            return self._where_counted(values(pairs), pairs, rows)

        return self._in_blocks(of_rows, batch)

    def _with_context(self, batch):
        """The same for a loss that looks beyond the row: its context travels with candidates."""
        if self.rows_per_block is None and batch.is_whole():
            pairs = self._pairs(batch)
            return self._where_counted(self.values(pairs, self.context(pairs)), pairs, batch)
        candidates, labels = batch.candidates, batch.candidate_labels
        everyone = Batch(candidates, labels, candidates, labels, 0)
        context = self._by_rows(lambda rows: self.context(self._pairs(rows)), everyone)
        width = candidates.shape[1]

        def of_rows(rows):
            context = rows.candidates[:, width:]
            pairs = self._pairs(rows._replace(candidates=rows.candidates[:, :width]))
            return self._where_counted(self.values(pairs, context), pairs, rows)

        candidates = ops.concatenate([candidates, context], axis=1)
        return self._in_blocks(of_rows, batch._replace(candidates=candidates))

    def _of_few_positives(self, batch):
        """The same for anchors whose positives are all among the columns `batch.same_class`."""

        def of_rows(rows):
            pairs = take_positives_out(self._pairs(rows), rows.same_class)
            return self._where_counted(self.fast_values(pairs), pairs, rows)

        return self._in_blocks(of_rows, batch)

    def _where_counted(self, values, pairs, batch):
        """Values (A,), 0 where the anchor does not count, and whether it does, (A,) bool."""
        alone = 0 if batch.offset is None else 1
        if (
            self.needs == "any"
            and not self._drops_pairs
            and (batch.candidates.shape[0] or 0) > alone
        ):
            return values, ops.ones_like(values, dtype="bool")
        counts = has_needed(pairs, self.needs)
        return where(counts, values, 0), counts

    def _in_blocks(self, of_rows, batch):
        """Values and counts by of_rows(batch) of all anchors, or of a block of them at a time."""
        if self.rows_per_block is None:
            return of_rows(batch)

        def stacked(rows):
            values, counts = of_rows(rows)
            return ops.stack([values, ops.cast(counts, values.dtype)], axis=1)

        both = self._by_rows(stacked, batch)
        return both[:, 0], both[:, 1] > 0

    def _by_rows(self, function, batch, dtype=None):
        """function(batch) of all anchors, or of a block of them at a time; see `map_rows`."""
        size = self.rows_per_block
        if size is None:
            return function(batch)
        labels = rows_from(batch.labels, size)
        columns = None if batch.same_class is None else rows_from(batch.same_class, size)

        def block(start, anchors, candidates):
            return function(
                batch._replace(
                    anchors=anchors,
                    labels=labels(start),
                    candidates=candidates,
                    offset=None if batch.offset is None else batch.offset + start,
                    same_class=None if columns is None else columns(start),
                )
            )

        return map_rows(block, batch.anchors, batch.candidates, rows_per_block=size, dtype=dtype)

    def _pairs(self, batch, distance=None):
        pairs = from_read_labels(
            (distance or self._distance)(batch.anchors, batch.candidates),
            batch.labels,
            batch.candidate_labels,
            offset=batch.offset,
            multi_label=self.multi_label,
        )
        return self._mined(pairs, batch.candidates)

    def _mined(self, pairs, candidates):
        if self._miner is None:
            return pairs
        if not getattr(self._miner, "looks_beyond_row", False):
            return self._miner(pairs)
        fixed = ops.stop_gradient(candidates)
        return self._miner(pairs, lambda c: self._distance(ops.take(fixed, c, axis=0), fixed))

    def _read(self, embeddings, labels):
        """Embeddings (N, D) and labels (N, W), of one number N where either knows it."""
        rows, labels = _rows_of(embeddings), as_labels(labels, multi_label=self.multi_label)
        known = {n for n in (labels.shape[0], rows.shape[0]) if isinstance(n, int)}
        if len(known) == 2:
            raise ValueError(
                "Labels and embeddings do not go together. Expected: one label for each embedding. "
                f"Received: {labels.shape[0]} labels, {rows.shape[0]} embeddings."
            )
        if not known:
            return rows, labels
        count = known.pop()
        return tuple(ops.reshape(x, (count, *ops.shape(x)[1:])) for x in (rows, labels))

    def _point(self, name, value):
        """A point on the scale of distances: from 0 on, unless the distance may be negative."""
        named = distances.is_named(self._distance)
        known = named and self._distance is not distances.negative_dot
        return number(name, value, least=0 if known else None)

    def _candidates(self, labels, embeddings):
        return gather(labels, embeddings) if self.gather else (labels, embeddings, 0)


def has_needed(pairs: Pairs, needs: str):
    """(A,) bool: whether the anchor has the pairs that a loss `needs`."""
    positive = ops.any(pairs.to_positives()[1], axis=1)
    if needs == "positive":
        return positive
    negative = ops.any(pairs.negatives, axis=1)
    return (ops.logical_and if needs == "both" else ops.logical_or)(positive, negative)


def _miner(miner):
    if miner is None or callable(miner):
        return miner
    from keras_metric import miners

    return miners.get(miner)


def _rows_of(embeddings):
    embeddings = distances.precise(embeddings)
    if len(embeddings.shape) != 2:
        raise ValueError(
            "Embeddings have the wrong shape. Expected: one row a sample, (B, D). "
            f"Received: shape {tuple(embeddings.shape)}"
        )
    return embeddings


def _refuse_no_candidates(anchors, candidates) -> None:
    if candidates.shape[0] == 0 and anchors.shape[0] != 0:
        raise ValueError(
            "There is nothing to compare with. Expected: at least one candidate. Received: 0."
        )
