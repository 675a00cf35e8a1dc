"""PairLoss: labels and embeddings -> pairs -> miner -> one value an anchor -> Keras's reduction."""

from collections.abc import Callable

from keras import ops
from keras.backend import is_float_dtype, standardize_dtype

from keras_metric import distances
from keras_metric.arguments import number, whole
from keras_metric.labels import as_labels
from keras_metric.losses._batch import Batch, has_needed, refuse_none, rows_of, slices
from keras_metric.losses._loss import RowLoss
from keras_metric.numerics.blocks import map_rows
from keras_metric.numerics.operations import at_least_one, where
from keras_metric.numerics.replicas import gather, replica_mean
from keras_metric.pairs import Pairs, from_words

__all__ = ["PairLoss"]


class PairLoss(RowLoss):
    """A loss over the pairs of a labelled batch, `(labels, embeddings) -> loss`.

    A leaf implements `values(pairs)`: (A, C) distances and masks -> one value an anchor (A,); one
    that looks at the candidates' own pairs as well also implements `context(pairs)`.

    distance: name or function, see `keras_metric.distances`.
    miner: name or function Pairs -> Pairs, see `keras_metric.miners`; None keeps every pair.
    rows_per_block: anchors at a time, recomputed in the backward pass: memory O(rows · B), not
    O(B^2), for the same value and gradient.
    gather: under a `tf.distribute` strategy compare with the samples of every replica.
    multi_label: labels are (B, L) rows of 0 and 1; a positive shares at least one label.

    Labels are (B,) or (B, 1) integers and are never cast to a float. An anchor counts when, after
    mining, it has the pairs that the loss `needs`; the reduction is the mean over the anchors that
    count, 0 when none does. The loss computes in at least float32 and returns the precision of the
    embeddings.
    """

    needs = "both"  # "both": a positive and a negative; "positive"; "any": either
    context = None  # or a method Pairs of all candidates -> (C, W), what `values` knows of each

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
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.distance = distance
        self.miner = miner
        self.rows_per_block = rows_per_block
        if rows_per_block is not None:
            self.rows_per_block = whole("rows_per_block", rows_per_block)
        self.gather = gather
        self.multi_label = multi_label
        self._distance = distances.get(distance)
        self._miner = _miner(miner)
        self._drops = self._miner is not None  # pairs, so that an anchor may be left with none

    def __call__(self, labels, embeddings, sample_weight=None):
        """The reduced loss of labels (B,) or (B, 1) and embeddings (B, D)."""
        return self.loss_against(
            labels, embeddings, *self._candidates(labels, embeddings), sample_weight=sample_weight
        )

    def call(self, labels, embeddings):
        """One value an anchor, (B,): 0 where the anchor does not count."""
        return self.against(labels, embeddings, *self._candidates(labels, embeddings))

    def against(self, labels, embeddings, candidate_labels, candidates, offset=None):
        """One value an anchor, (A,), for anchors (A, D) against any candidates (C, D).

        offset: the candidate that is anchor 0 itself (anchor i is candidate offset + i); None when
        no anchor is among the candidates.
        """
        arguments = labels, embeddings, candidate_labels, candidates, offset
        return self.counted_values(*arguments)[0]

    def loss_against(
        self, labels, embeddings, candidate_labels, candidates, offset=None, *, sample_weight=None
    ):
        """The reduced loss of anchors against any candidates: see `against`."""
        dtype = standardize_dtype(ops.convert_to_tensor(embeddings).dtype)
        dtype = dtype if is_float_dtype(dtype) else "float32"
        values, counts = self.counted_values(
            labels, embeddings, candidate_labels, candidates, offset
        )
        return ops.cast(self.reduce(values, counts, sample_weight), dtype)

    def counted_values(self, labels, embeddings, candidate_labels, candidates, offset=None):
        """Values (A,) of the anchors and whether each counts, (A,) bool: see `against`."""
        among_themselves = candidates is embeddings and candidate_labels is labels
        anchors, words = self._read(embeddings, labels)
        if not among_themselves:
            candidates, candidate_words = self._read(candidates, candidate_labels)
            refuse_none(anchors, candidates)
            candidates, candidate_words, _ = at_least_one(candidates, candidate_words)
        anchors, words, without = at_least_one(anchors, words)
        if among_themselves:
            candidates, candidate_words = anchors, words
        batch = Batch(anchors, words, candidates, candidate_words, offset)
        return tuple(map(without, self._counted(batch)))

    def _counted(self, batch):
        if self.rows_per_block is None and (self.context is None or batch.is_whole()):
            pairs = self._pairs(batch)
            context = None if self.context is None else self.context(pairs)
            return self._value_and_count(pairs, context, batch)
        context = self._context(batch)
        width = batch.candidates.shape[1]
        shared = batch.candidates
        if context is not None:
            shared = ops.concatenate([shared, context], axis=1)

        def block(rows):
            pairs = self._pairs(rows._replace(candidates=rows.candidates[:, :width]))
            value, counts = self._value_and_count(pairs, rows.candidates[:, width:], rows)
            return ops.stack([value, ops.cast(counts, value.dtype)], axis=1)

        columns = self._by_rows(block, batch._replace(candidates=shared))
        return columns[:, 0], columns[:, 1] > 0

    def values(self, pairs: Pairs, context=None):
        """Pairs -> (A,). A row without the pairs that the loss `needs` may hold any finite value.

        A leaf without a `context` leaves the second argument out.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement values(pairs).")

    def _place(self, name, value):
        """A place on the scale of distances: from 0 on, unless the distance may be negative."""
        named = distances.is_named(self._distance)
        known = named and self._distance is not distances.negative_dot
        return number(name, value, least=0 if known else None)

    def _value_and_count(self, pairs, context, batch):
        values = self.values(pairs) if self.context is None else self.values(pairs, context)
        return self._where_counted(values, pairs, batch)

    def _where_counted(self, values, pairs, batch):
        """Values (A,), 0 where the anchor does not count, and whether it does, (A,) bool."""
        alone = 0 if batch.offset is None else 1
        if self.needs == "any" and not self._drops and (batch.candidates.shape[0] or 0) > alone:
            return values, ops.ones_like(values, dtype="bool")
        counts = has_needed(pairs, self.needs)
        return where(counts, values, 0), counts

    def _context(self, batch):
        """(C, W) that `context` says of the candidates among themselves, or None."""
        if self.context is None:
            return None
        rows, words = batch.candidates, batch.candidate_words
        return self._by_rows(
            lambda block: self.context(self._pairs(block)), Batch(rows, words, rows, words, 0)
        )

    def _by_rows(self, function, batch, dtype=None):
        """function(batch) of all anchors, or of a block of them at a time; see `map_rows`."""
        size = self.rows_per_block
        if size is None:
            return function(batch)
        words = slices(batch.words, size)
        mates = None if batch.mates is None else slices(batch.mates, size)

        def block(start, anchors, candidates):
            offset = None if batch.offset is None else batch.offset + start
            rows = batch._replace(anchors=anchors, candidates=candidates, offset=offset)
            of_block = None if mates is None else mates(start)
            return function(rows._replace(words=words(start), mates=of_block))

        return map_rows(block, batch.anchors, batch.candidates, rows_per_block=size, dtype=dtype)

    def _pairs(self, batch, distance=None):
        pairs = from_words(
            (distance or self._distance)(batch.anchors, batch.candidates),
            batch.words,
            batch.candidate_words,
            offset=batch.offset,
            multi_label=self.multi_label,
        )
        return self._mined(pairs, batch.candidates)

    def _mined(self, pairs, candidates):
        if self._miner is None:
            return pairs
        if not getattr(self._miner, "beyond_the_row", False):
            return self._miner(pairs)
        fixed = ops.stop_gradient(candidates)
        return self._miner(pairs, lambda c: self._distance(ops.take(fixed, c, axis=0), fixed))

    def _read(self, embeddings, labels):
        """Embeddings (N, D) and labels (N, W), of one number N where either knows it."""
        rows, labels = rows_of(embeddings), as_labels(labels, multi_label=self.multi_label)
        known = {n for n in (labels.shape[0], rows.shape[0]) if isinstance(n, int)}
        if len(known) == 2:
            raise ValueError(
                "Labels and embeddings do not go together. Expected one label for each embedding. "
                f"Received: {labels.shape[0]} labels, {rows.shape[0]} embeddings."
            )
        if not known:
            return rows, labels
        count = known.pop()
        return tuple(ops.reshape(x, (count, *ops.shape(x)[1:])) for x in (rows, labels))

    def _total(self, count):
        return replica_mean(count) if self.gather else count

    def _candidates(self, labels, embeddings):
        if not self.gather:
            return labels, embeddings, 0
        return gather(labels, embeddings)


def _miner(miner):
    if miner is None or callable(miner):
        return miner
    from keras_metric import miners

    return miners.get(miner)
