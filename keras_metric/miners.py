"""Miners keep the pairs worth learning from: `Pairs -> Pairs`, switching pairs off, never on.

Give one to a loss by name (`miner="batch_hard"`) or as an object (`miner=PairMargin(0.1, 0.9)`).
"""

import difflib
from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_metric.arguments import arguments, serializable
from keras_metric.pairs import Pairs, count_below, masked_max, masked_min

__all__ = [
    "BatchHard",
    "DistanceWeighted",
    "EasyHard",
    "MultiSimilarity",
    "PairMargin",
    "SemiHard",
    "UniformHistogram",
    "get",
    "names",
]


class Miner:
    """What every miner has: arguments it remembers by value."""

    def get_config(self):
        return {name: getattr(self, name) for name in arguments(type(self))}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@serializable
class BatchHard(Miner):
    """The farthest positive and the nearest negative of each anchor.

    Hermans et al., "In defense of the triplet loss", 2017, arXiv:1703.07737, section 2.
    """

    def __call__(self, pairs: Pairs) -> Pairs:
        return EasyHard("hard", "hard")(pairs)


@serializable
class EasyHard(Miner):
    """One positive and one negative of each anchor, by how hard they are.

    positive: "easy" nearest, "hard" farthest, "semi_hard" farthest that is nearer than the chosen
    negative, "all". negative: "easy" farthest, "hard" nearest, "semi_hard" nearest that is farther
    than the chosen positive, "all". The kind that is not "semi_hard" is chosen first; where no pair
    is semi-hard the anchor keeps none of that kind.

    Raises ValueError for another word, or "semi_hard" twice or with "all".
    Xuan et al., "Improved embeddings with easy positive triplet mining", 2020, arXiv:1904.04370.
    """

    def __init__(self, positive: str = "easy", negative: str = "semi_hard"):
        words = ("easy", "hard", "semi_hard", "all")
        clash = (
            "semi_hard" in (positive, negative)
            and (positive, negative).count("semi_hard") + ("all" in (positive, negative)) > 1
        )
        if positive not in words or negative not in words or clash:
            raise ValueError(
                f"EasyHard cannot choose so. Expected positive and negative each among {words}, "
                "and at most one 'semi_hard', beside 'easy' or 'hard'. "
                f"Received: positive={positive!r}, negative={negative!r}"
            )
        self.positive = positive
        self.negative = negative

    def __call__(self, pairs: Pairs) -> Pairs:
        d, positives, negatives = pairs
        if self.negative == "semi_hard":
            positives = _one(d, positives, farthest=self.positive == "hard")
            limit = ops.where(positives, d, -np.inf)
            farther = d > ops.max(limit, axis=1, keepdims=True)
            chosen = ops.any(positives, axis=1, keepdims=True)
            negatives = ops.logical_and(ops.logical_and(negatives, farther), chosen)
            return Pairs(d, positives, _one(d, negatives, farthest=False))
        if self.negative != "all":
            negatives = _one(d, negatives, farthest=self.negative == "easy")
        if self.positive == "semi_hard":
            limit = ops.min(ops.where(negatives, d, np.inf), axis=1, keepdims=True)
            chosen = ops.any(negatives, axis=1, keepdims=True)
            nearer = ops.logical_and(d < limit, chosen)
            positives = _one(d, ops.logical_and(positives, nearer), farthest=True)
        elif self.positive != "all":
            positives = _one(d, positives, farthest=self.positive == "hard")
        return Pairs(d, positives, negatives)


@serializable
class SemiHard(Miner):
    """The pairs of semi-hard triplets: those with d(a, p) < d(a, n) <= d(a, p) + margin.

    Schroff et al., "FaceNet", 2015, arXiv:1503.03832, section 3.2.
    """

    def __init__(self, margin: float = 0.2):
        self.margin = margin

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
    """Positives farther than the nearest negative less epsilon, negatives likewise.

        p with d_p > min_n d_n - epsilon,   n with d_n < max_p d_p + epsilon

    Wang et al., "Multi-similarity loss", CVPR 2019, arXiv:1904.06627, eq. 11-12.
    """

    def __init__(self, epsilon: float = 0.1):
        self.epsilon = epsilon

    def __call__(self, pairs: Pairs) -> Pairs:
        d, positives, negatives = pairs
        nearest = ops.min(ops.where(negatives, d, np.inf), axis=1, keepdims=True)
        farthest = ops.max(ops.where(positives, d, -np.inf), axis=1, keepdims=True)
        hard_positives = ops.logical_and(positives, d > nearest - self.epsilon)
        hard_negatives = ops.logical_and(negatives, d < farthest + self.epsilon)
        return Pairs(d, hard_positives, hard_negatives)


@serializable
class PairMargin(Miner):
    """Positives beyond one distance, negatives within another."""

    def __init__(self, positive: float = 0.2, negative: float = 0.8):
        self.positive = positive
        self.negative = negative

    def __call__(self, pairs: Pairs) -> Pairs:
        d, positives, negatives = pairs
        return Pairs(
            d,
            ops.logical_and(positives, d > self.positive),
            ops.logical_and(negatives, d < self.negative),
        )


@serializable
class DistanceWeighted(Miner):
    """As many negatives as `negatives`, drawn evenly over distance rather than over samples.

        n drawn with weight 1 / q(max(d, cutoff)),   q(d) = d^(D - 2) (1 - d^2 / 4)^((D - 3) / 2)

    q is the density of distances between random points of the unit sphere in `dimension` D, so the
    distance must be "euclidean" on unit vectors; negatives at `farthest` or beyond are never drawn.
    The draw is a function of `seed` and of the place in (A, C), so that a run can be repeated; in
    row blocks the place is that in the block.
    Wu et al., "Sampling matters in deep embedding learning", 2017, arXiv:1706.07567, eq. 4.
    """

    def __init__(
        self,
        dimension: int = 128,
        *,
        negatives: int = 1,
        cutoff: float = 0.5,
        farthest: float = 1.4,
        seed: int = 0,
    ):
        self.dimension = dimension
        self.negatives = negatives
        self.cutoff = cutoff
        self.farthest = farthest
        self.seed = seed

    def __call__(self, pairs: Pairs) -> Pairs:
        d, positives, negatives = pairs
        clipped = ops.clip(ops.stop_gradient(d), self.cutoff, self.farthest)
        log_density = (self.dimension - 2) * ops.log(clipped) + (self.dimension - 3) / 2 * ops.log(
            ops.maximum(1 - ops.square(clipped) / 4, 1e-6)
        )
        uniform = keras.random.uniform(ops.shape(d), 1e-6, 1 - 1e-6, seed=self.seed)
        race = -log_density - ops.log(-ops.log(ops.cast(uniform, d.dtype)))
        race = ops.where(ops.logical_and(negatives, d < self.farthest), race, -np.inf)
        drawn = ops.zeros_like(negatives)
        for _ in range(self.negatives):
            winner = _one(race, race > -np.inf, farthest=True)
            drawn = ops.logical_or(drawn, winner)
            race = ops.where(winner, -np.inf, race)
        return Pairs(d, positives, drawn)


@serializable
class UniformHistogram(Miner):
    """Pairs spread evenly over distance: of each kind the nearest to each of `levels` levels.

    The levels divide the span between the anchor's smallest and largest distance of that kind.
    Each anchor keeps at most `levels` pairs of a kind, without a draw.
    """

    def __init__(self, levels: int = 8):
        self.levels = levels

    def __call__(self, pairs: Pairs) -> Pairs:
        d, positives, negatives = pairs
        return Pairs(d, self._spread(d, positives), self._spread(d, negatives))

    def _spread(self, d, mask):
        d = ops.stop_gradient(d)
        low, high = masked_min(d, mask)[:, None], masked_max(d, mask)[:, None]
        kept = ops.zeros_like(mask)
        for share in np.linspace(0, 1, self.levels):
            away = ops.abs(d - (low + (high - low) * float(share)))
            kept = ops.logical_or(kept, _one(away, mask, farthest=False))
        return kept


_BY_NAME = {
    "batch_hard": BatchHard,
    "distance_weighted": DistanceWeighted,
    "easy_hard": EasyHard,
    "multi_similarity": MultiSimilarity,
    "pair_margin": PairMargin,
    "semi_hard": SemiHard,
    "uniform_histogram": UniformHistogram,
}


def names() -> list[str]:
    """The names `get` knows."""
    return sorted(_BY_NAME)


def get(identifier: str | Callable) -> Callable:
    """The miner of that name with its default arguments, or the callable itself."""
    if callable(identifier):
        return identifier
    if identifier in _BY_NAME:
        return _BY_NAME[identifier]()
    nearest = difflib.get_close_matches(str(identifier), _BY_NAME, n=1, cutoff=0.4)
    hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
    raise ValueError(
        f"Unknown miner. Expected one of {', '.join(names())}, or a function Pairs -> Pairs. "
        f"Received: miner={identifier!r}{hint}."
    )


def _one(d, mask, *, farthest: bool):
    """The mask of the farthest (or nearest) chosen column of each row, the first of equals."""
    if farthest:
        winner = ops.argmax(ops.where(mask, d, -np.inf), axis=1)
    else:
        winner = ops.argmin(ops.where(mask, d, np.inf), axis=1)
    columns = ops.arange(ops.shape(d)[1], dtype="int32")[None]
    return ops.logical_and(mask, columns == ops.cast(winner, "int32")[:, None])
