"""Distances of all anchors from all candidates, `(A, D), (C, D) -> (A, C)`."""

from keras import ops

from keras_metric.distances.norms import (
    angle,
    centred,
    of_both,
    precise,
    root,
    scaled,
    signal,
    square_of_scale,
    squared_lengths,
    unit,
)
from keras_metric.numerics.kernels import all_products


def euclidean(anchors, candidates):
    """|a - c|."""
    (anchors, candidates), scale = scaled(anchors, candidates)
    return scale * root(_expanded(anchors, candidates))


def squared_euclidean(anchors, candidates):
    """|a - c|^2; beyond the range of float32 it stays at 1e38."""
    (anchors, candidates), scale = scaled(anchors, candidates)
    return square_of_scale(_squared_differences(anchors, candidates), scale)


def cosine(anchors, candidates):
    """1 - a·c / (|a| |c|), in [0, 2]; a zero vector is at 1 from everything."""
    anchors, candidates = of_both(unit, anchors, candidates)
    return ops.relu(all_products(-anchors, candidates) + 1)


def angular(anchors, candidates):
    """The angle between a and c divided by pi, in [0, 1]; a zero vector is at 1/2."""
    cosines = _cosines(anchors, candidates)
    return angle(root(2 - 2 * cosines), root(2 + 2 * cosines))


def negative_dot(anchors, candidates):
    """-a·c: inner products as they are, for embeddings of any length; may be negative."""
    anchors, candidates = of_both(precise, anchors, candidates)
    return all_products(-anchors, candidates)


def manhattan(anchors, candidates):
    """sum_k |a_k - c_k|. Memory A·C·D."""
    anchors, candidates = precise(anchors), precise(candidates)
    return ops.sum(ops.abs(anchors[:, None] - candidates[None]), axis=-1)


def signal_to_noise(anchors, candidates):
    """var(a - c) / var(a), variances over the D coordinates: noise over the anchor's signal.

    Not symmetric. An anchor of equal coordinates carries no signal; its variance counts as 1.
    Yuan et al., "Signal-to-noise ratio", CVPR 2019. arXiv:1904.02616, eq. 4
    """
    (anchors, candidates), _ = scaled(anchors, candidates)
    anchors, candidates = of_both(centred, anchors, candidates)
    return _squared_differences(anchors, candidates) / signal(anchors)[:, None]


def rank_by_squares(anchors, candidates):
    """|c|^2 - 2 a·c: what changes with c in |a - c|^2."""
    (anchors, candidates), _ = scaled(anchors, candidates)
    return all_products(-2 * anchors, candidates) + squared_lengths(candidates)[None]


def rank_by_cosines(anchors, candidates):
    """-cos(a, c)."""
    anchors, candidates = of_both(unit, anchors, candidates)
    return all_products(-anchors, candidates)


def _squared_differences(anchors, candidates):
    """|a - c|^2, at least 0; rounding below 0 has no gradient."""
    return ops.relu(_expanded(anchors, candidates))


def _expanded(anchors, candidates):
    """|a|^2 + |c|^2 - 2 a·c, which rounding may bring below 0."""
    of_anchors, of_candidates = of_both(squared_lengths, anchors, candidates)
    products = all_products(-2 * anchors, candidates)
    return products + of_anchors[:, None] + of_candidates[None]


def _cosines(anchors, candidates):
    anchors, candidates = of_both(unit, anchors, candidates)
    return all_products(anchors, candidates)
