"""Every query against the whole gallery, a block of queries at a time.

A block of A queries needs A·C distances and no more: never queries x gallery. What comes out is
all that the measures read: which of the nearest candidates are relevant, and where the first is.
"""

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
from keras import ops

from keras_metric.batches.classes import integer_labels
from keras_metric.metrics.exact import between, ranking


class Ranked(NamedTuple):
    """The ranked candidates of some queries; `rows` are their places among all queries."""

    rows: np.ndarray  # (Q,)
    hits: np.ndarray  # (Q, depth) float64, 1 = relevant
    relevant: np.ndarray  # (Q,) R, counted over the whole gallery
    first: np.ndarray  # (Q,) rank of the nearest relevant candidate, from 1
    gains: np.ndarray | None = None  # (Q, depth) labels shared, where samples have several


class Gallery:
    """Candidates sorted by class, so that those relevant to a query are neighbors in memory."""

    def __init__(self, embeddings, labels):
        self.embeddings = embedding_matrix(embeddings)
        labels = integer_labels(labels)
        check_pairing(self.embeddings, labels)
        self.order = np.argsort(labels, kind="stable")
        self.names, self.starts, self.sizes = np.unique(
            labels[self.order], return_index=True, return_counts=True
        )

    def __len__(self) -> int:
        return len(self.order)

    def class_numbers(self, labels: np.ndarray) -> np.ndarray:
        """Place of each label in `names`, -1 for a label no candidate has."""
        places = np.minimum(np.searchsorted(self.names, labels), len(self.names) - 1)
        return np.where(self.names[places] == labels, places, -1)


def ranked_queries(
    queries,
    labels,
    gallery: Gallery,
    *,
    itself: bool,
    depth: int,
    to_r: bool,
    distance: str | Callable,
    block: int,
) -> Iterator[Ranked]:
    """The queries that have something to find, block after block; lone queries never come.

    itself: query i is also candidate i, and never counts as found.
    depth: how many of the nearest to look at; with `to_r` at least R of every query.
    block: how many distances to hold at once.
    """
    queries, labels = embedding_matrix(queries), integer_labels(labels)
    check_pairing(queries, labels)
    check_widths(queries, gallery.embeddings)
    classes = gallery.class_numbers(labels)
    relevant = np.where(classes < 0, 0, gallery.sizes[classes]) - itself
    rows = np.argsort(classes, kind="stable")
    rows = rows[relevant[rows] > 0]
    columns = np.argsort(gallery.order) if itself else None
    height = min(max(1, block // len(gallery)), max(1, len(rows)))
    apart_in = between(queries, gallery.embeddings[gallery.order], ranking(distance))
    for start in range(0, len(rows), height):
        part = rows[start : start + height]
        apart = apart_in(part)
        if itself:
            apart[np.arange(len(part)), columns[part]] = np.inf
        reach = max(depth, int(relevant[part].max())) if to_r else depth
        reach = min(reach, len(gallery) - itself)
        hits, first = _ranks(apart, classes[part], gallery, reach)
        yield Ranked(part, hits, relevant[part], first)


def _ranks(apart, classes, gallery: Gallery, reach: int) -> tuple[np.ndarray, np.ndarray]:
    """Which of the `reach` nearest are relevant, and the rank of the first relevant one.

    Relevant distances are moved out of `apart` (the rest is overwritten); merging them with the
    nearest of the others, the others first, ranks ties against the query.
    """
    found = np.full((len(apart), reach), np.inf, apart.dtype)
    bounds = np.flatnonzero(np.diff(classes, prepend=-1, append=-1))
    for top, bottom in zip(bounds[:-1], bounds[1:], strict=True):
        start = gallery.starts[classes[top]]
        end = start + gallery.sizes[classes[top]]
        own = np.sort(apart[top:bottom, start:end], axis=1)[:, :reach]
        found[top:bottom, : own.shape[1]] = own
        apart[top:bottom, start:end] = np.inf
    if reach < apart.shape[1]:
        apart.partition(reach - 1, axis=1)
    merged = np.concatenate([np.sort(apart[:, :reach], axis=1), found], axis=1)
    order = np.argsort(merged, axis=1, kind="stable")[:, :reach]
    hits = (order >= reach) & (np.take_along_axis(merged, order, axis=1) < np.inf)
    first = hits.argmax(axis=1) + 1
    for row in np.flatnonzero(~hits.any(axis=1)):
        first[row] = 1 + np.count_nonzero(apart[row] <= found[row, 0])
    return hits.astype(np.float64), first


def unit_rows(x: np.ndarray) -> np.ndarray:
    """Rows of length 1, of any norm before; a zero row stays zero."""
    x = x / np.maximum(np.abs(x).max(axis=1, keepdims=True), np.finfo(x.dtype).tiny)
    return x / np.maximum(np.sqrt((x**2).sum(axis=1, keepdims=True)), np.finfo(x.dtype).tiny)


def embedding_matrix(embeddings) -> np.ndarray:
    """Embeddings (N, D) in NumPy: float64 when they come so, else float32; NaN is refused."""
    given = isinstance(embeddings, np.ndarray)
    array = embeddings if given else np.asarray(ops.convert_to_numpy(embeddings))
    array = array if array.dtype == np.float64 else array.astype(np.float32, copy=False)
    if array.ndim != 2 or 0 in array.shape:
        raise ValueError(
            f"Embeddings must be a matrix. Expected: shape (N, D). Received: {array.shape}."
        )
    finite = np.isfinite(array)
    if not finite.all():
        broken = len(array) - int(finite.all(axis=1).sum())
        raise ValueError(
            "Embeddings cannot be ranked. Expected: finite numbers. "
            f"Received: NaN or infinity in {broken} of {len(array)} rows."
        )
    return array


def check_widths(queries: np.ndarray, gallery: np.ndarray) -> None:
    if queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            "Queries and gallery differ in width. Expected: rows of equal width. "
            f"Received: {queries.shape[1]} and {gallery.shape[1]}."
        )


def check_pairing(embeddings: np.ndarray, labels: np.ndarray) -> None:
    if len(embeddings) != len(labels):
        raise ValueError(
            "Embeddings and labels must pair up. Expected: one label an embedding. "
            f"Received: {len(embeddings)} embeddings and {len(labels)} labels."
        )
