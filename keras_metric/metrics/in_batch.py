"""Retrieval measures as Keras metrics, within each batch.

They take (labels, embeddings) in `compile(metrics=[...])`: every sample queries the rest of its
batch, and the result is the mean over all queries with another sample of their class in the batch.
The value depends on how batches are formed (in P x K batches there are P·K - 1 candidates): it is
cheap, O(B^2) memory, and shows progress, but is not the value over a whole set. For that, use
`EvaluateRetrieval` in `fit`, or `retrieval`.

Ties count against the query, as in `retrieval`. `sample_weight` (B,) weights queries. With
`multi_label` labels are (B, L) rows of 0 and 1, and companions share at least one.
"""

from collections.abc import Callable

import keras
from keras import ops

from keras_metric import distances, pairs
from keras_metric.arguments import FixedArguments, whole
from keras_metric.metrics import measures
from keras_metric.metrics.exact_batch import within
from keras_metric.numerics.operations import at_least_one

__all__ = [
    "MAPAtK",
    "MAPAtR",
    "MeanReciprocalRank",
    "NDCGAtK",
    "PrecisionAtK",
    "RPrecision",
    "RecallAtK",
]


class InBatch(FixedArguments, keras.metrics.Metric):
    """The mean of one measure over the queries of every batch."""

    def __init__(
        self,
        measure: Callable,
        k: int,
        *,
        distance: str | Callable,
        name: str,
        dtype: str | None,
        multi_label: bool | None = None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.measure, self.k, self.distance = measure, whole("k", k), distances.get(distance)
        self.multi_label = multi_label
        self.total = self.add_variable((), "zeros", dtype="float32", name="total")
        self.queries = self.add_variable((), "zeros", dtype="float32", name="queries")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """y_true: integer labels (B,) or (B, 1), or rows of labels. y_pred: embeddings (B, D)."""
        y_pred, y_true, _ = at_least_one(ops.convert_to_tensor(y_pred), y_true)
        hits, relevant, first = in_batch_ranks(
            y_true, y_pred, self.distance, multi_label=self.multi_label
        )
        values = self.measure(hits, relevant, first, self.k, ops)
        weights = ops.cast(relevant > 0, "float32")
        if sample_weight is not None:
            weights = weights * ops.reshape(ops.cast(sample_weight, "float32"), (-1,))
        self.total.assign_add(ops.sum(weights * values))
        self.queries.assign_add(ops.sum(weights))

    def result(self):
        """The mean; 0 while no query had a relevant candidate."""
        return ops.divide_no_nan(self.total, self.queries)

    def get_config(self) -> dict:
        named = distances.is_named(self.distance)
        distance = self.distance.__name__ if named else self.distance
        config = {"distance": distance, "name": self.name, "dtype": self.dtype}
        return config if self.multi_label is None else {"multi_label": self.multi_label, **config}


class InBatchAtK(InBatch):
    """A measure with a rank k."""

    def get_config(self) -> dict:
        return {"k": self.k, **super().get_config()}


def in_batch_ranks(labels, embeddings, distance: Callable, *, multi_label: bool | None = None):
    """hits (B, B), relevant (B,) and first (B,) of a batch that is its own gallery.

    Two stable sorts, the first by relevance: at equal distance the irrelevant come first.
    """
    apart = within(embeddings, distance)
    _, positives, negatives = pairs.from_labels(apart, labels, multi_label=multi_label)
    others = ops.logical_and(
        ops.logical_or(positives, negatives), ops.logical_not(ops.isnan(apart))
    )
    apart = ops.where(others, apart, float("inf"))
    order = ops.argsort(ops.cast(positives, "int32"), axis=1)
    by_distance = ops.argsort(ops.take_along_axis(apart, order, axis=1), axis=1)
    order = ops.take_along_axis(order, by_distance, axis=1)
    positives = ops.cast(positives, "float32")
    relevant = ops.sum(positives, axis=1)
    hits = ops.take_along_axis(positives, order, axis=1)
    first = ops.cast(ops.argmax(hits, axis=1), "float32") + 1
    return hits, relevant, first


@keras.saving.register_keras_serializable("keras_metric")
class RecallAtK(InBatchAtK):
    """Share of samples with one of their class among the k nearest in the batch (`recall_at_k`)."""

    def __init__(
        self,
        k: int = 1,
        *,
        distance: str | Callable = "euclidean",
        multi_label: bool = False,
        name: str | None = None,
        dtype: str | None = None,
    ):
        name = name or f"recall@{k}"
        super().__init__(
            measures.recall,
            k,
            distance=distance,
            name=name,
            dtype=dtype,
            multi_label=multi_label,
        )


@keras.saving.register_keras_serializable("keras_metric")
class PrecisionAtK(InBatchAtK):
    """Share of the sample's class among its k nearest in the batch (`precision_at_k`)."""

    def __init__(
        self,
        k: int = 1,
        *,
        distance: str | Callable = "euclidean",
        multi_label: bool = False,
        name: str | None = None,
        dtype: str | None = None,
    ):
        name = name or f"precision@{k}"
        super().__init__(
            measures.precision,
            k,
            distance=distance,
            name=name,
            dtype=dtype,
            multi_label=multi_label,
        )


@keras.saving.register_keras_serializable("keras_metric")
class MAPAtK(InBatchAtK):
    """Mean average precision over the k nearest in the batch (`map_at_k`)."""

    def __init__(
        self,
        k: int = 10,
        *,
        distance: str | Callable = "euclidean",
        multi_label: bool = False,
        name: str | None = None,
        dtype: str | None = None,
    ):
        name = name or f"map@{k}"
        super().__init__(
            measures.average_precision,
            k,
            distance=distance,
            name=name,
            dtype=dtype,
            multi_label=multi_label,
        )


@keras.saving.register_keras_serializable("keras_metric")
class NDCGAtK(InBatchAtK):
    """Normalized discounted cumulative gain of the k nearest in the batch (`ndcg_at_k`).

    A sample has one label: `retrieval` grades by the number of shared labels.
    """

    def __init__(
        self,
        k: int = 10,
        *,
        distance: str | Callable = "euclidean",
        name: str | None = None,
        dtype: str | None = None,
    ):
        name = name or f"ndcg@{k}"
        super().__init__(measures.ndcg, k, distance=distance, name=name, dtype=dtype)


@keras.saving.register_keras_serializable("keras_metric")
class MAPAtR(InBatch):
    """Mean average precision over the R nearest in the batch, R of the class (`map_at_r`)."""

    def __init__(
        self,
        *,
        distance: str | Callable = "euclidean",
        multi_label: bool = False,
        name: str = "map@r",
        dtype: str | None = None,
    ):
        measure = measures.average_precision_at_r
        super().__init__(
            measure,
            1,
            distance=distance,
            name=name,
            dtype=dtype,
            multi_label=multi_label,
        )


@keras.saving.register_keras_serializable("keras_metric")
class RPrecision(InBatch):
    """Share of the class among the R nearest in the batch, R of it in all (`r_precision`)."""

    def __init__(
        self,
        *,
        distance: str | Callable = "euclidean",
        multi_label: bool = False,
        name: str = "r_precision",
        dtype: str | None = None,
    ):
        super().__init__(
            measures.r_precision,
            1,
            distance=distance,
            name=name,
            dtype=dtype,
            multi_label=multi_label,
        )


@keras.saving.register_keras_serializable("keras_metric")
class MeanReciprocalRank(InBatch):
    """1 / rank of the nearest sample of the class in the batch (`mean_reciprocal_rank`)."""

    def __init__(
        self,
        *,
        distance: str | Callable = "euclidean",
        multi_label: bool = False,
        name: str = "mrr",
        dtype: str | None = None,
    ):
        super().__init__(
            measures.reciprocal_rank,
            1,
            distance=distance,
            name=name,
            dtype=dtype,
            multi_label=multi_label,
        )
