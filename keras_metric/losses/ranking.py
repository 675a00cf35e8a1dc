"""Smooth forms of ranking measures, of each anchor's candidates ordered by distance."""

from collections.abc import Callable

import numpy as np
from keras import ops

from keras_metric.arguments import number, serializable, whole
from keras_metric.losses._base import PairLoss
from keras_metric.numerics.blocks import map_rows
from keras_metric.pairs import Pairs, masked_mean

__all__ = ["FastAPLoss", "HistogramLoss", "PNPLoss", "SmoothAPLoss"]


def histogram(distances, mask, bins: int, largest: float):
    """(A, bins + 1) soft counts: each chosen distance shared by the two nearest of the nodes."""
    width = largest / bins
    inside = ops.clip(distances, 0, largest)
    nodes = [
        ops.sum(ops.where(mask, ops.relu(1 - ops.abs(inside - node) / width), 0), axis=1)
        for node in np.linspace(0, largest, bins + 1)
    ]
    return ops.stack(nodes, axis=1)


@serializable
class FastAPLoss(PairLoss):
    """1 - the average precision, from histograms of the distances.

        1 - sum_k h+_k H+_k / H_k / (number of positives),   H the cumulative counts

    `largest` is the end of the histogram: 2 for "cosine", 4 for squared distances of unit vectors.
    Cakir et al., "Deep metric learning to rank", CVPR 2019.
    """

    def __init__(
        self,
        bins: int = 10,
        largest: float = 2.0,
        *,
        distance: str | Callable = "cosine",
        **options,
    ):
        super().__init__(distance=distance, **options)
        self.bins = whole("bins", bins)
        self.largest = number("largest", largest, above=0)

    def values(self, pairs: Pairs):
        d, positives, negatives = pairs
        relevant = histogram(d, positives, self.bins, self.largest)
        everyone = relevant + histogram(d, negatives, self.bins, self.largest)
        precision = ops.cumsum(relevant, axis=1) / ops.maximum(ops.cumsum(everyone, axis=1), 1e-6)
        total = ops.maximum(ops.sum(relevant, axis=1), 1)
        return 1 - ops.sum(relevant * precision, axis=1) / total


@serializable
class HistogramLoss(PairLoss):
    """The probability that a negative is nearer than a positive, from the anchor's histograms.

        sum_k h-_k · (1 - sum over j < k of h+_j) with h+ and h- of sum 1

    Each anchor has its own histograms, so that the loss is computed row by row; the paper uses
    those of the whole batch. Ustinova, Lempitsky, "Learning deep embeddings with histogram loss",
    NIPS 2016, arXiv:1611.00822.
    """

    def __init__(
        self,
        bins: int = 20,
        largest: float = 2.0,
        *,
        distance: str | Callable = "cosine",
        **options,
    ):
        super().__init__(distance=distance, **options)
        self.bins = whole("bins", bins)
        self.largest = number("largest", largest, above=0)

    def values(self, pairs: Pairs):
        d, positives, negatives = pairs
        near = histogram(d, positives, self.bins, self.largest)
        far = histogram(d, negatives, self.bins, self.largest)
        near = near / ops.maximum(ops.sum(near, axis=1, keepdims=True), 1e-6)
        far = far / ops.maximum(ops.sum(far, axis=1, keepdims=True), 1e-6)
        not_nearer = 1 - ops.cumsum(near, axis=1) + near
        return ops.sum(far * not_nearer, axis=1)


def before(pairs: Pairs, temperature: float):
    """(A, C, 2): smooth counts of the positives and of the negatives before each candidate.

        sum over k of sigmoid((d_j - d_k) / temperature),   k other than j

    One candidate at a time, recomputed in the backward pass: time O(A C^2), memory O(A C).
    """
    d, positives, negatives = pairs

    def column(start, limits, d):
        nearer = ops.sigmoid((ops.transpose(limits) - d) / temperature)
        others = ops.arange(ops.shape(d)[1], dtype="int32")[None] != ops.cast(start, "int32")
        counts = [
            ops.sum(ops.where(ops.logical_and(mask, others), nearer, 0), axis=1)
            for mask in (positives, negatives)
        ]
        return ops.stack(counts, axis=1)[None]

    return ops.transpose(map_rows(column, ops.transpose(d), d, rows_per_block=1), (1, 0, 2))


@serializable
class SmoothAPLoss(PairLoss):
    """1 - the average precision, with a sigmoid for each comparison of two distances.

        1 - mean over p of (1 + positives before p) / (1 + positives and negatives before p)

    Time O(B^3), memory O(B^2): use `FastAPLoss` for large batches.
    Brown et al., "Smooth-AP", ECCV 2020, arXiv:2007.12163.
    """

    def __init__(
        self, temperature: float = 0.01, *, distance: str | Callable = "cosine", **options
    ):
        super().__init__(distance=distance, **options)
        self.temperature = number("temperature", temperature, above=0)

    def values(self, pairs):
        counts = before(pairs, self.temperature)
        relevant, other = counts[..., 0], counts[..., 1]
        return 1 - masked_mean((1 + relevant) / (1 + relevant + other), pairs.positives)


@serializable
class PNPLoss(PairLoss):
    """Only the negatives before a positive are penalized.

        mean over p of 1 - (1 + negatives before p)^-alpha

    The variant Dq, the best in the paper. Time O(B^3), memory O(B^2).
    Li et al., "Rethinking the optimization of average precision", AAAI 2022, arXiv:2102.04640.
    """

    def __init__(
        self,
        alpha: float = 1.0,
        temperature: float = 0.01,
        *,
        distance: str | Callable = "cosine",
        **options,
    ):
        super().__init__(distance=distance, **options)
        self.alpha = number("alpha", alpha, above=0)
        self.temperature = number("temperature", temperature, above=0)

    def values(self, pairs):
        negatives_before = before(pairs, self.temperature)[..., 1]
        return masked_mean(1 - ops.power(1 + negatives_before, -self.alpha), pairs.positives)
