"""Head: similarities of embeddings to class weights; HeadLoss: the loss of those similarities."""

import keras
from keras import ops

from keras_metric.arguments import FixedArguments, arguments, number, whole
from keras_metric.distances import precise, unit
from keras_metric.labels import as_labels, same_class
from keras_metric.losses._base import SampleLoss
from keras_metric.numerics.operations import all_products, at_least_one

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
        rows, without = at_least_one(precise(embeddings))
        return without(self.scale * self.similarities(rows))

    def similarities(self, embeddings):
        """(B, D) -> (B, classes): the cosine with the nearest center of each class."""
        return ops.amax(self.cosines(embeddings), axis=-1)

    def cosines(self, embeddings):
        """(B, D) -> (B, classes, centers)."""
        cosines = all_products(unit(embeddings), unit(self.class_weights))
        return ops.reshape(cosines, (-1, self.classes, self.centers))

    def loss(self, **options):
        """The Keras loss that belongs to this head; options: name, reduction, gather."""
        raise NotImplementedError(f"{type(self).__name__} does not implement loss(**options).")

    def compute_output_shape(self, input_shape):
        return (input_shape[0], self.classes)

    def get_config(self):
        config = super().get_config()
        own = {name: getattr(self, name) for name in arguments(type(self)) if name not in config}
        return {**config, **own, "initializer": keras.initializers.serialize(self.initializer)}


class HeadLoss(SampleLoss):
    """A loss of labels (B,) or (B, 1) and a head's output (B, classes), one value a sample.

    A subclass implements `values(target, similarities)`: a (B, classes) mask with one true class
    per row, and the cosines. gather: under a `tf.distribute` strategy means are over the samples of
    all replicas, and a loss of the whole batch uses all of them. Labels are class numbers from 0;
    one outside the classes gives NaN. Computes and returns float32, float64 for a head's output of
    float64.
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
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.scale = number("scale", scale, above=0)
        self.gather = gather

    def call(self, labels, logits):
        labels, logits = as_labels(labels), precise(logits)
        labels, logits, without = at_least_one(labels, logits)
        classes = ops.arange(ops.shape(logits)[1], dtype=labels.dtype)[:, None]
        target = same_class(labels, classes)
        values = self.values(target, logits / self.scale)
        return without(ops.where(ops.any(target, axis=1), values, float("nan")))

    def values(self, target, similarities):
        raise NotImplementedError(f"{type(self).__name__} does not implement values.")


def cross_entropy(target, logits):
    """-log softmax of the true class, (B,)."""
    return ops.logsumexp(logits, axis=1) - ops.sum(ops.where(target, logits, 0), axis=1)
