"""Miners that keep all pairs beyond a margin."""

import numpy as np
from keras import ops

from keras_metric.arguments import number, serializable
from keras_metric.miners._base import Miner
from keras_metric.pairs import Pairs, count_below

__all__ = ["MultiSimilarity", "PairMargin", "SemiHard"]


@serializable
class SemiHard(Miner):
    """The pairs of semi-hard triplets: those with d(a, p) < d(a, n) <= d(a, p) + margin.

    Schroff et al., "FaceNet", 2015, arXiv:1503.03832, section 3.2.
    """

    def __init__(self, margin: float = 0.2):
        self.margin = number("margin", margin, least=0)

    def __call__(self, pairs: Pairs) -> Pairs:
        d, positives, negatives = pairs
        d = ops.stop_gradient(d)
        near = ops.sort(ops.where(positives, d, np.inf), axis=1)
        far = ops.sort(ops.where(negatives, d, np.inf), axis=1)
        below = count_below(near, d, strictly=True)  # positives nearer than each negative
        in_reach = below - count_below(near, d - self.margin, strictly=True)
        beyond = count_below(far, d + self.margin, strictly=False)
        tempting = beyond - count_below(far, d, strictly=False)
        return Pairs(
            pairs.distances,
            ops.logical_and(positives, tempting > 0),
            ops.logical_and(negatives, in_reach > 0),
        )


@serializable
class MultiSimilarity(Miner):
    """Positives farther than the nearest negative minus epsilon, and the reverse for negatives.

        p with d_p > min_n d_n - epsilon,   n with d_n < max_p d_p + epsilon

    Wang et al., "Multi-similarity loss", CVPR 2019, arXiv:1904.06627, eq. 11-12.
    """

    def __init__(self, epsilon: float = 0.1):
        self.epsilon = number("epsilon", epsilon, least=0)

    def __call__(self, pairs: Pairs) -> Pairs:
        d, positives, negatives = pairs
        nearest = ops.amin(ops.where(negatives, d, np.inf), axis=1, keepdims=True)
        farthest = ops.amax(ops.where(positives, d, -np.inf), axis=1, keepdims=True)
        hard_positives = ops.logical_and(positives, d > nearest - self.epsilon)
        hard_negatives = ops.logical_and(negatives, d < farthest + self.epsilon)
        return Pairs(d, hard_positives, hard_negatives)


@serializable
class PairMargin(Miner):
    """Positives farther than one distance, negatives nearer than another."""

    def __init__(self, positive: float = 0.2, negative: float = 0.8):
        self.positive = number("positive", positive)
        self.negative = number("negative", negative)

    def __call__(self, pairs: Pairs) -> Pairs:
        d, positives, negatives = pairs
        return Pairs(
            d,
            ops.logical_and(positives, d > self.positive),
            ops.logical_and(negatives, d < self.negative),
        )
