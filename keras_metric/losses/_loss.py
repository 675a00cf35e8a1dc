"""What every loss here has: Keras's reductions, over values of which some may not count."""

import keras
from keras import ops
from keras.backend import standardize_dtype

from keras_metric.arguments import arguments, as_json
from keras_metric.numerics.operations import at_least

__all__ = ["GivenLoss", "RowLoss"]


class RowLoss(keras.losses.Loss):
    """A Keras loss that remembers its arguments and reduces values of which some do not count."""

    def reduce(self, values, counts, sample_weight=None):
        """Values (A,) under Keras's reductions, means over those that count.

        counts: (A,) bool or None for all. A value that does not count is 0 and is left out of the
        denominator of "sum_over_batch_size", "mean" and "mean_with_sample_weight"; with
        sample_weight (A,) or (A, 1) the first two divide by the number that count, as Keras does,
        the third by the sum of their weights. reduction "sum" adds, None returns the values.
        """
        weights = None
        if sample_weight is not None:
            weights = ops.cast(ops.reshape(sample_weight, (-1,)), values.dtype)
        if counts is not None:
            counted = ops.cast(counts, values.dtype)
            if self.reduction in ("sum_over_batch_size", "mean"):
                samples = ops.cast(ops.shape(values)[0], values.dtype)
                total = at_least(self._total(ops.sum(counted)), 1e-30)
                if weights is None and keras.backend.backend() != "tensorflow":
                    return ops.sum(values) / total  # what Keras comes to in ten more steps
                values = values * (samples / total)
            elif self.reduction == "mean_with_sample_weight":
                weights = counted if weights is None else weights * counted
        if values.shape[0] == 0 and self.reduction not in (None, "none"):
            return ops.sum(values)  # Keras leaves no values as they are
        reduction = _Reduction(reduction=self.reduction, dtype=values.dtype, name=self.name)
        return reduction(values, values, weights)

    def _total(self, count):
        """The number by which a mean divides; under several replicas their mean number."""
        return count

    def get_config(self):
        """The arguments of the constructor, by value."""
        return {name: as_json(getattr(self, name)) for name in arguments(type(self))}

    @classmethod
    def from_config(cls, config):
        return cls(**keras.saving.deserialize_keras_object(config))


class GivenLoss(RowLoss):
    """A loss of what the network returns, one value a sample: a leaf implements `call`."""

    def __init__(
        self,
        *,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype=None,
    ):
        super().__init__(name=name, reduction=reduction, dtype=dtype)

    def __call__(self, y_true, y_pred, sample_weight=None):
        dtype = standardize_dtype(ops.convert_to_tensor(y_pred).dtype)
        return ops.cast(self.reduce(self.call(y_true, y_pred), None, sample_weight), dtype)


@keras.saving.register_keras_serializable(package="keras_metric", name="_Reduction")
class _Reduction(keras.losses.Loss):
    """Keras's own reduction of values that are already there."""

    def call(self, y_true, y_pred):
        return y_pred
