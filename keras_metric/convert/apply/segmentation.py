"""Measures of segmentation: mean IU and pixel accuracy, from a confusion matrix."""

import keras
from keras import ops


class _Confusion(keras.metrics.Metric):
    """Counts n_ij of pixels of class i labelled j."""

    def __init__(self, classes: int, *, ignore: int | None = 255, name=None, dtype=None):
        super().__init__(name=name, dtype=dtype)
        if classes < 2:
            raise ValueError(f"Too few classes. Expected: at least 2. Received: {classes}.")
        self.classes = classes
        self.ignore = ignore
        self.counts = self.add_variable((classes, classes), "zeros", dtype="float32", name="counts")

    def update_state(self, y_true, y_pred, sample_weight=None):
        """`y_true` integers `(...)` or `(..., 1)`; `y_pred` scores `(..., classes)`."""
        y_pred = ops.convert_to_tensor(y_pred)
        if y_pred.shape[-1] != self.classes:
            raise ValueError(
                f"y_pred does not score each class. Expected: the last axis to be {self.classes}. "
                f"Received: shape {tuple(y_pred.shape)}."
            )
        truth = ops.cast(ops.reshape(y_true, (-1,)), "int32")
        found = ops.cast(ops.argmax(ops.reshape(y_pred, (-1, self.classes)), axis=-1), "int32")
        counted = (truth >= 0) & (truth < self.classes)
        if self.ignore is not None:
            counted = counted & (truth != self.ignore)
        weight = ops.cast(counted, "float32")
        if sample_weight is not None:
            weight = weight * ops.cast(ops.reshape(sample_weight, (-1,)), "float32")
        pair = ops.where(counted, truth * self.classes + found, 0)
        sums = ops.segment_sum(weight, pair, num_segments=self.classes**2)
        self.counts.assign_add(ops.reshape(sums, (self.classes, self.classes)))

    def get_config(self):
        return {**super().get_config(), "classes": self.classes, "ignore": self.ignore}


@keras.saving.register_keras_serializable("keras_metric")
class MeanIU(_Confusion):
    """Intersection over union, averaged over the classes that occur in labels or predictions.

        mean_i  n_ii / (sum_j n_ij + sum_j n_ji - n_ii)

    Pixels of class `ignore` do not count. Long et al., 2015, section 5. arXiv:1411.4038.
    """

    def __init__(self, classes: int, *, ignore: int | None = 255, name="mean_iu", dtype=None):
        super().__init__(classes, ignore=ignore, name=name, dtype=dtype)

    def result(self):
        hit = ops.diagonal(self.counts)
        union = ops.sum(self.counts, axis=0) + ops.sum(self.counts, axis=1) - hit
        occurs = ops.cast(union > 0, "float32")
        each = hit / ops.where(union > 0, union, 1.0)
        return ops.sum(each) / ops.maximum(ops.sum(occurs), 1.0)


@keras.saving.register_keras_serializable("keras_metric")
class PixelAccuracy(_Confusion):
    """Share of the pixels with the correct label: `sum_i n_ii / sum_ij n_ij`."""

    def __init__(
        self, classes: int, *, ignore: int | None = 255, name="pixel_accuracy", dtype=None
    ):
        super().__init__(classes, ignore=ignore, name=name, dtype=dtype)

    def result(self):
        total = ops.sum(self.counts)
        return ops.sum(ops.diagonal(self.counts)) / ops.where(total > 0, total, 1.0)
