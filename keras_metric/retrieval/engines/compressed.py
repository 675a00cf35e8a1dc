"""Search of compressed vectors: decoded a block at a time, every one compared with every query.

    int8      round(127 v / max |v|), a byte a number                           v' = q max |v| / 127
    binary    the signs, a bit a number; the query keeps its numbers            v' = ±mean |v|

and 4 bytes a vector for its scale. For cosine, v' is brought to unit length again. Binary codes of
vectors that are compared with whole queries: Gordo, Perronnin, Gong, Lazebnik, "Asymmetric
distances for binary embeddings", PAMI 2014; their scale: Rastegari et al., "XNOR-Net", ECCV 2016,
arXiv:1603.05279, eq. 6.
"""

from pathlib import Path

import numpy as np

from keras_metric.retrieval.engines.exact import search_flat
from keras_metric.retrieval.engines.faiss_library import flat
from keras_metric.retrieval.engines.gaps import nearest_first, squared_lengths

BLOCK = 2**22  # numbers decoded at once: 16 MiB


class Compressed:
    """Codes of vectors in the order of their ids; a search is exact for what they stand for."""

    exact = True
    ready = True

    def __init__(self, width: int, by_product: bool):
        self.width, self.by_product = width, by_product
        self.ids = np.empty(0, np.int64)
        self.codes, self.scales = self.encoded(np.empty((0, width), np.float32))

    def encoded(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Codes (N, bytes) and scales (N,) of vectors (N, D)."""
        raise NotImplementedError

    def decoded(self, codes: np.ndarray) -> np.ndarray:
        """The vectors (N, D) float32 that codes stand for, before they are scaled."""
        raise NotImplementedError

    def prepare(self) -> None:
        """There is nothing to learn."""

    def add(self, ids: np.ndarray, vectors: np.ndarray) -> None:
        codes, scales = self.encoded(vectors)
        self.ids = np.concatenate([self.ids, ids])
        self.codes = np.concatenate([self.codes, codes])
        self.scales = np.concatenate([self.scales, scales])

    def remove(self, ids: np.ndarray) -> None:
        kept = ~np.isin(self.ids, ids)
        self.ids, self.codes, self.scales = self.ids[kept], self.codes[kept], self.scales[kept]

    def search(
        self, queries: np.ndarray, k: int, allowed: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Gaps (Q, k) and ids, -1 for none, of the k nearest; of the `allowed` ids alone."""
        apart, ids = np.full((len(queries), k), np.inf), np.full((len(queries), k), -1, np.int64)
        slots = np.arange(len(self.ids))
        if allowed is not None:
            slots = slots[np.isin(self.ids, allowed)]
        height = max(1, BLOCK // self.width)
        for start in range(0, len(slots), height):
            part = slots[start : start + height]
            vectors, block = self._vectors(part), flat(self.width, self.by_product)
            block.add(vectors)
            longest = squared_lengths(vectors).max(initial=0)
            near = search_flat(block, self.ids[part], queries, k, None, longest)
            both = (np.hstack(pair) for pair in zip((apart, ids), near, strict=True))
            apart, ids = nearest_first(*both, k)
        return apart, ids

    exactly = search

    def empty(self) -> "Compressed":
        """One of the same form with nothing in it."""
        return type(self)(self.width, self.by_product)

    def of(self, ids: np.ndarray) -> np.ndarray:
        """The vectors that the codes of ids stand for."""
        return self._vectors(np.searchsorted(self.ids, ids))

    def write(self, folder: Path) -> None:
        np.savez(folder / "codes.npz", codes=self.codes, scales=self.scales)
        np.save(folder / "slots.npy", self.ids)

    def read(self, folder: Path) -> None:
        with np.load(folder / "codes.npz", allow_pickle=False) as stored:
            self.codes, self.scales = stored["codes"], stored["scales"]
        self.ids = np.load(folder / "slots.npy", allow_pickle=False)

    def _vectors(self, slots: np.ndarray) -> np.ndarray:
        vectors, scales = self.decoded(self.codes[slots]), self.scales[slots]
        if self.by_product:
            lengths = np.sqrt(np.einsum("nd,nd->n", vectors, vectors))
            scales = np.where(scales > 0, 1 / np.maximum(lengths, 1), 0).astype(np.float32)
        vectors *= scales[:, None]
        return vectors


class Int8(Compressed):
    """A byte a number."""

    def encoded(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        peaks = np.abs(vectors).max(axis=1)
        shares = vectors / np.where(peaks > 0, peaks, 1)[:, None]
        return np.rint(127 * shares).astype(np.int8), (peaks / 127).astype(np.float32)

    def decoded(self, codes: np.ndarray) -> np.ndarray:
        return codes.astype(np.float32)


class Binary(Compressed):
    """A bit a number: whether it is above zero."""

    def encoded(self, vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return np.packbits(vectors > 0, axis=1), np.abs(vectors).mean(axis=1, dtype=np.float32)

    def decoded(self, codes: np.ndarray) -> np.ndarray:
        signs = np.unpackbits(codes, axis=1, count=self.width).astype(np.float32)
        signs *= 2
        signs -= 1
        return signs
