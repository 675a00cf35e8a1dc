"""Self-supervised losses of two views of each image, without labels and negatives.

The network returns both views side by side, (B, 2, D), as
`keras.ops.stack([encoder(view_1), encoder(view_2)], axis=1)` does; `y_true` is ignored. Terms
of the whole batch are part of every sample's value.
"""

from keras import ops

from keras_metric.arguments import number, serializable
from keras_metric.distances import precise, root, unit
from keras_metric.losses._base import SampleLoss
from keras_metric.numerics.operations import all_products, at_least_one
from keras_metric.numerics.replicas import gather

__all__ = ["BarlowTwinsLoss", "SimSiamLoss", "VICRegLoss"]


class BatchLoss(SampleLoss):
    """A loss of statistics of the whole batch: with `gather`, of the rows of all replicas."""

    def _all_rows(self, u, v):
        return gather(u, v)[:2] if self.gather else (u, v)


@serializable
class VICRegLoss(BatchLoss):
    """The two views equal, the coordinates spread and uncorrelated.

        invariance · |u - v|^2 / D
      + variance   · mean over coordinates k of max(0, 1 - std(u_k)), and of v
      + covariance · sum over k != l of cov(u_k, u_l)^2 / D, and of v

    y_pred: (B, 2, D). Bardes et al., "VICReg", ICLR 2022, arXiv:2105.04906, eq. 1-6.
    """

    def __init__(
        self,
        invariance: float = 25.0,
        variance: float = 25.0,
        *,
        covariance: float = 1.0,
        **options,
    ):
        super().__init__(**options)
        self.invariance = number("invariance", invariance, least=0)
        self.variance = number("variance", variance, least=0)
        self.covariance = number("covariance", covariance, least=0)

    def call(self, y_true, y_pred):
        (u, v), without = _views(y_pred, 2)
        apart = ops.mean(ops.square(u - v), axis=1)
        of_batch = 0
        for view in self._all_rows(u, v):
            of_batch = of_batch + _spread(view, self.variance, self.covariance)
        return without(self.invariance * apart + of_batch)


@serializable
class BarlowTwinsLoss(BatchLoss):
    """The correlation matrix between the coordinates of the two views must be the identity.

        sum_k (1 - c_kk)^2 + redundancy · sum over k != l of c_kl^2

    c is the (D, D) matrix of correlations over the batch; a constant coordinate has
    correlation 0. y_pred: (B, 2, D). Zbontar et al., "Barlow twins", 2021, arXiv:2103.03230, eq.
    1-2.
    """

    def __init__(self, redundancy: float = 0.005, **options):
        super().__init__(**options)
        self.redundancy = number("redundancy", redundancy, least=0)

    def call(self, y_true, y_pred):
        (u, v), without = _views(y_pred, 2)
        columns = [ops.transpose(_standardized(view)) for view in self._all_rows(u, v)]
        correlations = all_products(*columns)
        diagonal = ops.diagonal(correlations)
        redundant = ops.sum(ops.square(correlations)) - ops.sum(ops.square(diagonal))
        value = ops.sum(ops.square(1 - diagonal)) + self.redundancy * redundant
        return without(ops.zeros_like(u[:, 0]) + value)


@serializable
class SimSiamLoss(SampleLoss):
    """Each view's prediction must have the direction of the other view's projection.

        1 - cos(p1, z2) / 2 - cos(p2, z1) / 2,   no gradient into z

    y_pred: (B, 4, D), the rows p1, p2, z1, z2. The 1 is added here, so that the loss is 0 for equal
    directions. Chen, He, "Exploring simple siamese representation learning", 2021,
    arXiv:2011.10566, eq. 2-4.
    """

    def __init__(self, **options):
        super().__init__(**options)

    def call(self, y_true, y_pred):
        rows, without = _views(y_pred, 4)
        p1, p2, z1, z2 = map(unit, rows)
        first = ops.sum(p1 * ops.stop_gradient(z2), axis=1)
        return without(1 - first / 2 - ops.sum(p2 * ops.stop_gradient(z1), axis=1) / 2)


def _spread(x, variance, covariance):
    """The variance and covariance terms of one view, a scalar; covariances over B - 1 samples."""
    columns = ops.transpose(x - ops.mean(x, axis=0, keepdims=True))
    freedom = ops.maximum(ops.cast(ops.shape(x)[0], x.dtype) - 1, 1)
    covariances = all_products(columns, columns) / freedom
    variances = ops.diagonal(covariances)
    narrow = ops.mean(ops.relu(1 - ops.sqrt(variances + 1e-4)))
    others = covariances * (1 - ops.eye(x.shape[1], dtype=x.dtype))
    correlated = ops.minimum(ops.sum(ops.square(others)), 1e35)  # stays finite for huge norms
    return variance * narrow + covariance * correlated / x.shape[1]


def _standardized(x):
    """Columns of mean 0 and length 1; a constant column is 0."""
    centered = x - ops.mean(x, axis=0, keepdims=True)
    length = root(ops.sum(ops.square(centered), axis=0, keepdims=True))
    rounding = 1e-5 * ops.amax(ops.abs(x), axis=0, keepdims=True)
    flat = length <= rounding
    return ops.where(flat, 0, centered / ops.where(flat, 1, length))


def _views(y_pred, count):
    """The rows of every sample, (B, D) each, and what takes the row away that fills no batch."""
    views = precise(y_pred)
    if len(views.shape) == 3 and views.shape[1] == count:
        views, without = at_least_one(views)
        return [views[:, i] for i in range(count)], without
    raise ValueError(
        f"y_pred has the wrong shape. Expected: {count} rows a sample, (B, {count}, D). "
        f"Received: shape {tuple(views.shape)}"
    )
