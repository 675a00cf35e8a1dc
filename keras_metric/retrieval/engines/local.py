"""Records and vectors in this process, searched by faiss."""

from pathlib import Path
from typing import Any

import numpy as np

from keras_metric.retrieval.engines.compressed import Binary, Int8
from keras_metric.retrieval.engines.exact import Exact
from keras_metric.retrieval.engines.graph import Graph
from keras_metric.retrieval.engines.inverted import Inverted
from keras_metric.retrieval.storage.table import Filter, Table

KINDS = {"exact": Exact, "ivf": Inverted, "hnsw": Graph, "int8": Int8, "binary": Binary}


class Local:
    """A table of records with their vectors in an index of one of the kinds."""

    def __init__(self, width: int, by_product: bool, kind: str, options: dict[str, int]):
        self.table, self.vectors = Table(), KINDS[kind](width, by_product, **options)
        self.width, self.next = width, 0

    @property
    def exact(self) -> bool:
        return self.vectors.exact

    @property
    def empty(self) -> bool:
        return not len(self.table)

    @property
    def ready(self) -> bool:
        """Whether a search finds everything learned that it needs; else `prepare` learns it."""
        return self.vectors.ready

    def prepare(self) -> None:
        self.vectors.prepare()

    def __len__(self) -> int:
        return len(self.table)

    def add(self, vectors: np.ndarray, labels: list, metadata: list[dict[str, Any]]) -> np.ndarray:
        ids = np.arange(self.next, self.next + len(vectors), dtype=np.int64)
        self.vectors.add(ids, vectors)
        self.table.add(ids, labels, metadata)
        self.next += len(vectors)
        return ids

    def remove(self, ids: np.ndarray) -> int:
        gone = np.isin(self.table.ids, ids)
        if gone.any():
            self.vectors.remove(self.table.ids[gone])
            self.table.keep(~gone)
        return int(gone.sum())

    def search(self, queries: np.ndarray, k: int, filter: Filter | None = None):
        """Gaps, ids, labels and metadata, (Q, k) each; id -1 for none."""
        allowed = () if filter is None else (self.table.ids[self.table.chosen(filter)],)
        apart, ids = self.vectors.search(queries, k, *allowed)
        return apart, ids, *self._records(ids)

    def exactly(self, queries: np.ndarray, k: int):
        return self.vectors.exactly(queries, k)

    def held(self, ids: np.ndarray) -> np.ndarray:
        """Which of the ids (N,) some record has."""
        return self.table.rows(ids) >= 0

    def ids(self) -> np.ndarray:
        return self.table.ids

    def labels(self) -> np.ndarray:
        """Of all records, in the order of their ids."""
        return self.table.labels

    def of(self, ids: np.ndarray) -> np.ndarray:
        return self.vectors.of(ids)

    def without(self, ids: np.ndarray):
        """An index of the same kind without some of the vectors."""
        kept, twin = np.setdiff1d(self.table.ids, ids), self.vectors.empty()
        twin.add(kept, np.ascontiguousarray(self.of(kept)))
        twin.prepare()
        return twin

    def write(self, folder: Path) -> None:
        self.table.write(folder)
        if len(self):
            self.vectors.write(folder)

    def read(self, folder: Path, following: int) -> None:
        self.table, self.next = Table.read(folder), following
        if len(self):
            self.vectors.read(folder)

    def _records(self, ids: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Labels and metadata of ids (Q, k), None and {} for -1."""
        rows = self.table.rows(ids)
        labels, metadata = np.full(ids.shape, None), np.empty(ids.shape, object)
        there = rows >= 0
        labels[there] = self.table.labels[rows[there]]
        known = self.table.columns
        flat = [self.table.record(row) if known and row >= 0 else {} for row in rows.ravel()]
        metadata.ravel()[:] = flat
        return labels, metadata
