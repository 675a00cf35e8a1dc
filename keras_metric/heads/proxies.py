"""Proxy heads: each class has learned vectors (proxies) with which embeddings are compared."""

from keras import ops

from keras_metric.arguments import number, serializable
from keras_metric.distances import root, unit
from keras_metric.heads._base import Head, HeadLoss
from keras_metric.heads.margins import CosFaceLoss
from keras_metric.numerics.class_logits import others_and_own, softly_of_centers
from keras_metric.numerics.operations import all_products, masked_logsumexp, softplus
from keras_metric.numerics.replicas import gather

__all__ = ["ProxyAnchor", "ProxyNCA", "SoftTriple"]


@serializable
class ProxyNCA(Head):
    """Each embedding must be nearer to the proxy of its class than to the others.

        -log(exp(-d^2(x, p_y) scale / 2) / sum over z != y of exp(-d^2(x, p_z) scale / 2))

    d between unit vectors, so that -d^2 / 2 = cos - 1. With `plus` the sum includes y (ProxyNCA++),
    which makes it a normalized softmax; without it the loss may be negative.
    Movshovitz-Attias et al., 2017, arXiv:1703.07464, eq. 4; Teh et al., "ProxyNCA++", 2020,
    arXiv:2004.01113.
    """

    def __init__(self, classes: int, *, scale: float = 18.0, plus: bool = False, **options):
        super().__init__(classes, scale=scale, **options)
        self.plus = plus

    def loss(self, **options):
        return ProxyNCALoss(plus=self.plus, scale=self.scale, **options)


@serializable
class ProxyAnchor(Head):
    """Each proxy against the whole batch.

        mean over proxies with positives in the batch of log(1 + sum_p exp(-scale (cos - margin)))
      + mean over all proxies of log(1 + sum_n exp(scale (cos + margin)))

    scale is the paper's alpha. There is one value for the batch, returned for each of its samples.
    Under a `tf.distribute` strategy `loss(gather=True)` uses the batches of all replicas.
    Kim et al., "Proxy anchor loss", CVPR 2020, arXiv:2003.13911, eq. 4.
    """

    def __init__(self, classes: int, *, margin: float = 0.1, scale: float = 32.0, **options):
        super().__init__(classes, scale=scale, **options)
        self.margin = number("margin", margin, least=0)

    def loss(self, **options):
        return ProxyAnchorLoss(margin=self.margin, scale=self.scale, **options)


@serializable
class SoftTriple(Head):
    """Several centers per class with soft assignment; a regularizer merges those not needed.

        similarity_c = sum_k softmax_k(cos_ck / gamma) cos_ck
        -log softmax(scale · (similarity - margin for the true class))
      + regularization · mean over classes of the centers' mean distance

    Qian et al., "SoftTriple loss", ICCV 2019, arXiv:1909.05235 (there gamma is 1 / gamma).
    """

    def __init__(
        self,
        classes: int,
        *,
        centers: int = 10,
        margin: float = 0.01,
        gamma: float = 0.1,
        regularization: float = 0.2,
        scale: float = 20.0,
        **options,
    ):
        super().__init__(classes, scale=scale, centers=centers, **options)
        self.margin = number("margin", margin, least=0)
        self.gamma = number("gamma", gamma, above=0)
        self.regularization = number("regularization", regularization, least=0)

    def of_centers(self, products):
        return softly_of_centers(products, self.gamma * self.scale)

    def penalty(self, class_weights):
        if self.centers > 1 and self.regularization:
            return self.regularization * self.center_distance(class_weights)
        return None

    def center_distance(self, class_weights):
        """The mean distance between two centers of one class."""
        centers = ops.reshape(unit(class_weights), (-1, self.centers, class_weights.shape[1]))
        cosines = all_products(centers, centers)
        between = ops.triu(root(ops.relu(2 - 2 * cosines)), k=1)
        return ops.mean(ops.sum(between, axis=(1, 2))) * 2 / (self.centers * (self.centers - 1))

    def loss(self, **options):
        return CosFaceLoss(margin=self.margin, scale=self.scale, **options)


@serializable
class ProxyNCALoss(HeadLoss):
    """The loss of ProxyNCA."""

    def __init__(self, *, plus: bool = False, **options):
        super().__init__(**options)
        self.plus = plus

    def values(self, columns, logits):
        others, own = others_and_own(logits, columns)
        return softplus(others - own) if self.plus else others - own


@serializable
class ProxyAnchorLoss(HeadLoss):
    """The loss of ProxyAnchor."""

    def __init__(self, *, margin: float, **options):
        super().__init__(**options)
        self.margin = margin

    def call(self, labels, logits):
        if not self.gather:
            return super().call(labels, logits)
        own = ops.shape(logits)[0]
        labels, logits, offset = gather(labels, logits)
        return super().call(labels, logits)[offset : offset + own]

    def values(self, columns, logits):
        margin = self.scale * self.margin
        others, own = others_and_own(logits, columns, axis=0)
        alike = columns[:, None] == columns[None]  # each of a class adds its share of the class
        positives = ops.broadcast_to(margin - own[None], ops.shape(alike))
        shares = 1 / ops.sum(ops.cast(alike, own.dtype), axis=1)
        pull = ops.sum(shares * softplus(masked_logsumexp(positives, alike)))
        push = ops.mean(softplus(others + margin))
        return ops.zeros_like(own) + pull / ops.sum(shares) + push
