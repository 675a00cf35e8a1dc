"""Verification measures as Keras metrics, over all pairs seen.

In `compile(metrics=[...])` they take the outputs of the network:

    (y, distances)         y (B,) 1 = same, 0 = different; distances (B,) or (B, 1)   SiameseNet
    (labels, embeddings)   integers (B,), embeddings (B, D) with D > 1: all pairs of the batch

Distances d are counted in `bins` equal bins of u = d / (d + scale), so no largest distance needs to
be known. A y other than 0 and 1 makes the measure NaN. Memory is two numbers per bin for any number
of pairs. Pairs in one bin count as equally far: the error of `ROCAUC` is at most half the
probability that a same and a different pair share a bin, that of the others at most the share of
pairs in one bin. For exact measures use `verification`.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_metric import distances, pairs
from keras_metric.arguments import FixedArguments, number, whole
from keras_metric.metrics import rates
from keras_metric.metrics.exact_batch import within
from keras_metric.numerics.operations import at_least_one

__all__ = ["BestThresholdAccuracy", "EqualErrorRate", "ROCAUC", "TARAtFAR"]


class InStream(FixedArguments, keras.metrics.Metric):
    """Counts same and different pairs in bins of distance."""

    def __init__(
        self,
        *,
        bins: int,
        scale: float,
        distance: str | Callable,
        name: str,
        dtype: str | None,
    ):
        super().__init__(name=name, dtype=dtype)
        self.bins, self.distance = whole("bins", bins, least=2), distances.get(distance)
        self.scale = number("scale", scale, above=0)
        self.same = self.add_variable((bins,), "zeros", dtype="float32", name="same")
        self.different = self.add_variable((bins,), "zeros", dtype="float32", name="different")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """sample_weight (B,): weights of pairs; for embeddings, a pair has the product of two."""
        weights = _weights(sample_weight, y_pred)
        if len(y_pred.shape) == 2 and y_pred.shape[1] != 1:
            y_pred, y_true, weights, _ = at_least_one(y_pred, y_true, weights)
            apart = within(y_pred, self.distance)
            _, same, different = pairs.from_labels(apart, y_true, multi_label=None)
            weights = weights[:, None] * weights[None]
        else:
            apart = ops.reshape(ops.cast(y_pred, "float32"), (-1,))
            _refuse_class_numbers(y_true)
            same = ops.reshape(ops.cast(y_true, "float32"), (-1,))
            weights = ops.where(ops.logical_or(same == 0, same == 1), weights, float("nan"))
            same = same == 1
            different = ops.logical_not(same)
        share = apart / (apart + self.scale)
        share = ops.where(share < 1, share, 1)  # NaN and infinity are far
        place = ops.cast(ops.clip(share * self.bins, 0, self.bins - 1), "int32")
        for counts, kind in ((self.same, same), (self.different, different)):
            counts.assign_add(_counted(place, ops.where(kind, weights, 0), self.bins))

    def get_config(self) -> dict:
        named = distances.is_named(self.distance)
        return {
            "bins": self.bins,
            "scale": self.scale,
            "distance": self.distance.__name__ if named else self.distance,
            "name": self.name,
            "dtype": self.dtype,
        }


def _refuse_class_numbers(y_true) -> None:
    """If the values of y are known; inside of `fit` the measure becomes NaN."""
    if isinstance(y_true, np.ndarray | list | tuple) and not np.isin(y_true, (0, 1)).all():
        raise ValueError(
            "y is not binary. Expected: 0 or 1, with distances (B,); or "
            "class numbers with embeddings (B, D). Received: "
            f"y with {sorted(set(np.ravel(y_true).tolist()))[:5]}."
        )


def _weights(sample_weight, like):
    if sample_weight is None:
        return ops.ones((ops.shape(like)[0],), "float32")
    return ops.reshape(ops.cast(sample_weight, "float32"), (-1,))


def _counted(place, weights, bins: int):
    """The sum of the weights in each bin."""
    return ops.segment_sum(ops.reshape(weights, (-1,)), ops.reshape(place, (-1,)), bins)


@keras.saving.register_keras_serializable("keras_metric")
class ROCAUC(InStream):
    """P(a same pair is nearer than a different one), by `roc_auc`."""

    def __init__(
        self,
        *,
        bins: int = 4096,
        scale: float = 1.0,
        distance: str | Callable = "euclidean",
        name: str = "roc_auc",
        dtype: str | None = None,
    ):
        super().__init__(bins=bins, scale=scale, distance=distance, name=name, dtype=dtype)

    def result(self):
        return rates.area(self.same.value, self.different.value, ops)


@keras.saving.register_keras_serializable("keras_metric")
class EqualErrorRate(InStream):
    """The error rate where false accepts equal false rejects, by `equal_error_rate`."""

    def __init__(
        self,
        *,
        bins: int = 4096,
        scale: float = 1.0,
        distance: str | Callable = "euclidean",
        name: str = "eer",
        dtype: str | None = None,
    ):
        super().__init__(bins=bins, scale=scale, distance=distance, name=name, dtype=dtype)

    def result(self):
        return rates.equal_error(self.same.value, self.different.value, ops)[0]


@keras.saving.register_keras_serializable("keras_metric")
class TARAtFAR(InStream):
    """Largest true accept rate with a false accept rate of at most `far`, by `tar_at_far`."""

    def __init__(
        self,
        far: float = 1e-3,
        *,
        bins: int = 4096,
        scale: float = 1.0,
        distance: str | Callable = "euclidean",
        name: str | None = None,
        dtype: str | None = None,
    ):
        if not 0 <= far <= 1:
            raise ValueError(
                f"far is out of range. Expected: a number from 0 to 1. Received: {far!r}."
            )
        name = name or f"tar@{far:g}"
        super().__init__(bins=bins, scale=scale, distance=distance, name=name, dtype=dtype)
        self.far = far

    def result(self):
        return rates.true_accept_at(self.same.value, self.different.value, self.far, ops)

    def get_config(self) -> dict:
        return {"far": self.far, **super().get_config()}


@keras.saving.register_keras_serializable("keras_metric")
class BestThresholdAccuracy(InStream):
    """The accuracy of the threshold that classifies most pairs correctly, by `best_threshold`."""

    def __init__(
        self,
        *,
        bins: int = 4096,
        scale: float = 1.0,
        distance: str | Callable = "euclidean",
        name: str = "accuracy",
        dtype: str | None = None,
    ):
        super().__init__(bins=bins, scale=scale, distance=distance, name=name, dtype=dtype)

    def result(self):
        return ops.max(rates.accuracies(self.same.value, self.different.value, ops))
