"""Metrics to watch during training: is there anything left to learn, has the embedding collapsed?

    model.compile(loss=TripletLoss(0.2), metrics=[ActiveTriplets(0.2), EmbeddingSpread()])

Each takes labels (B,) or (B, 1) and embeddings (B, D) and shows the mean over the batches seen.
"""

from collections.abc import Callable

import keras
from keras import ops

from keras_metric import distances
from keras_metric.arguments import Configured, number, serializable
from keras_metric.numerics.operations import at_least_one
from keras_metric.pairs import count_below, from_labels

__all__ = [
    "ActiveTriplets",
    "EmbeddingSpread",
    "MeanNegativeDistance",
    "MeanPositiveDistance",
    "NonFiniteRows",
]


class BatchMetric(Configured, keras.metrics.Metric):
    """The mean of a number over batches; a subclass implements `measure(labels, embeddings)`.

    `measure` returns a sum and the number of its terms, by which the batch is weighted.
    """

    def __init__(self, *, name: str | None = None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        self.total = self.add_variable((), "zeros", name="total")
        self.count = self.add_variable((), "zeros", name="count")

    def update_state(self, labels, embeddings, sample_weight=None):
        """Add a batch; sample weights are ignored."""
        embeddings = ops.stop_gradient(distances.precise(embeddings))
        some = ops.cast(ops.minimum(ops.shape(embeddings)[0], 1), self.dtype)
        embeddings, labels, _ = at_least_one(embeddings, labels)
        total, count = self.measure(labels, embeddings)
        self.total.assign_add(some * ops.cast(total, self.dtype))
        self.count.assign_add(some * ops.cast(count, self.dtype))

    def result(self):
        return ops.divide_no_nan(self.total, self.count)

    def measure(self, labels, embeddings):
        raise NotImplementedError(f"{type(self).__name__} does not implement measure.")


@serializable
class ActiveTriplets(BatchMetric):
    """The share of the batch's triplets with d(a, p) - d(a, n) + margin > 0.

    Near 0 random batches have nothing left to teach: mine harder triplets, or stop.
    """

    def __init__(self, margin: float = 0.2, *, distance: str | Callable = "euclidean", **options):
        super().__init__(**options)
        self.margin = number("margin", margin, least=0)
        self.distance = distance

    def measure(self, labels, embeddings):
        between = distances.get(self.distance)
        d, positives, negatives = from_labels(
            between(embeddings, embeddings), labels, multi_label=None
        )
        near = ops.sort(ops.where(negatives, d, float("inf")), axis=1)
        active = ops.cast(count_below(near, d + self.margin, strictly=True), d.dtype)
        of_anchor = ops.sum(ops.cast(negatives, d.dtype), axis=1, keepdims=True)
        total = ops.sum(ops.where(positives, active, 0))
        return total, ops.sum(ops.where(positives, of_anchor, 0))


@serializable
class MeanPositiveDistance(BatchMetric):
    """The mean distance between two samples of one class."""

    def __init__(self, *, distance: str | Callable = "euclidean", **options):
        super().__init__(**options)
        self.distance = distance

    def measure(self, labels, embeddings):
        between = distances.get(self.distance)
        d, positives, _ = from_labels(between(embeddings, embeddings), labels, multi_label=None)
        return ops.sum(ops.where(positives, d, 0)), ops.sum(ops.cast(positives, d.dtype))


@serializable
class MeanNegativeDistance(BatchMetric):
    """The mean distance between two samples of different classes."""

    def __init__(self, *, distance: str | Callable = "euclidean", **options):
        super().__init__(**options)
        self.distance = distance

    def measure(self, labels, embeddings):
        between = distances.get(self.distance)
        d, _, negatives = from_labels(between(embeddings, embeddings), labels, multi_label=None)
        return ops.sum(ops.where(negatives, d, 0)), ops.sum(ops.cast(negatives, d.dtype))


@serializable
class EmbeddingSpread(BatchMetric):
    """How far the batch is from collapse: 1 - |mean of the unit embeddings|^2, in [0, 1].

    0 when all embeddings have one direction, about 1 - 1 / B when their directions are spread
    evenly. Labels are ignored.
    """

    def measure(self, labels, embeddings):
        center = ops.mean(distances.unit(embeddings), axis=0)
        return 1 - ops.sum(ops.square(center)), 1


@serializable
class NonFiniteRows(BatchMetric):
    """The number of embeddings in a batch with an infinite or NaN coordinate; it should be 0.

    The mean over the batches seen that have rows. Above 0 some rows were not finite, and every
    loss of their batch was NaN. Labels are ignored.
    """

    def measure(self, labels, embeddings):
        finite = ops.all(ops.isfinite(embeddings), axis=1)
        return ops.sum(ops.cast(ops.logical_not(finite), embeddings.dtype)), 1
