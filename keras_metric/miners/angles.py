"""Miners that need all three sides of a triplet, and so more than the anchor's row."""

import math

from keras import ops

from keras_metric.arguments import number, serializable
from keras_metric.miners._base import Miner
from keras_metric.pairs import Pairs

__all__ = ["Angular"]


@serializable
class Angular(Miner):
    """The pairs of triplets whose angle at the negative is more than `angle` degrees.

        |a - p|^2 > 4 tan(angle)^2 |n - c|^2,   c = (a + p) / 2
        |n - c|^2 = (|a - n|^2 + |p - n|^2) / 2 - |a - p|^2 / 4

    The distance is "euclidean"; or, with `squared`, "squared_euclidean" or "cosine", which is half
    the squared distance of unit vectors (an angle does not depend on the scale).
    One positive of every anchor at a time: with at most K positives per anchor, time O(B^2 K D) and
    memory O(B^2), or O(rows · B) under `rows_per_block`.
    Wang et al., "Deep metric learning with angular loss", ICCV 2017, arXiv:1708.01682, section 3.
    """

    looks_beyond_row = True

    def __init__(self, angle: float = 40.0, *, squared: bool = False):
        self.angle = number("angle", angle, above=0, below=90)
        self.squared = squared

    def __call__(self, pairs: Pairs, between) -> Pairs:
        """between: columns (A,) -> (A, C), from the candidate of each column to all candidates."""
        _, positives, negatives = pairs
        d = self._squares(pairs.distances)
        steepness = 2 * math.tan(math.radians(self.angle)) ** 2
        places = ops.arange(ops.shape(d)[1], dtype="int32")[None]

        def next_positive(left, near, far):
            column = ops.cast(ops.argmax(ops.cast(left, "int32"), axis=1), "int32")
            it = ops.logical_and(left, places == column[:, None])
            of_positive = self._squares(between(column))
            apart = ops.take_along_axis(d, column[:, None], axis=1)
            wide = (1 + steepness / 2) * apart > steepness * (d + of_positive)
            wide = ops.logical_and(wide, ops.any(it, axis=1, keepdims=True))
            wide = ops.logical_and(wide, negatives)
            near = ops.logical_or(near, ops.logical_and(it, ops.any(wide, axis=1, keepdims=True)))
            return ops.logical_xor(left, it), near, ops.logical_or(far, wide)

        none = ops.zeros_like(positives)
        _, near, far = ops.while_loop(
            lambda left, *_: ops.any(left), next_positive, (positives, none, none)
        )
        return Pairs(pairs.distances, near, far)

    def _squares(self, distances):
        distances = ops.stop_gradient(distances)
        return distances if self.squared else ops.square(distances)
