"""Ranks where a sample has several labels: relevant is what shares one, and sharing more is better.

A block of A queries needs A·C distances and as many counts of shared labels.
"""

from collections.abc import Callable, Iterator

import numpy as np

from keras_metric.metrics.exact import between, ranking
from keras_metric.metrics.ranking import (
    Ranked,
    check_pairing,
    check_widths,
    embedding_matrix,
)


class LabelSets:
    """Candidates (C, D) and their labels (C, L), rows of 0 and 1."""

    def __init__(self, embeddings, labels):
        self.embeddings, self.labels = embedding_matrix(embeddings), label_rows(labels)
        check_pairing(self.embeddings, self.labels)

    def __len__(self) -> int:
        return len(self.labels)


def ranked_by_overlap(
    queries,
    labels,
    gallery: LabelSets,
    *,
    itself: bool,
    distance: str | Callable,
    block: int,
) -> Iterator[Ranked]:
    """All candidates of the queries that have something to find, block after block.

    Time Q·C·log C: every row is sorted whole. At equal distance the candidate that shares fewer
    labels comes first, so that ties count against the query.
    """
    queries, labels = embedding_matrix(queries), label_rows(labels)
    check_pairing(queries, labels)
    check_widths(queries, gallery.embeddings)
    check_widths(labels, gallery.labels)
    height = max(1, block // len(gallery))
    apart_in = between(queries, gallery.embeddings, ranking(distance))
    for start in range(0, len(queries), height):
        rows = np.arange(start, min(start + height, len(queries)))
        apart, shared = apart_in(rows), labels[rows] @ gallery.labels.T
        if itself:
            apart[rows - start, rows] = np.inf
            shared[rows - start, rows] = 0
        relevant = (shared > 0).sum(axis=1)
        found = relevant > 0
        order = np.lexsort((shared, apart), axis=1)[found, : len(gallery) - itself]
        gains = np.take_along_axis(shared[found], order, axis=1).astype(np.float64)
        hits = (gains > 0).astype(np.float64)
        yield Ranked(rows[found], hits, relevant[found], hits.argmax(axis=1) + 1, gains)


def label_rows(labels) -> np.ndarray:
    """Rows of 0 and 1, (N, L), as float32, in which sums of shared labels are exact."""
    labels = np.asarray(labels)
    if labels.ndim != 2 or labels.dtype.kind not in "biuf" or not np.isin(labels, (0, 1)).all():
        raise ValueError(
            "The rows of labels are not binary. Expected: rows of 0 and 1, (N, L). "
            f"Received: {labels.dtype} of shape {labels.shape}."
        )
    return labels.astype(np.float32)


def set_numbers(labels) -> np.ndarray:
    """(N, L) -> (N,): samples with the same labels have the same number."""
    return np.unique(label_rows(labels), axis=0, return_inverse=True)[1].reshape(-1)
