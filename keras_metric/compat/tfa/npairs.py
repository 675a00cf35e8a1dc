"""N-pairs losses of a given matrix of similarities."""

from keras import ops

from keras_metric.distances import precise
from keras_metric.numerics.operations import cross_entropy_of_chosen

from ._base import BatchLoss, label_mask, returned_as, serializable

__all__ = ["NpairsLoss", "NpairsMultilabelLoss", "npairs_loss", "npairs_multilabel_loss"]


@serializable
def npairs_loss(y_true, y_pred):
    """Mean over rows i of log sum_j exp(S_ij) minus the mean of S_ij over j of i's label, a scalar.

    This is the softmax cross-entropy against targets spread evenly over the samples of a label.
    y_true: labels (B,) or (B, 1). y_pred: similarities S (B, B), such as products a_i · b_j.

    Sohn, "Improved deep metric learning with multi-class N-pair loss objective", NIPS 2016, eq. 7
    """
    similarities = _square(y_pred)
    surprise = cross_entropy_of_chosen(similarities, label_mask(y_true))
    return returned_as(ops.mean(surprise), y_pred)


@serializable
def npairs_multilabel_loss(y_true, y_pred):
    """`npairs_loss` with targets in proportion to the labels that two samples share, a scalar.

    y_true: (B, L) of 0 and 1, dense or sparse. y_pred: similarities (B, B).
    A row without a label has no target and counts as 0.
    """
    similarities = _square(y_pred)
    labels = ops.cast(ops.convert_to_tensor(y_true, sparse=False), similarities.dtype)
    shared = ops.matmul(labels, ops.transpose(labels))
    targets = shared / ops.maximum(ops.sum(shared, axis=1, keepdims=True), 1)
    surprise = ops.logsumexp(similarities, axis=1, keepdims=True) - similarities
    return returned_as(ops.mean(ops.sum(targets * surprise, axis=1)), y_pred)


def _square(y_pred):
    similarities = precise(y_pred)
    rows, *columns = similarities.shape
    if len(columns) == 1 and (rows is None or columns[0] in (rows, None)):
        return similarities
    raise ValueError(
        "y_pred is not a matrix of similarities. Expected: shape (B, B), such as "
        f"ops.matmul(a, ops.transpose(b)). Received: shape {tuple(similarities.shape)}"
    )


@serializable
class NpairsLoss(BatchLoss):
    """`npairs_loss` as a Keras loss: labels and similarities -> a scalar."""

    function = npairs_loss

    def __init__(self, name: str = "npairs_loss"):
        super().__init__(name=name)


@serializable
class NpairsMultilabelLoss(BatchLoss):
    """`npairs_multilabel_loss` as a Keras loss: rows of labels and similarities -> a scalar."""

    function = npairs_multilabel_loss

    def __init__(self, name: str = "npairs_multilabel_loss"):
        super().__init__(name=name)
