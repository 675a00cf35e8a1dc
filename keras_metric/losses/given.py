"""Losses of given pairs and triplets: the network returns distances, not embeddings."""

import numpy as np
from keras import ops

from keras_metric.arguments import number, serializable
from keras_metric.distances import precise
from keras_metric.losses._base import SampleLoss
from keras_metric.numerics.operations import known_values

__all__ = ["ContrastiveLoss", "TripletMarginLoss"]


@serializable
class ContrastiveLoss(SampleLoss):
    """Pull similar pairs together, push different pairs at least a margin apart.

        y · d^2 + (1 - y) · max(0, margin - d)^2

    y_true: (B,) or (B, 1), 1 = similar, 0 = different. y_pred: distances of the same shape, as
    `SiameseNet` returns them.

    Raises ValueError when the two differ in size, or y_true has other values than 0 and 1, such as
    class numbers. In a compiled step, where values are not known, such a pair makes the loss NaN.

    Hadsell, Chopra, LeCun, "Dimensionality reduction by learning an invariant mapping", CVPR 2006,
    eq. 4 (there y = 0 means similar, and a factor 1/2).
    """

    def __init__(self, margin: float = 1.0, **options):
        super().__init__(**options)
        self.margin = number("margin", margin, least=0)

    def call(self, y_true, y_pred):
        values = contrastive(y_true, y_pred, self.margin)
        similar = _column(y_true)
        wrong = ops.logical_and(similar != 0, similar != 1)
        _refuse_other_values(y_true)
        return ops.where(wrong, float("nan"), values)


def contrastive(y_true, y_pred, margin: float):
    """The contrastive loss of each pair, (B,); y may be any number, such as one from 0 to 1."""
    distances = _column(y_pred)
    similar = ops.cast(_column(y_true), distances.dtype)
    if None not in (*similar.shape, *distances.shape) and similar.shape != distances.shape:
        raise ValueError(
            "y_true and y_pred differ in size. Expected: one 0 or 1 a pair and one distance a "
            f"pair, (B,) or (B, 1). Received: {tuple(similar.shape)} and "
            f"{tuple(distances.shape)} after flattening."
        )
    apart = ops.relu(margin - distances)
    return similar * ops.square(distances) + (1 - similar) * ops.square(apart)


@serializable
class TripletMarginLoss(SampleLoss):
    """The negative must be farther than the positive by a margin; each triplet by itself.

        max(0, d(a, p) - d(a, n) + margin)

    y_pred: (B, 2), the columns d(a, p) and d(a, n), as `TripletNet` returns them. y_true is
    ignored. Raises ValueError for another shape.

    Schroff et al., "FaceNet", CVPR 2015. arXiv:1503.03832, eq. 3 (there with squared distances)
    """

    def __init__(self, margin: float = 1.0, **options):
        super().__init__(**options)
        self.margin = number("margin", margin, least=0)

    def call(self, y_true, y_pred):
        distances = precise(y_pred)
        if len(distances.shape) != 2 or distances.shape[1] != 2:
            raise ValueError(
                "y_pred has the wrong shape. Expected: (B, 2), the distances to the positive and "
                f"to the negative. Received: shape {tuple(distances.shape)}"
            )
        return ops.relu(distances[:, 0] - distances[:, 1] + self.margin)


def _refuse_other_values(y_true) -> None:
    values = known_values(y_true)
    if values is None or np.isin(values, (0, 1)).all():
        return
    raise ValueError(
        "y_true is not binary. Expected: y_true of 1 (similar) and 0 (different). "
        f"Received: {np.unique(values[~np.isin(values, (0, 1))])[:5].tolist()}. For labels that "
        "name classes, on embeddings, there is PairwiseContrastiveLoss."
    )


def _column(x):
    dtype = getattr(x, "dtype", None)
    if x is None or "string" in str(dtype) or getattr(dtype, "kind", None) in ("U", "S", "O"):
        raise ValueError(
            "A pair has no number for its label. Expected: 1 for a similar pair and 0 for any "
            f"other, as fit((x1, x2), similar) takes them. Received: {dtype}."
        )
    x = precise(x)
    if len(x.shape) == 1 or (len(x.shape) == 2 and x.shape[1] == 1):
        return ops.reshape(x, (-1,))
    raise ValueError(
        "Labels or distances have the wrong shape. Expected: shape (B,) or (B, 1). "
        f"Received: shape {tuple(x.shape)}"
    )
