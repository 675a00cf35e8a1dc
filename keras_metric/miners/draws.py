"""Miners that draw pairs at random, by a seed."""

import keras
import numpy as np
from keras import ops

from keras_metric.arguments import number, serializable, whole
from keras_metric.miners._base import Miner, one
from keras_metric.pairs import Pairs

__all__ = ["DistanceWeighted"]


@serializable
class DistanceWeighted(Miner):
    """`negatives` negatives per anchor, drawn uniformly over distance instead of over samples.

        n drawn with weight 1 / q(max(d, cutoff)),   q(d) = d^(D - 2) (1 - d^2 / 4)^((D - 3) / 2)

    q is the density of distances between random points of the unit sphere in `dimension` D, so the
    distance must be "euclidean" on unit vectors; negatives at `farthest` or beyond are never drawn.
    The draw depends on `seed` and on the position in (A, C), so that a run can be repeated; in row
    blocks it is the position in the block.
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
        self.dimension = whole("dimension", dimension, least=2)
        self.negatives = whole("negatives", negatives)
        self.cutoff = number("cutoff", cutoff, above=0)
        self.farthest = number("farthest", farthest, least=self.cutoff)
        self.seed = whole("seed", seed, least=0)

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
            winner = one(race, race > -np.inf, farthest=True)
            drawn = ops.logical_or(drawn, winner)
            race = ops.where(winner, -np.inf, race)
        return Pairs(d, positives, drawn)
