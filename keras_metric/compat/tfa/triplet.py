"""Triplet losses with semi-hard and hard negatives: O(B^2) memory instead of TF Addons' O(B^3)."""

from collections.abc import Callable

from keras import ops

from keras_metric import losses
from keras_metric.pairs import Pairs, masked_max, masked_min

from ._base import BatchLoss, pairs_of, returned_as, serializable
from .metric_learning import check_metric, matrix_of

__all__ = ["TripletHardLoss", "TripletSemiHardLoss", "triplet_hard_loss", "triplet_semihard_loss"]


@serializable
def triplet_semihard_loss(
    y_true, y_pred, margin: float = 1.0, distance_metric: str | Callable = "L2"
):
    """Mean over positive pairs (i, j) of max(0, margin + D_ij - N_ij), a scalar.

    N_ij is the nearest negative of i that is farther than j; when there is none, the farthest
    negative. y_true: labels (B,) or (B, 1). y_pred: embeddings (B, D).
    Without a positive pair the loss is 0; with one class alone N_ij is the smallest D of row i, 0.

    Schroff et al., "FaceNet", CVPR 2015. arXiv:1503.03832, section 3.2
    """
    d, positives, negatives = pairs_of(y_true, matrix_of(y_pred, distance_metric))
    nearest = d <= ops.amin(d, axis=1, keepdims=True)
    negatives = ops.where(ops.any(negatives, axis=1, keepdims=True), negatives, nearest)
    of_anchor = losses.TripletLoss(margin, "semi_hard").values(Pairs(d, positives, negatives))
    count = ops.sum(ops.cast(positives, d.dtype), axis=1)
    loss = ops.sum(of_anchor * count) / ops.maximum(ops.sum(count), 1)
    return returned_as(loss, y_pred)


@serializable
def triplet_hard_loss(
    y_true,
    y_pred,
    margin: float = 1.0,
    soft: bool = False,
    distance_metric: str | Callable = "L2",
):
    """Mean over all B anchors of max(0, margin + farthest positive - nearest negative), a scalar.

    soft: log(1 + exp(farthest positive - nearest negative)) instead, without overflow.
    y_true: labels (B,) or (B, 1). y_pred: embeddings (B, D).
    An anchor without a positive has the smallest D of its row there, 0; one without a negative the
    largest.

    Hermans et al., "In defense of the triplet loss", 2017. arXiv:1703.07737, eq. 5
    """
    d, positives, negatives = pairs_of(y_true, matrix_of(y_pred, distance_metric))
    farthest = ops.where(ops.any(positives, axis=1), masked_max(d, positives), ops.amin(d, axis=1))
    nearest = ops.where(ops.any(negatives, axis=1), masked_min(d, negatives), ops.amax(d, axis=1))
    gap = farthest - nearest
    return returned_as(ops.mean(ops.softplus(gap) if soft else ops.relu(gap + margin)), y_pred)


@serializable
class TripletSemiHardLoss(BatchLoss):
    """`triplet_semihard_loss` as a Keras loss: labels and embeddings -> a scalar."""

    function = triplet_semihard_loss

    def __init__(
        self,
        margin: float = 1.0,
        distance_metric: str | Callable = "L2",
        name: str | None = None,
    ):
        check_metric(distance_metric)
        super().__init__(name=name, margin=margin, distance_metric=distance_metric)


@serializable
class TripletHardLoss(BatchLoss):
    """`triplet_hard_loss` as a Keras loss: labels and embeddings -> a scalar."""

    function = triplet_hard_loss

    def __init__(
        self,
        margin: float = 1.0,
        soft: bool = False,
        distance_metric: str | Callable = "L2",
        name: str | None = None,
    ):
        check_metric(distance_metric)
        super().__init__(name=name, margin=margin, soft=soft, distance_metric=distance_metric)
