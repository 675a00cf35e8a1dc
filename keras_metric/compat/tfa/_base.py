"""BatchLoss: a loss that is one number for the whole batch, as TF Addons' metric losses are."""

import keras
from keras import ops
from keras.backend import standardize_dtype

from keras_metric.labels import as_labels, same_class
from keras_metric.pairs import Pairs

__all__ = []

serializable = keras.saving.register_keras_serializable(package="Addons")


class BatchLoss(keras.losses.Loss):
    """`function(y_true, y_pred, **arguments)`, without a reduction, since there is one value.

    A subclass sets `function` and passes its arguments by name. `y_true` is not cast: Keras would
    cast it to a float, and integer labels from 2^24 on would become equal.
    """

    function = None

    def __init__(self, *, name: str | None, **arguments):
        super().__init__(name=name, reduction="none")
        self._arguments = arguments

    def __call__(self, y_true, y_pred, sample_weight=None):
        loss = self.call(y_true, y_pred)
        if sample_weight is None:
            return loss
        weight = ops.convert_to_tensor(sample_weight)
        if len(weight.shape) > 0:
            raise ValueError(
                f"{type(self).__name__} is one number for the whole batch, so samples cannot be "
                "weighted one by one. Expected: sample_weight=None or a scalar. Received: shape "
                f"{tuple(weight.shape)}. keras_metric.losses has losses that take such weights."
            )
        return loss * ops.cast(weight, loss.dtype)

    def call(self, y_true, y_pred):
        return type(self).function(y_true, y_pred, **self._arguments)

    def get_config(self):
        arguments = {
            name: keras.saving.serialize_keras_object(value) if callable(value) else value
            for name, value in self._arguments.items()
        }
        return {"name": self.name} | arguments

    @classmethod
    def from_config(cls, config):
        """From our own configuration, or one that TF Addons wrote (with its `reduction`)."""
        config = keras.saving.deserialize_keras_object(config)
        reduction = config.pop("reduction", "none")
        if reduction not in (None, "none"):
            raise ValueError(
                f"{cls.__name__} is one number for the whole batch and is not reduced. Expected: "
                f"reduction 'none'. Received: reduction={reduction!r}"
            )
        return cls(**config)


def pairs_of(y_true, distances) -> Pairs:
    """The pairs of a batch with itself. TF Addons takes float labels too: compared as they are."""
    same = _same(y_true)
    itself = ops.eye(ops.shape(same)[0], dtype="bool")
    others = ops.logical_not(itself)
    return Pairs(distances, ops.logical_and(same, others), ops.logical_not(same))


def label_mask(y_true):
    """(B, B) bool: the two samples have the same label."""
    return _same(y_true)


def returned_as(loss, y_pred):
    """The loss in the precision of the predictions."""
    return ops.cast(loss, standardize_dtype(ops.convert_to_tensor(y_pred).dtype))


def _same(y_true):
    dtype = getattr(y_true, "dtype", None)
    if dtype is None or "float" not in str(dtype):
        labels = as_labels(y_true, multi_label=None)
        return same_class(labels, labels)
    labels = ops.convert_to_tensor(y_true)
    if len(labels.shape) > 2 or (len(labels.shape) == 2 and labels.shape[1] != 1):
        raise ValueError(
            "Labels have the wrong shape. Expected: one label a sample, (B,) or (B, 1). "
            f"Received: shape {tuple(labels.shape)}"
        )
    labels = ops.reshape(labels, (-1,))
    return labels[:, None] == labels[None]
