"""Contrastive loss of given distances."""

from keras import ops

from keras_metric import losses
from keras_metric.losses.given import contrastive

from ._base import returned_as, serializable

__all__ = ["ContrastiveLoss", "contrastive_loss"]


@serializable
def contrastive_loss(y_true, y_pred, margin: float = 1.0):
    """y · d^2 + (1 - y) · max(0, margin - d)^2 for each pair, in the shape of the distances.

    y_true: (B,) or (B, 1), 1 = similar. y_pred: distances d of as many pairs.
    """
    values = contrastive(y_true, y_pred, margin)
    return returned_as(ops.reshape(values, ops.shape(y_pred)), y_pred)


@serializable
class ContrastiveLoss(losses.ContrastiveLoss):
    """`contrastive_loss` under Keras's reductions and sample weights, in the distances' precision.

    Hadsell, Chopra, LeCun, "Dimensionality reduction by learning an invariant mapping", CVPR 2006
    """

    def __init__(
        self,
        margin: float = 1.0,
        reduction: str | None = "sum_over_batch_size",
        name: str = "contrastive_loss",
    ):
        super().__init__(margin, reduction=reduction, name=name)

    def __call__(self, y_true, y_pred, sample_weight=None):
        return returned_as(super().__call__(y_true, y_pred, sample_weight), y_pred)

    def call(self, y_true, y_pred):
        return contrastive(y_true, y_pred, self.margin)
