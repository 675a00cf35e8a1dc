"""Networks that return distances of embeddings: of pairs and of triplets."""

from collections.abc import Callable

import keras
from keras import ops

from keras_metric import distances
from keras_metric.models.branches import BranchNet, Encoder


class DistanceNet(BranchNet):
    """Base class of both: a network of branches with a distance."""

    def __init__(
        self,
        encoder: Encoder,
        distance: str | Callable = "euclidean",
        *,
        classifier: int | keras.Layer | None = None,
        name: str | None = None,
        **layer_options,
    ):
        super().__init__(encoder, classifier=classifier, name=name, **layer_options)
        self.distance = distance
        self._between = distances.paired(distance)

    def get_config(self) -> dict:
        distance = keras.saving.serialize_keras_object(self.distance)
        return {**super().get_config(), "distance": distance}

    @classmethod
    def from_config(cls, config: dict):
        distance = keras.saving.deserialize_keras_object(config["distance"])
        return super().from_config({**config, "distance": distance})


@keras.saving.register_keras_serializable(package="keras_metric")
class SiameseNet(DistanceNet):
    """The distance between the embeddings of two inputs.

        (x1, x2) -> D(f(x1), f(x2))                         (B,)

    It is trained with `losses.ContrastiveLoss` on labels 1 (similar) and 0. With a `classifier` the
    output is `{"distances": (B,), "classes": (B, 2, classes)}`, each with its own loss and weight
    in `compile(loss={...}, loss_weights={...})`.

    Both inputs pass through a shared encoder in one call, joined along the batch axis (as one
    structure, if the encoder has several inputs), so that batch normalization sees one batch of 2B.

    Args:
        encoder: a `keras.Model` from an input to embeddings (B, D), or `(encoder_a, encoder_b)`
            if the two inputs are of different kinds (sketch and photo).
        distance: a name in `keras_metric.distances`, or a callable `(A, D), (C, D) -> (A, C)`.
        classifier: number of classes, or a layer from embeddings to logits; None for none.
        name: name of the model.

    Raises:
        TypeError: if the encoder or the classifier has another type.
        ValueError: if the input is not a pair, or a shared encoder gets two shapes.

    Bromley et al., "Signature verification using a siamese time delay neural network", 1993;
    Chopra et al., "Learning a similarity metric discriminatively", 2005, section 2.
    """

    roles = ("x1", "x2")
    sides = (0, 1)

    def call(self, inputs, training=None):
        first, second = embeddings = self.embed(inputs, training)
        return self.with_classes("distances", self._between(first, second), embeddings)


@keras.saving.register_keras_serializable(package="keras_metric")
class TripletNet(DistanceNet):
    """The distances of an anchor to a positive and to a negative.

        (a, p, n) -> [D(f(a), f(p)), D(f(a), f(n))]         (B, 2)

    It is trained with `losses.TripletMarginLoss`, which ignores `y` (any array of B rows). With a
    `classifier` the output is `{"distances": (B, 2), "classes": (B, 3, classes)}`.

    Args: as `SiameseNet`; two encoders are `(anchor_encoder, item_encoder)`, the second one for
    positives and negatives.

    Raises: as `SiameseNet`, for three inputs.

    Wang et al., "Learning fine-grained image similarity with deep ranking", 2014, section 4;
    Hoffer and Ailon, "Deep metric learning using triplet network", 2015, section 2.
    """

    roles = ("anchor", "positive", "negative")
    sides = (0, 1, 1)
    branch_names = ("anchor", "item")

    def call(self, inputs, training=None):
        anchor, positive, negative = embeddings = self.embed(inputs, training)
        near = self._between(anchor, positive)
        far = self._between(anchor, negative)
        return self.with_classes("distances", ops.stack([near, far], axis=1), embeddings)
