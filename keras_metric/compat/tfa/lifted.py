"""Lifted structure loss: O(B^2) memory instead of TF Addons' O(B^3)."""

from keras import ops

from keras_metric.pairs import masked_logsumexp

from ._base import BatchLoss, pairs_of, returned_as, serializable
from .metric_learning import matrix_of

__all__ = ["LiftedStructLoss", "lifted_struct_loss"]


@serializable
def lifted_struct_loss(labels, embeddings, margin: float = 1.0):
    """Half the mean over positive pairs (i, j) of max(0, J_ij)^2, a scalar.

        J_ij = D_ij + log( sum over negatives k of i  exp(margin - D_ik)
                         + sum over negatives l of j  exp(margin - D_jl) )

    labels: (B,) or (B, 1). embeddings: (B, D), not normalized; D is their Euclidean distance.
    Without a positive pair, or without a negative, the loss is 0.

    Song et al., "Deep metric learning via lifted structured feature embedding", CVPR 2016.
    arXiv:1511.06452, eq. 4
    """
    d, positives, negatives = pairs_of(labels, matrix_of(embeddings, "L2"))
    repulsion = margin + masked_logsumexp(d, negatives, -1)
    joint = ops.logaddexp(repulsion[:, None], repulsion[None]) + d
    total = ops.sum(ops.where(positives, ops.square(ops.relu(joint)), 0))
    count = ops.sum(ops.cast(positives, d.dtype))
    return returned_as(total / ops.maximum(2 * count, 1), embeddings)


@serializable
class LiftedStructLoss(BatchLoss):
    """`lifted_struct_loss` as a Keras loss: labels and embeddings -> a scalar."""

    function = lifted_struct_loss

    def __init__(self, margin: float = 1.0, name: str | None = None):
        super().__init__(name=name, margin=margin)
