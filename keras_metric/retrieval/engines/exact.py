"""Exact search: every query against every vector."""

from pathlib import Path

import numpy as np

from keras_metric.retrieval.engines.faiss_library import faiss, flat, only
from keras_metric.retrieval.engines.gaps import gaps, nearest_first, rounding, squared_lengths

FILE = "vectors.faiss"
SPARE = 8  # neighbours that faiss looks for beyond the k asked for
BLOCK = 2**22  # products held at once


class Exact:
    """All vectors in the order of their ids; 4 bytes a number and 8 an id."""

    exact = True
    ready = True

    def __init__(self, width: int, by_product: bool):
        self.form = width, by_product
        self.ids = np.empty(0, np.int64)
        self.vectors = flat(width, by_product)
        self.longest = 0.0

    def prepare(self) -> None:
        """There is nothing to learn."""

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        self.vectors.add(vectors)
        self.ids = np.concatenate([self.ids, ids])
        self.longest = max(self.longest, squared_lengths(vectors).max(initial=0))

    def remove(self, ids: np.ndarray) -> None:
        gone = np.isin(self.ids, ids)
        self.vectors.remove_ids(only(gone))
        self.ids = self.ids[~gone]

    def search(
        self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gaps (Q, k) and ids, -1 for none, of the k nearest; of the `allowed` ids alone."""
        mask = None if allowed is None else np.isin(self.ids, allowed)
        return search_flat(self.vectors, self.ids, queries, k, mask, self.longest)

    exactly = search

    def empty(self) -> "Exact":
        """One of the same form with nothing in it."""
        return Exact(*self.form)

    def of(self, ids: np.ndarray) -> np.ndarray:
        """The vectors of ids."""
        return self.vectors.reconstruct_batch(np.searchsorted(self.ids, ids))

    def write(self, folder: Path) -> None:
        faiss().write_index(self.vectors, str(folder / FILE))
        np.save(folder / "slots.npy", self.ids)

    def read(self, folder: Path) -> None:
        self.vectors = faiss().read_index(str(folder / FILE))
        self.ids = np.load(folder / "slots.npy", allow_pickle=False)
        self.longest = squared_lengths(rows_of(self.vectors)).max(initial=0)


def search_flat(
    vectors, ids: np.ndarray, queries: np.ndarray, k: int, mask: np.ndarray | None, longest: float
) -> tuple[np.ndarray, np.ndarray]:
    """The k nearest of the vectors in a flat index of faiss, by gap and then by id.

    faiss proposes k + SPARE neighbours. Where none that it left out can be nearer than the k-th,
    up to the rounding of its products, these are the answer; else all vectors of that query are
    looked at again.

    mask: (N,) which vectors count. longest: the largest squared length of a vector.
    """
    total = vectors.ntotal if mask is None else int(mask.sum())
    asked = min(k + SPARE, total)
    if not asked:
        return np.full((len(queries), k), np.inf), np.full((len(queries), k), -1, np.int64)
    options = {} if mask is None else {"params": faiss().SearchParameters(sel=only(mask))}
    found, slots = vectors.search(queries, asked, **options)
    by_product = vectors.metric_type == faiss().METRIC_INNER_PRODUCT
    everything = rows_of(vectors)
    apart = gaps(queries, everything, slots, by_product)
    error = rounding(queries, longest)
    apart, slots = nearest_first(apart, slots, k)
    if asked < total:
        farthest = (2 - 2 * found[:, -1] if by_product else found[:, -1]).astype(np.float64)
        for row in np.flatnonzero(~(apart[:, k - 1] < farthest - error)):
            part = queries[row : row + 1]
            near = _candidates(part, everything, k, mask, error[row], by_product)
            again = gaps(part, everything, near[None], by_product)
            apart[row], slots[row] = (x[0] for x in nearest_first(again, near[None], k))
    return apart, np.where(slots < 0, -1, ids[slots])


def rows_of(vectors) -> np.ndarray:
    """The vectors (N, D) of a flat index, where they lie."""
    if not vectors.ntotal:
        return np.empty((0, vectors.d), np.float32)
    return faiss().rev_swig_ptr(vectors.get_xb(), vectors.ntotal * vectors.d).reshape(-1, vectors.d)


def _candidates(query, vectors, k, mask, error, by_product) -> np.ndarray:
    """The slots of all vectors that may be among the k nearest of a query (1, D)."""
    apart = np.empty(len(vectors))
    height = max(1, BLOCK // vectors.shape[1])
    for start in range(0, len(vectors), height):
        part = vectors[start : start + height]
        products = (part @ query[0]).astype(np.float64)
        lengths = 2 if by_product else squared_lengths(part) + squared_lengths(query)
        apart[start : start + height] = lengths - 2 * products
    if mask is not None:
        apart[~mask] = np.inf
    limit = np.partition(apart, k - 1)[k - 1] + 2 * error
    return np.flatnonzero(apart <= limit)
