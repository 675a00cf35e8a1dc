"""Inverted lists: a query looks at the vectors near the nearest few of many centres.

Jégou, Douze, Schmid, "Product quantization for nearest neighbor search", PAMI 2011, section IV;
here over the vectors as they are.
"""

import math
from pathlib import Path

import numpy as np

from keras_metric.retrieval.engines.exact import FILE, Exact
from keras_metric.retrieval.engines.faiss_library import counted, faiss, flat
from keras_metric.retrieval.engines.gaps import gaps_of, nearest_first

LEAST = 39  # vectors a list that faiss's k-means asks for
FEW = 0.1  # below this share of allowed ids all lists are looked at


class Inverted:
    """Approximate search in `nlist` lists, of which `nprobe` are searched.

    `prepare` learns the centers from all vectors that are there before the first search, and again
    when there are four times as many. A search itself changes nothing.
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
            self.lists.remove_ids(faiss().IDSelectorArray(ids))

    @property
    def ready(self) -> bool:
        """Whether the centers are learned and not out of date."""
        if self.lists is None:
            return not len(self.waiting.ids)
        return self.lists.ntotal < 4 * max(self.learnt_from, LEAST)

    def search(self, queries, k, allowed=None):
        if self.lists is None:
            return self.waiting.search(queries, k, allowed)
        total = self.lists.ntotal
        sought = total if allowed is None else len(allowed)
        if sought < FEW * total:
            return self.exactly(queries, k, allowed)
        apart, ids = self._look(queries, k, allowed, self._probes)
        short = counted(ids) < min(k, sought)
        if short.any():
            apart[short], ids[short] = self.exactly(queries[short], k, allowed)
        return apart, ids

    def empty(self) -> "Inverted":
        """An empty one with the same `nlist` and `nprobe`."""
        if self.lists is None:
            return Inverted(self.width, self.by_product, self.nlist, self.nprobe)
        return Inverted(self.width, self.by_product, self.lists.nlist, self._probes)

    def exactly(self, queries, k, allowed=None):
        if self.lists is None:
            return self.waiting.search(queries, k, allowed)
        return self._look(queries, k, allowed, self.lists.nlist)

    def of(self, ids: np.ndarray) -> np.ndarray:
        if self.lists is None:
            return self.waiting.of(ids)
        return self.lists.reconstruct_batch(ids)

    def write(self, folder: Path) -> None:
        self.prepare()
        faiss().write_index(self.lists, str(folder / FILE))

    def read(self, folder: Path) -> None:
        self.lists = _findable(faiss().read_index(str(folder / FILE)))
        self.learnt_from, self.waiting = self.lists.ntotal, None

    @property
    def _probes(self) -> int:
        return min(self.nprobe or max(8, self.lists.nlist // 16), self.lists.nlist)

    def _look(self, queries, k, allowed, probes):
        options = {"nprobe": probes}
        if allowed is not None:
            options["sel"] = faiss().IDSelectorBatch(allowed)
        params = faiss().SearchParametersIVF(**options)
        _, ids = self.lists.search(queries, k, params=params)
        vectors = np.zeros((*ids.shape, self.width), np.float32)
        vectors[ids >= 0] = self.lists.reconstruct_batch(ids[ids >= 0])
        apart = gaps_of(queries, vectors, self.by_product)
        apart[ids < 0] = np.inf
        return nearest_first(apart, ids, k)

    def prepare(self) -> None:
        """Learn the centers, if it is time to."""
        if self.ready:
            return
        ids, vectors = self._contents()
        most = max(1, len(ids) // LEAST)
        nlist = self.nlist or min(most, round(4 * math.sqrt(len(ids))) or 1)
        metric = faiss().METRIC_INNER_PRODUCT if self.by_product else faiss().METRIC_L2
        centers = flat(self.width, self.by_product)
        lists = faiss().IndexIVFFlat(centers, self.width, min(nlist, len(ids)), metric)
        lists.cp.min_points_per_centroid = 1  # else faiss warns on standard error
        lists.train(vectors)
        lists.add_with_ids(vectors, ids)
        self.lists, self.learnt_from, self.waiting = _findable(lists), len(ids), None

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


def _findable(lists):
    """The lists, with a map from ids to the vectors in them."""
    if lists.direct_map.type != faiss().DirectMap.Hashtable:
        lists.set_direct_map_type(faiss().DirectMap.Hashtable)
    return lists
