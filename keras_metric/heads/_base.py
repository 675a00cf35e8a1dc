"""Head: similarities of embeddings to class weights; HeadLoss: the loss of those similarities."""

import keras
from keras import ops

from keras_metric.arguments import FixedArguments, arguments, number, whole
from keras_metric.distances import precise, unit
from keras_metric.labels import as_labels, class_columns
from keras_metric.losses._base import SampleLoss
from keras_metric.numerics.class_logits import nearest_of_centers, others_and_own, unit_products
from keras_metric.numerics.operations import at_least_one, softplus, take_rows

__all__ = []


class Head(FixedArguments, keras.layers.Layer):
    """Scaled cosines between embeddings (B, D) and the weights of each class: (B, classes).

    A subclass implements `loss(**options)`. scale: factor of the cosines. centers: weight vectors
    per class, of which the nearest counts. Computes in float32, also under mixed precision.

    Raises ValueError for numbers out of range and for inputs that are not (B, D).
    """

    reads_embeddings = True  # `EvaluateRetrieval` measures what comes in

    def __init__(
        self,
        classes: int,
        *,
        scale: float,
        centers: int = 1,
        initializer="he_normal",
        name: str | None = None,
        trainable: bool = True,
        dtype="float32",
    ):
        super().__init__(name=name, trainable=trainable, dtype=dtype)
        self.classes = whole("classes", classes)
        self.scale = number("scale", scale, above=0)
        self.centers = whole("centers", centers)
        self.initializer = keras.initializers.get(initializer)

    def build(self, input_shape):
        if len(input_shape) != 2:
            raise ValueError(
                "Embeddings have the wrong shape. Expected: one row a sample, (B, D). "
                f"Received: shape {tuple(input_shape)}"
            )
        shape = (self.classes * self.centers, input_shape[1])
        self.class_weights = self.add_weight(
            name="class_weights", shape=shape, initializer=self.initializer
        )

    def call(self, embeddings):
        penalty = self.penalty(self.class_weights)
        if penalty is not None:
            self.add_loss(penalty)
        return self.class_logits(embeddings, self.class_weights)

    def class_logits(self, embeddings, class_weights):
        """(B, D), (C · centers, D) -> (B, C): scaled similarities to the classes of these rows."""
        # of the embeddings, the scale is a copy of (B, D) and not one of (B, C)
        products = unit_products(self.scale * unit(embeddings), precise(class_weights))
        if self.centers == 1:
            return products
        rows, columns = ops.shape(products)
        return self.of_centers(ops.reshape(products, (rows, columns // self.centers, self.centers)))

    def rows_of(self, classes):
        """(S,) int32 -> (S · centers, D): the weights of these classes."""
        dimensions = self.class_weights.shape[1]
        of_class = ops.reshape(self.class_weights, (self.classes, self.centers * dimensions))
        return ops.reshape(take_rows(of_class, classes), (-1, dimensions))

    def penalty(self, class_weights):
        """A scalar that rows of class weights add to the loss, None for none."""

    def of_centers(self, products):
        """(B, C, centers) scaled cosines -> (B, C): the nearest center of each class."""
        return nearest_of_centers(products)

    def loss(self, **options):
        """The Keras loss that belongs to this head.

        options: name, reduction, gather, and label_smoothing where it is a cross-entropy.
        """
        raise NotImplementedError(f"{type(self).__name__} does not implement loss(**options).")

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.classes)

    def get_config(self):
        config = super().get_config()
        own = {name: getattr(self, name) for name in arguments(type(self)) if name not in config}
        return {**config, **own, "initializer": keras.initializers.serialize(self.initializer)}


class HeadLoss(SampleLoss):
    """A loss of labels (B,) or (B, 1) and a head's output (B, classes), one value a sample.

    A subclass implements `values(columns, logits)`: the true class of each row, (B,) int32, and the
    scaled cosines (B, classes). gather: under a `tf.distribute` strategy means are over the samples
    of all replicas, and a loss of the whole batch uses all of them. Labels are class numbers from
    0; one outside the classes gives NaN. Computes and returns float32, float64 for a head's output
    of float64.
    """

    def __init__(
        self,
        *,
        scale: float,
        gather: bool = False,
        name: str | None = None,
        reduction: str | None = "sum_over_batch_size",
        dtype=None,
    ):
        super().__init__(gather=gather, name=name, reduction=reduction, dtype=dtype)
        self.scale = number("scale", scale, above=0)

    def call(self, labels, logits):
        labels, logits = as_labels(labels, multi_label=None), precise(logits)
        without = _as_they_are
        if logits.shape[0] == 0:
            labels, logits, without = at_least_one(labels, logits)
        columns, known = class_columns(labels, ops.shape(logits)[1])
        values = self.values(columns, logits)
        return without(ops.where(known, values, float("nan")))

    def values(self, columns, logits):
        raise NotImplementedError(f"{type(self).__name__} does not implement values.")


class SoftmaxLoss(HeadLoss):
    """-log softmax(scale · cos') of the true class; a leaf implements `moved`, cos to its cos'.

    label_smoothing: s in [0, 1): cross-entropy with the target 1 - s + s / C for the true class and
    s / C for the others, which is the loss above plus s · (scale · cos' - mean of the logits).
    Szegedy et al., "Rethinking the Inception Architecture", CVPR 2016, arXiv:1512.00567, section 7.
    """

    def __init__(self, *, label_smoothing: float = 0.0, **options):
        super().__init__(**options)
        self.label_smoothing = number("label_smoothing", label_smoothing, least=0, below=1)

    def values(self, columns, logits):
        others, own = others_and_own(logits, columns)
        moved = self.scale * self.moved(own / self.scale)
        value = softplus(others - moved)
        if not self.label_smoothing:
            return value
        mean = ops.mean(logits, axis=1) + (moved - own) / ops.cast(
            ops.shape(logits)[1], logits.dtype
        )
        return value + self.label_smoothing * (moved - mean)

    def moved(self, cosines):
        """(B,) cosines with the true class -> what stands for them in the softmax."""
        raise NotImplementedError(f"{type(self).__name__} does not implement moved.")


def _as_they_are(values):
    return values
