"""PairLoss: labels and embeddings -> pairs -> miner -> one value an anchor -> Keras's reduction."""

from collections.abc import Callable
from typing import NamedTuple

from keras import ops
from keras.backend import is_float_dtype, standardize_dtype

from keras_metric import distances
from keras_metric.blocks import map_rows
from keras_metric.losses._loss import RowLoss
from keras_metric.pairs import Pairs, as_labels, from_words
from keras_metric.replicas import gather, replica_mean

__all__ = ["Batch", "PairLoss"]


class Batch(NamedTuple):
    """Anchors (A, D) and candidates (C, D), with their labels as `as_labels` reads them.

    offset: the candidate that is anchor 0 itself, None when no anchor is among the candidates.
    mates: (A, M) int32 candidates of the anchor's class, for a loss that asks for them.
    """

    anchors: object
    words: object
    candidates: object
    candidate_words: object
    offset: object
    mates: object = None

    def is_whole(self) -> bool:
        """Whether every candidate is an anchor."""
        return self.candidates is self.anchors


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
        if rows_per_block is not None and rows_per_block < 1:
            raise ValueError(
                "rows_per_block is not a number of rows. Expected None or a positive integer. "
                f"Received: rows_per_block={rows_per_block!r}"
            )
        self.distance = distance
        self.miner = miner
        self.rows_per_block = rows_per_block
        self.gather = gather
        self.multi_label = multi_label
        self._distance = distances.get(distance)
        self._miner = _miner(miner)

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
        whole = candidates is embeddings and candidate_labels is labels
        anchors = _rows(embeddings)
        words = as_labels(labels, multi_label=self.multi_label)
        _check_paired(words, anchors)
        if whole:
            return self._counted(Batch(anchors, words, anchors, words, offset))
        candidates = _rows(candidates)
        candidate_words = as_labels(candidate_labels, multi_label=self.multi_label)
        _check_paired(candidate_words, candidates)
        return self._counted(Batch(anchors, words, candidates, candidate_words, offset))

    def _counted(self, batch):
        if self.rows_per_block is None and (self.context is None or batch.is_whole()):
            pairs = self._pairs(batch)
            return self._value_and_count(pairs, self.context and self.context(pairs))
        context = self._context(batch)
        width = batch.candidates.shape[1]
        shared = batch.candidates
        if context is not None:
            shared = ops.concatenate([shared, context], axis=1)

        def block(rows):
            pairs = self._pairs(rows._replace(candidates=rows.candidates[:, :width]))
            value, counts = self._value_and_count(pairs, rows.candidates[:, width:])
            return ops.stack([value, ops.cast(counts, value.dtype)], axis=1)

        columns = self._by_rows(block, batch._replace(candidates=shared))
        return columns[:, 0], columns[:, 1] > 0

    def values(self, pairs: Pairs, context=None):
        """Pairs -> (A,). A row without the pairs that the loss `needs` may hold any finite value.

        A leaf without a `context` leaves the second argument out.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement values(pairs).")

    def _value_and_count(self, pairs, context):
        values = self.values(pairs) if self.context is None else self.values(pairs, context)
        counts = has_needed(pairs, self.needs)
        return ops.where(counts, values, 0), counts

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
        words = _slices(batch.words, size)
        mates = None if batch.mates is None else _slices(batch.mates, size)

        def block(start, anchors, candidates):
            offset = None if batch.offset is None else batch.offset + start
            rows = batch._replace(anchors=anchors, candidates=candidates, offset=offset)
            return function(rows._replace(words=words(start), mates=mates and mates(start)))

        return map_rows(block, batch.anchors, batch.candidates, rows_per_block=size, dtype=dtype)

    def _pairs(self, batch, distance=None):
        pairs = from_words(
            (distance or self._distance)(batch.anchors, batch.candidates),
            batch.words,
            batch.candidate_words,
            offset=batch.offset,
            multi_label=self.multi_label,
        )
        return pairs if self._miner is None else self._miner(pairs)

    def _total(self, count):
        return replica_mean(count) if self.gather else count

    def _candidates(self, labels, embeddings):
        if not self.gather:
            return labels, embeddings, 0
        return gather(labels, embeddings)


def _check_paired(labels, rows):
    """Refuse another number of labels than of embeddings, where both are known."""
    known = [n for n in (labels.shape[0], rows.shape[0]) if isinstance(n, int)]
    if len(known) == 2 and known[0] != known[1]:
        raise ValueError(
            "Labels and embeddings do not go together. Expected one label for each embedding. "
            f"Received: {known[0]} labels, {known[1]} embeddings."
        )


def has_needed(pairs, needs):
    """(A,) bool: whether the anchor has the pairs that a loss needs, see `PairLoss.needs`."""
    positive, negative = ops.any(pairs.positives, axis=1), ops.any(pairs.negatives, axis=1)
    if needs == "positive":
        return positive
    return (ops.logical_and if needs == "both" else ops.logical_or)(positive, negative)


def _slices(tensor, size):
    """A function from a start to `size` rows of (A, W), which may run over the end."""
    width = tensor.shape[1]
    padded = ops.concatenate([tensor, ops.zeros((size, width), tensor.dtype)], axis=0)
    return lambda start: ops.slice(padded, (start, 0), (size, width))


def _rows(embeddings):
    embeddings = distances.precise(embeddings)
    if len(embeddings.shape) == 2:
        return embeddings
    raise ValueError(
        "Embeddings have the wrong shape. Expected one row a sample, (B, D). "
        f"Received: shape {tuple(embeddings.shape)}"
    )


def _miner(miner):
    if miner is None or callable(miner):
        return miner
    from keras_metric import miners

    return miners.get(miner)
