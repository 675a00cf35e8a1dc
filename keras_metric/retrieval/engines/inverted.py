"""Inverted lists: a query looks at the vectors near the nearest few of many centres.

Jégou, Douze, Schmid, "Product quantization for nearest neighbor search", PAMI 2011, section IV;
here over the vectors as they are.
"""

import math
from pathlib import Path

import numpy as np

from keras_metric.retrieval.engines.exact import FILE, Exact
from keras_metric.retrieval.engines.faiss_library import counted, faiss, flat

LEAST = 39  # vectors a list that faiss's k-means asks for
FEW = 0.1  # below this share of allowed ids all lists are looked at


class Inverted:
    """Approximate search in `nlist` lists, of which `nprobe` are looked at.

    The centres are learnt from all vectors that are there at the first search (before it the search
    is exact), and again when there are four times as many.
    """

    exact = False

    def __init__(
        self, width: int, by_product: bool, nlist: int | None = None, nprobe: int | None = None
    ):
        self.width, self.by_product, self.nlist, self.nprobe = width, by_product, nlist, nprobe
        self.waiting = Exact(width, by_product)
        self.lists, self.learnt_from = None, 0

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        if self.lists is None:
            self.waiting.add(ids, vectors)
        else:
            self.lists.add_with_ids(vectors, ids)

    def remove(self, ids: np.ndarray) -> None:
        if self.lists is None:
            self.waiting.remove(ids)
        else:
            self.lists.remove_ids(faiss().IDSelectorBatch(ids))

    def search(self, queries, k, allowed=None):
        self._build()
        total = self.lists.ntotal
        sought = total if allowed is None else len(allowed)
        if sought < FEW * total:
            return self.exactly(queries, k, allowed)
        found, ids = self._look(queries, k, allowed, self._probes)
        short = counted(ids) < min(k, sought)
        if short.any():
            found[short], ids[short] = self.exactly(queries[short], k, allowed)
        return found, ids

    def empty(self) -> "Inverted":
        """One with as many lists, of which as many are looked at, and nothing in them."""
        self._build()
        return Inverted(self.width, self.by_product, self.lists.nlist, self._probes)

    def exactly(self, queries, k, allowed=None):
        self._build()
        return self._look(queries, k, allowed, self.lists.nlist)

    def of(self, ids: np.ndarray) -> np.ndarray:
        everything, vectors = self._contents()
        return vectors[np.searchsorted(everything, ids)]

    def write(self, folder: Path) -> None:
        self._build()
        faiss().write_index(self.lists, str(folder / FILE))

    def read(self, folder: Path) -> None:
        self.lists = faiss().read_index(str(folder / FILE))
        self.learnt_from, self.waiting = self.lists.ntotal, None

    @property
    def _probes(self) -> int:
        return min(self.nprobe or max(8, self.lists.nlist // 16), self.lists.nlist)

    def _look(self, queries, k, allowed, probes):
        options = {"nprobe": probes}
        if allowed is not None:
            options["sel"] = faiss().IDSelectorBatch(allowed)
        return self.lists.search(queries, k, params=faiss().SearchParametersIVF(**options))

    def _build(self) -> None:
        if self.lists is not None and self.lists.ntotal < 4 * max(self.learnt_from, LEAST):
            return
        ids, vectors = self._contents()
        most = max(1, len(ids) // LEAST)
        nlist = self.nlist or min(most, round(4 * math.sqrt(len(ids))) or 1)
        metric = faiss().METRIC_INNER_PRODUCT if self.by_product else faiss().METRIC_L2
        centres = flat(self.width, self.by_product)
        lists = faiss().IndexIVFFlat(centres, self.width, min(nlist, max(1, len(ids))), metric)
        lists.cp.min_points_per_centroid = 1  # else faiss warns on standard error
        if len(ids):
            lists.train(vectors)
            lists.add_with_ids(vectors, ids)
        self.lists, self.learnt_from, self.waiting = lists, len(ids), None

    def _contents(self) -> tuple[np.ndarray, np.ndarray]:
        """All ids in order, and their vectors."""
        if self.lists is None:
            return self.waiting.ids, self.waiting.of(self.waiting.ids)
        inverted, view = self.lists.invlists, faiss().rev_swig_ptr
        sizes = [inverted.list_size(number) for number in range(self.lists.nlist)]
        ids = [view(inverted.get_ids(n), size) for n, size in enumerate(sizes) if size]
        codes = [
            view(inverted.get_codes(n), size * self.lists.code_size).view(np.float32)
            for n, size in enumerate(sizes)
            if size
        ]
        ids = np.concatenate([*ids, np.empty(0, np.int64)])
        vectors = np.concatenate([*codes, np.empty(0, np.float32)]).reshape(-1, self.width)
        order = np.argsort(ids)
        return ids[order], vectors[order]
