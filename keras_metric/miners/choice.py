"""Miners that select a fixed number of pairs of each anchor by their distances."""

import numpy as np
from keras import ops

from keras_metric.arguments import serializable, whole
from keras_metric.miners._base import Miner, one
from keras_metric.pairs import Pairs, masked_max, masked_min

__all__ = ["BatchHard", "EasyHard", "UniformHistogram"]


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
    than the chosen positive, "all". The kind that is not "semi_hard" is selected first; if no pair
    is semi-hard, the anchor keeps none of that kind.

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
                f"EasyHard cannot choose so. Expected: positive and negative each among {words}, "
                "and at most one 'semi_hard', beside 'easy' or 'hard'. "
                f"Received: positive={positive!r}, negative={negative!r}"
            )
        self.positive = positive
        self.negative = negative

    def __call__(self, pairs: Pairs) -> Pairs:
        d, positives, negatives = pairs
        if self.negative == "semi_hard":
            positives = one(d, positives, farthest=self.positive == "hard")
            limit = ops.where(positives, d, -np.inf)
            farther = d > ops.amax(limit, axis=1, keepdims=True)
            chosen = ops.any(positives, axis=1, keepdims=True)
            negatives = ops.logical_and(ops.logical_and(negatives, farther), chosen)
            return Pairs(d, positives, one(d, negatives, farthest=False))
        if self.negative != "all":
            negatives = one(d, negatives, farthest=self.negative == "easy")
        if self.positive == "semi_hard":
            limit = ops.amin(ops.where(negatives, d, np.inf), axis=1, keepdims=True)
            chosen = ops.any(negatives, axis=1, keepdims=True)
            nearer = ops.logical_and(d < limit, chosen)
            positives = one(d, ops.logical_and(positives, nearer), farthest=True)
        elif self.positive != "all":
            positives = one(d, positives, farthest=self.positive == "hard")
        return Pairs(d, positives, negatives)


@serializable
class UniformHistogram(Miner):
    """Pairs spread uniformly over distance: of each kind the nearest to each of `levels` levels.

    The levels divide the span between the anchor's smallest and largest distance of that kind.
    Each anchor keeps at most `levels` pairs of a kind; nothing is random.
    """

    def __init__(self, levels: int = 8):
        self.levels = whole("levels", levels)

    def __call__(self, pairs: Pairs) -> Pairs:
        d, positives, negatives = pairs
        return Pairs(d, self._spread(d, positives), self._spread(d, negatives))

    def _spread(self, d, mask):
        d = ops.stop_gradient(d)
        low, high = masked_min(d, mask)[:, None], masked_max(d, mask)[:, None]
        kept = ops.zeros_like(mask)
        for share in np.linspace(0, 1, self.levels):
            away = ops.abs(d - (low + (high - low) * float(share)))
            kept = ops.logical_or(kept, one(away, mask, farthest=False))
        return kept
