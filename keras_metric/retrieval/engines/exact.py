"""Exact search: every query against every vector."""

from pathlib import Path

import numpy as np

from keras_metric.retrieval.engines.faiss_library import faiss, flat, only

FILE = "vectors.faiss"


class Exact:
    """All vectors in the order of their ids; 4 bytes a number and 8 an id."""

    exact = True

    def __init__(self, width: int, by_product: bool):
        self.form = width, by_product
        self.ids = np.empty(0, np.int64)
        self.vectors = flat(width, by_product)

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        self.vectors.add(vectors)
        self.ids = np.concatenate([self.ids, ids])

    def remove(self, ids: np.ndarray) -> None:
        gone = np.isin(self.ids, ids)
        self.vectors.remove_ids(only(gone))
        self.ids = self.ids[~gone]

    def search(
        self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """What faiss found (Q, k), and the ids, -1 for none; of the `allowed` ids alone."""
        options = {}
        if allowed is not None:
            mask = np.isin(self.ids, allowed)
            options["params"] = faiss().SearchParameters(sel=only(mask))
        found, rows = self.vectors.search(queries, k, **options)
        return found, np.where(rows < 0, -1, self.ids[rows])

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
