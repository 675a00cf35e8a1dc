"""Two kinds of input in one embedding space: items of one branch compared with the other's."""

import keras
import numpy as np
from keras import ops

from keras_metric.arguments import FixedArguments
from keras_metric.losses import PairLoss
from keras_metric.models.branches import BranchNet


@keras.saving.register_keras_serializable(package="keras_metric")
class CrossBranchNet(BranchNet):
    """The embeddings of two inputs, stacked, for losses that mine across the branches.

        (x_a, x_b) -> [f_a(x_a), f_b(x_b)]                  (B, 2, D)

    It is trained with `CrossBranchLoss` of any loss on labeled batches. With a `classifier`, shared
    by the branches, the output is `{"embeddings": (B, 2, D), "classes": (B, 2, classes)}`:

        net.compile(
            optimizer,
            loss={"embeddings": CrossBranchLoss(TripletLoss()),
                  "classes": SparseCategoricalCrossentropy(from_logits=True)},
            loss_weights={"embeddings": 0.4, "classes": 0.6},
        )
        net.fit((sketches, photos), {"embeddings": labels, "classes": labels})

    with labels (B, 2), one for each side. `branches()` returns the encoders, `save_branches()`
    saves them.

    Args:
        encoder: `(encoder_a, encoder_b)`, or one `keras.Model` for both sides.
        classifier: number of classes, or a layer from embeddings to logits; None for none.
        name: name of the model.

    Raises: as `SiameseNet`.
    """

    roles = ("a", "b")
    sides = (0, 1)

    def call(self, inputs, training=None):
        embeddings = self.embed(inputs, training)
        return self.with_classes("embeddings", ops.stack(embeddings, axis=1), embeddings)


@keras.saving.register_keras_serializable(package="keras_metric")
class CrossBranchLoss(FixedArguments, keras.losses.Loss):
    """A loss on labeled batches with anchors of one branch and candidates of the other.

        loss(anchors = a, candidates = b), or the mean of that and loss(anchors = b, candidates = a)

    Takes labels (B, 2), one for each side, or (B,) if the two sides of a row have the same class
    (or the two-word form of either, see `keras_metric.batches.exact_labels`), and embeddings
    (B, 2, D). Reduction, sample weights (B,) per row, distance, miner and gathering
    over replicas are those of the loss.

    Args:
        loss: a `PairLoss` of `keras_metric.losses`, such as `TripletLoss()`.
        both_ways: average over both directions instead of anchors of the first branch only.
        name: name of the loss.

    Raises:
        TypeError: if the loss is not a `PairLoss`.
        ValueError: if labels or embeddings have other shapes.
    """

    def __init__(self, loss: PairLoss, *, both_ways: bool = False, name: str | None = None):
        if not isinstance(loss, PairLoss) or loss.multi_label:
            raise TypeError(
                "The loss cannot look across branches. Expected: a PairLoss of keras_metric.losses "
                f"on single labels, such as TripletLoss(). Received: {loss!r}."
            )
        super().__init__(name=name or f"cross_branch_{loss.name}", reduction=loss.reduction)
        self.loss = loss
        self.both_ways = both_ways

    def __call__(self, y_true, y_pred, sample_weight=None):
        """The reduced loss of labels (B,) or (B, 2) and embeddings (B, 2, D)."""
        labels = _of_each_side(y_true)
        embeddings = _two_sides(y_pred)
        loss = self._one_way(labels, embeddings, sample_weight)
        if not self.both_ways:
            return loss
        return (loss + self._one_way(labels[::-1], embeddings[::-1], sample_weight)) / 2

    def gather_over_replicas(self, gather: bool = True) -> None:
        """Set `gather` of the loss, with which no step has been compiled yet."""
        self.loss.gather_over_replicas(gather)

    def _one_way(self, labels, embeddings, sample_weight):
        """Anchors and candidates never share an item: no offset."""
        candidate_labels, candidates, _ = self.loss._candidates(labels[1], embeddings[1])
        return self.loss.loss_against(
            labels[0], embeddings[0], candidate_labels, candidates, sample_weight=sample_weight
        )

    def get_config(self) -> dict:
        loss = keras.saving.serialize_keras_object(self.loss)
        return {"loss": loss, "both_ways": self.both_ways, "name": self.name}

    @classmethod
    def from_config(cls, config: dict):
        loss = keras.saving.deserialize_keras_object(config["loss"])
        return cls(**{**config, "loss": loss})


def _of_each_side(labels) -> tuple:
    labels = labels if ops.is_tensor(labels) else np.asarray(labels)
    shape = tuple(labels.shape)
    if len(shape) in (2, 3) and shape[1] == 2:
        return labels[:, :1], labels[:, 1:]
    if len(shape) == 1 or (len(shape) in (2, 3) and shape[1] == 1):
        return labels, labels
    raise ValueError(
        "Labels have the wrong shape. Expected: (B, 2), one for each branch, or (B,). "
        f"Received: shape {shape}."
    )


def _two_sides(embeddings) -> tuple:
    embeddings = ops.convert_to_tensor(embeddings)
    if len(embeddings.shape) != 3 or embeddings.shape[1] != 2:
        raise ValueError(
            "Embeddings have the wrong shape. Expected: (B, 2, D), as a CrossBranchNet gives them. "
            f"Received: shape {tuple(embeddings.shape)}."
        )
    return embeddings[:, 0], embeddings[:, 1]
