"""A graph of near neighbours, walked from a few entry points to the query.

Malkov and Yashunin, "Efficient and robust approximate nearest neighbor search using hierarchical
navigable small world graphs", PAMI 2020. arXiv:1603.09320
"""

from pathlib import Path

import numpy as np

from keras_metric.retrieval.engines.exact import FILE, rows_of, search_flat
from keras_metric.retrieval.engines.faiss_library import counted, faiss, only
from keras_metric.retrieval.engines.gaps import gaps, nearest_first, squared_lengths

FEW = 0.1  # below this share of allowed ids the vectors themselves are searched


class Graph:
    """Approximate search in a graph with `m` links a vector; a search keeps `ef_search` in view.

    A vector that was removed stays a step of the walk, and is never found; when half are so, the
    graph is rebuilt. `ef_construction` is the number of candidates while linking.
    """

    exact = False
    ready = True

    def __init__(
        self,
        width: int,
        by_product: bool,
        m: int = 32,
        ef_construction: int = 40,
        ef_search: int = 64,
    ):
        self.form = width, by_product, m, ef_construction, ef_search
        metric = faiss().METRIC_INNER_PRODUCT if by_product else faiss().METRIC_L2
        self.ef_search = ef_search
        self.links = faiss().IndexHNSWFlat(width, m, metric)
        self.links.hnsw.efConstruction = ef_construction
        self.ids, self.live, self.longest = np.empty(0, np.int64), np.empty(0, bool), 0.0

    def prepare(self) -> None:
        """The graph grows as vectors are added."""

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        self.links.add(vectors)
        self.ids = np.concatenate([self.ids, ids])
        self.live = np.concatenate([self.live, np.ones(len(ids), bool)])
        self.longest = max(self.longest, squared_lengths(vectors).max(initial=0))

    def remove(self, ids: np.ndarray) -> None:
        self.live[np.searchsorted(self.ids, ids)] = False
        if 2 * self.live.sum() < len(self.live):
            kept, vectors = self.ids[self.live], self.of(self.ids[self.live])
            self.links.reset()
            self.ids, self.live = np.empty(0, np.int64), np.empty(0, bool)
            if len(kept):
                self.add(kept, vectors)

    def search(self, queries, k, allowed=None):
        sought = self._sought(allowed)
        count = int(sought.sum())
        if count < FEW * len(sought):
            return self.exactly(queries, k, allowed)
        options = {"efSearch": max(self.ef_search, k)}
        if count < len(sought):
            options["sel"] = only(sought)
        _, slots = self.links.search(queries, k, params=faiss().SearchParametersHNSW(**options))
        short = counted(slots) < min(k, count)
        apart = gaps(queries, rows_of(self._vectors()), slots, self.form[1])
        found, slots = nearest_first(apart, slots, k)
        ids = self._ids(slots)
        if short.any():
            found[short], ids[short] = self.exactly(queries[short], k, allowed)
        return found, ids

    def empty(self) -> "Graph":
        """One of the same form with nothing in it."""
        return Graph(*self.form)

    def exactly(self, queries, k, allowed=None):
        sought = self._sought(allowed)
        return search_flat(self._vectors(), self.ids, queries, k, sought, self.longest)

    def of(self, ids: np.ndarray) -> np.ndarray:
        return self._vectors().reconstruct_batch(np.searchsorted(self.ids, ids))

    def write(self, folder: Path) -> None:
        faiss().write_index(self.links, str(folder / FILE))
        np.save(folder / "slots.npy", np.where(self.live, self.ids, ~self.ids))

    def read(self, folder: Path) -> None:
        self.links = faiss().read_index(str(folder / FILE))
        slots = np.load(folder / "slots.npy", allow_pickle=False)
        self.ids, self.live = np.where(slots < 0, ~slots, slots), slots >= 0
        self.longest = squared_lengths(rows_of(self._vectors())).max(initial=0)

    def _vectors(self):
        return faiss().downcast_index(self.links.storage)

    def _sought(self, allowed: np.ndarray | None) -> np.ndarray:
        return self.live if allowed is None else self.live & np.isin(self.ids, allowed)

    def _ids(self, slots: np.ndarray) -> np.ndarray:
        return np.where(slots < 0, -1, self.ids[slots] if len(self.ids) else -1)
