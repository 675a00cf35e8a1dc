"""PairLoss: labels and embeddings -> pairs -> miner -> one value an anchor -> Keras's reduction."""

import inspect
from collections.abc import Callable

import keras
from keras import ops
from keras.backend import standardize_dtype

from keras_metric import distances
from keras_metric.blocks import map_rows
from keras_metric.pairs import Pairs, as_labels, from_words

__all__ = []

serializable = keras.saving.register_keras_serializable(package="keras_metric")


class RowLoss(keras.losses.Loss):
    """A Keras loss that remembers its arguments and reduces values of which some do not count."""

    def reduce(self, values, counts, sample_weight=None):
        """Values (A,) under Keras's reductions, means over those that count.

        counts: (A,) bool or None for all. A value that does not count is 0 and is left out of the
        denominator of "sum_over_batch_size", "mean" and "mean_with_sample_weight"; with
        sample_weight (A,) or (A, 1) the first two divide by the number that count, as Keras does,
        the third by the sum of their weights. reduction "sum" adds, None returns the values.
        """
        weights = ops.ones_like(values)
        if sample_weight is not None:
            weights = ops.cast(ops.reshape(sample_weight, (-1,)), values.dtype)
        if counts is not None:
            counted = ops.cast(counts, values.dtype)
            weights = weights * counted
            if self.reduction in ("sum_over_batch_size", "mean"):
                weights = weights / ops.maximum(ops.mean(counted), 1e-30)
        reduction = _Reduction(reduction=self.reduction, dtype=values.dtype, name=self.name)
        return reduction(values, values, weights)

    def get_config(self):
        """The arguments of the constructor, by value."""
        return {name: _plain(getattr(self, name)) for name in _arguments(type(self))}

    @classmethod
    def from_config(cls, config):
        return cls(**keras.saving.deserialize_keras_object(config))


class PairLoss(RowLoss):
    """A loss over the pairs of a labelled batch, `(labels, embeddings) -> loss`.

    A leaf implements `values(pairs)`: (A, C) distances and masks -> one value an anchor (A,).

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
        values, counts = self.counted_values(
            labels, embeddings, candidate_labels, candidates, offset
        )
        return ops.cast(self.reduce(values, counts, sample_weight), dtype)

    def counted_values(self, labels, embeddings, candidate_labels, candidates, offset=None):
        """Values (A,) of the anchors and whether each counts, (A,) bool: see `against`."""
        anchors, candidates = _rows(embeddings), _rows(candidates)
        labels = as_labels(labels, multi_label=self.multi_label)
        candidate_labels = as_labels(candidate_labels, multi_label=self.multi_label)

        def block(start, anchors, candidates, labels):
            first = None if offset is None else offset + start
            pairs = self._pairs(anchors, labels, candidates, candidate_labels, first)
            counts = _counts(pairs, self.needs)
            values = ops.where(counts, self.values(pairs), 0)
            return ops.stack([values, ops.cast(counts, values.dtype)], axis=1)

        if self.rows_per_block is None:
            columns = block(0, anchors, candidates, labels)
        else:
            columns = _in_blocks(block, anchors, candidates, labels, self.rows_per_block)
        return columns[:, 0], columns[:, 1] > 0

    def values(self, pairs: Pairs):
        """Pairs -> (A,). A row without the pairs that the loss `needs` may hold any finite value."""
        raise NotImplementedError(f"{type(self).__name__} does not implement values(pairs).")

    def _pairs(self, anchors, labels, candidates, candidate_labels, offset):
        pairs = from_words(
            self._distance(anchors, candidates),
            labels,
            candidate_labels,
            offset=offset,
            multi_label=self.multi_label,
        )
        return pairs if self._miner is None else self._miner(pairs)

    def _candidates(self, labels, embeddings):
        if not self.gather:
            return labels, embeddings, 0
        from keras_metric.memory import gather  # memory stands on the losses

        return gather(labels, embeddings)


@keras.saving.register_keras_serializable(package="keras_metric", name="_Reduction")
class _Reduction(keras.losses.Loss):
    """Keras's own reduction of values that are already there."""

    def call(self, y_true, y_pred):
        return y_pred


def _in_blocks(function, anchors, candidates, labels, rows):
    missing = ops.zeros((rows, *labels.shape[1:]), labels.dtype)
    labels = ops.concatenate([labels, missing], axis=0)  # any block's slice stays inside

    def block(start, anchors, candidates):
        chosen = ops.slice(labels, (start, 0), (rows, labels.shape[1]))
        return function(start, anchors, candidates, chosen)

    return map_rows(block, anchors, candidates, rows_per_block=rows)


def _counts(pairs, needs):
    positive, negative = ops.any(pairs.positives, axis=1), ops.any(pairs.negatives, axis=1)
    if needs == "positive":
        return positive
    return (ops.logical_and if needs == "both" else ops.logical_or)(positive, negative)


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


def _arguments(cls):
    """Names of the constructor's arguments, with those that `**options` hands to the base."""
    for owner in cls.__mro__:
        if "__init__" in vars(owner):
            for name, parameter in inspect.signature(owner.__init__).parameters.items():
                if name != "self" and parameter.kind is not parameter.VAR_KEYWORD:
                    yield name
            if not any(
                parameter.kind is parameter.VAR_KEYWORD
                for parameter in inspect.signature(owner.__init__).parameters.values()
            ):
                return


def _plain(value):
    """An argument as JSON: registered functions and objects by their registered name."""
    if not callable(value):
        return value
    named = value if inspect.isfunction(value) else type(value)
    registered = keras.saving.get_registered_name(named)
    if distances.is_named(value):
        return value.__name__
    if keras.saving.get_registered_object(registered) is named:
        return keras.saving.serialize_keras_object(value)
    raise ValueError(
        "A function of one's own cannot be saved by name. Expected one registered with "
        "@keras.saving.register_keras_serializable(). "
        f"Received: {getattr(value, '__name__', value)!r}"
    )
