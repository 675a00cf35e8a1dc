"""Verification over all pairs of a set, counted in bins of distance because they are too many."""

from collections.abc import Callable, Sequence

import numpy as np

from keras_metric.batches.classes import integer_labels
from keras_metric.metrics.exact import between
from keras_metric.metrics.neighbours import BLOCK, check_gallery
from keras_metric.metrics.ranking import check_pairing, embedding_matrix
from keras_metric.metrics.verification_scores import report

__all__ = ["verification_of_embeddings"]


def verification_of_embeddings(
    embeddings,
    labels,
    gallery=None,
    gallery_labels=None,
    *,
    far: Sequence[float] = (0.1, 0.01, 0.001),
    distance: str | Callable = "euclidean",
    bins: int = 2**16,
    block: int = BLOCK,
) -> dict[str, float]:
    """The measures of `verification` over all pairs of embeddings (N, D), or with a gallery (C, D).

    Without a gallery every two different embeddings form a pair, in both orders. Distances d are
    counted in equal bins of d / (d + s), s the mean distance among the first embeddings, so pairs
    whose distances differ by less than about 4 s / `bins` count as equally far. Memory: one block
    of distances and two numbers per bin. Time: N·C.

    Raises:
        ValueError: as in `retrieval`, or all pairs are of one kind.
    """
    check_gallery(gallery, gallery_labels)
    itself = gallery is None
    queries, labels = embedding_matrix(embeddings), integer_labels(labels)
    check_pairing(queries, labels)
    candidates = queries if itself else embedding_matrix(gallery)
    candidate_labels = labels if itself else integer_labels(gallery_labels)
    check_pairing(candidates, candidate_labels)
    apart_in = between(queries, candidates, distance)
    scale = float(between(queries[:256], candidates[:256], distance)(slice(None)).mean()) or 1.0
    counts = np.zeros((2, bins))
    height = max(1, block // len(candidates))
    for start in range(0, len(queries), height):
        rows = slice(start, start + height)
        apart = apart_in(rows)
        place = np.minimum(apart / (apart + scale) * bins, bins - 1).astype(np.int32)
        same = labels[rows, None] == candidate_labels[None]
        counts[1] += np.bincount(place[~same], minlength=bins)
        if itself:
            np.fill_diagonal(same[:, start:], False)
        counts[0] += np.bincount(place[same], minlength=bins)
    held = np.flatnonzero(counts.sum(axis=0))
    if not counts.sum(axis=1).all():
        raise ValueError(
            "All pairs are of one kind. Expected: pairs of one class and pairs of two. "
            f"Received: {int(counts.sum())} pairs, all of one kind."
        )
    share = np.minimum(held + 1, bins - 0.5) / bins
    return report(scale * share / (1 - share), counts[0, held], counts[1, held], far)
