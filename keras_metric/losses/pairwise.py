"""Losses of single pairs: distances to positives and to negatives of each anchor.

s = 1 - d is the similarity: the cosine of the angle, with the distance "cosine".
"""

from collections.abc import Callable

from keras import ops

from keras_metric.arguments import number, serializable
from keras_metric.losses._base import PairLoss
from keras_metric.pairs import Pairs, masked_logsumexp, masked_mean, masked_sum

__all__ = [
    "CircleLoss",
    "IntraPairVarianceLoss",
    "MarginLoss",
    "MultiSimilarityLoss",
    "PairwiseContrastiveLoss",
    "RankedListLoss",
]


@serializable
class PairwiseContrastiveLoss(PairLoss):
    """The contrastive loss over all pairs of a labeled batch.

        mean over positives of max(0, d - positive_margin)^e
      + mean over negatives of max(0, margin - d)^e              e = 2, or 1 if not squared

    Hadsell et al., "Dimensionality reduction by learning an invariant mapping", CVPR 2006, eq. 4.
    """

    needs = "any"
    few_positives_from = 1024

    def __init__(
        self, margin: float = 1.0, positive_margin: float = 0.0, *, squared: bool = True, **options
    ):
        super().__init__(**options)
        self.margin = self._point("margin", margin)
        self.positive_margin = self._point("positive_margin", positive_margin)
        self.squared = squared

    def values(self, pairs):
        power = ops.square if self.squared else lambda hinges: hinges
        near, positives = pairs.to_positives()
        pull = masked_mean(power(ops.relu(near - self.positive_margin)), positives)
        push = masked_mean(power(ops.relu(self.margin - pairs.distances)), pairs.negatives)
        return pull + push


@serializable
class MarginLoss(PairLoss):
    """A fixed boundary between positives and negatives; the mean over the anchor's active pairs.

        positives: max(0, d - boundary + margin)      negatives: max(0, boundary - d + margin)

    The boundary is not trained (a loss owns no weights). The paper draws negatives by distance: use
    `miner="distance_weighted"` for that.
    Wu et al., "Sampling matters in deep embedding learning", 2017, arXiv:1706.07567, section 4.2.
    """

    needs = "any"

    def __init__(self, margin: float = 0.2, boundary: float = 1.2, **options):
        super().__init__(**options)
        self.margin = number("margin", margin, least=0)
        self.boundary = self._point("boundary", boundary)

    def values(self, pairs):
        d, positives, negatives = pairs
        hinges = ops.relu(self.margin + ops.where(positives, d - self.boundary, self.boundary - d))
        chosen = ops.logical_or(positives, negatives)
        return masked_mean(hinges, ops.logical_and(chosen, hinges > 0))


@serializable
class MultiSimilarityLoss(PairLoss):
    """Pairs weighted by their own similarity and relative to the other pairs of the anchor.

        log(1 + sum_p exp(-alpha (s - base))) / alpha + log(1 + sum_n exp(beta (s - base))) / beta

    The paper mines first: `miner="multi_similarity"`.
    Wang et al., "Multi-similarity loss", CVPR 2019, arXiv:1904.06627, eq. 15.
    """

    needs = "any"
    few_positives_from = 1024

    def __init__(
        self,
        alpha: float = 2.0,
        beta: float = 50.0,
        *,
        base: float = 0.5,
        distance: str | Callable = "cosine",
        **options,
    ):
        super().__init__(distance=distance, **options)
        self.alpha = number("alpha", alpha, above=0)
        self.beta = number("beta", beta, above=0)
        self.base = number("base", base)

    def values(self, pairs):
        d, positives = pairs.to_positives()
        base = 1 - self.base  # as a distance
        pull = masked_logsumexp(d, positives, self.alpha) - self.alpha * base
        push = masked_logsumexp(pairs.distances, pairs.negatives, -self.beta) + self.beta * base
        return ops.softplus(pull) / self.alpha + ops.softplus(push) / self.beta


@serializable
class CircleLoss(PairLoss):
    """Each similarity is weighted by its distance from the optimum; the boundary is a circle.

        log(1 + sum_n exp(gamma [s + m]+ (s - m)) · sum_p exp(-gamma [1 + m - s]+ (s - 1 + m)))

    The weights []+ carry no gradient. m is the margin.
    Sun et al., "Circle loss", CVPR 2020, arXiv:2002.10857, eq. 6-8.
    """

    few_positives_from = 1024

    def __init__(
        self,
        margin: float = 0.4,
        gamma: float = 80.0,
        *,
        distance: str | Callable = "cosine",
        **options,
    ):
        super().__init__(distance=distance, **options)
        self.margin = number("margin", margin, least=0)
        self.gamma = number("gamma", gamma, above=0)

    def values(self, pairs):
        d, m = pairs.distances, self.margin
        push = ops.relu(1 + m - ops.stop_gradient(d)) * (d - (1 - m))
        push = masked_logsumexp(push, pairs.negatives, -self.gamma)
        d, positives = pairs.to_positives()
        pull = ops.relu(ops.stop_gradient(d) + m) * (d - m)
        return ops.softplus(masked_logsumexp(pull, positives, self.gamma) + push)


@serializable
class RankedListLoss(PairLoss):
    """Push negatives beyond a boundary, the nearest most, and pull positives inside it by a margin.

        (1 - balance) · mean over active positives of max(0, d - boundary + margin)
      + balance · weighted mean over active negatives of max(0, boundary - d),
        weights exp(temperature · (boundary - d)), without gradient

    Wang et al., "Ranked list loss", CVPR 2019, arXiv:1903.03238 (positives unweighted).
    """

    needs = "any"

    def __init__(
        self,
        margin: float = 0.4,
        boundary: float = 1.2,
        *,
        temperature: float = 10.0,
        balance: float = 0.5,
        **options,
    ):
        super().__init__(**options)
        self.margin = number("margin", margin, least=0)
        self.boundary = self._point("boundary", boundary)
        self.temperature = number("temperature", temperature, least=0)
        self.balance = number("balance", balance, least=0, most=1)

    def values(self, pairs):
        d, positives, negatives = pairs
        too_far = ops.relu(d - self.boundary + self.margin)
        pull = masked_mean(too_far, ops.logical_and(positives, too_far > 0))
        too_near = ops.relu(self.boundary - d)
        active = ops.logical_and(negatives, too_near > 0)
        weights = self.temperature * ops.where(active, ops.stop_gradient(too_near), 0)
        weights = ops.exp(weights - ops.amax(weights, axis=1, keepdims=True))
        total = ops.maximum(masked_sum(weights, active), 1e-30)
        push = masked_sum(weights * too_near, active) / total
        return (1 - self.balance) * pull + self.balance * push


@serializable
class IntraPairVarianceLoss(PairLoss):
    """A penalty on the spread of an anchor's similarities among its positives and its negatives.

        mean over positives of max(0, (1 - epsilon) mean(s_p) - s)^2
      + mean over negatives of max(0, s - (1 + epsilon) mean(s_n))^2

    It is added to another loss, not used alone.
    Yu, Tao, "Deep metric learning with tuplet margin loss", ICCV 2019.
    """

    needs = "any"

    def __init__(self, epsilon: float = 0.01, *, distance: str | Callable = "cosine", **options):
        super().__init__(distance=distance, **options)
        self.epsilon = number("epsilon", epsilon, least=0)

    def values(self, pairs: Pairs):
        d, positives, negatives = pairs
        s = 1 - d
        lowest = (1 - self.epsilon) * masked_mean(s, positives)[:, None]
        highest = (1 + self.epsilon) * masked_mean(s, negatives)[:, None]
        pull = masked_mean(ops.square(ops.relu(lowest - s)), positives)
        return pull + masked_mean(ops.square(ops.relu(s - highest)), negatives)
