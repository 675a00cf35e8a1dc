"""Embeddings of one model that can be added, searched and removed, from several threads."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import keras
import numpy as np

from keras_metric.arguments import whole
from keras_metric.retrieval.encoding import Encoder, made_by, refuse_another
from keras_metric.retrieval.engines.local import Local
from keras_metric.retrieval.engines.milvus import Milvus, is_file
from keras_metric.retrieval.found import Found, nothing
from keras_metric.retrieval.locking import ReadWriteLock
from keras_metric.retrieval.metric import Metric
from keras_metric.retrieval.options import COMPRESSED, checked_kind
from keras_metric.retrieval.pca import PCA
from keras_metric.retrieval.refinement import Refinement, nearest, refined
from keras_metric.retrieval.storage.table import Filter, checked_labels, checked_metadata

FAISS = "faiss"


class Collection:
    """Embeddings of one model, width and distance, with their records.

    Threads may share it: searches run concurrently, `add` and `remove` exclusively.
    """

    def __init__(
        self,
        encoder: keras.Model | None = None,
        *,
        distance: str | None = None,
        kind: str = "exact",
        options: Mapping[str, int] | None = None,
        engine: str = FAISS,
        collection: str = "keras_metric",
        token: str | None = None,
        pca: PCA | None = None,
    ):
        self.options, self.kind = checked_kind(kind, options), kind
        if engine != FAISS and (pca is not None or kind in COMPRESSED):
            raise ValueError(
                "Milvus stores vectors as they are. Expected: no PCA, and kind 'exact', 'ivf' or "
                f"'hnsw'. Received: {'a PCA' if pca else f'kind={kind!r}'} in {engine}."
            )
        if kind != "exact" and is_file(engine):
            raise ValueError(
                "milvus-lite builds approximate kinds late, and without their options. Expected: "
                "kind='exact', or the address of a server, or no engine for one in this process. "
                f"Received: kind={kind!r} in {engine}."
            )
        self._name, self._lock, self.pca = collection, ReadWriteLock(), pca
        self._encoder = None if encoder is None else Encoder(encoder, distance)
        own = None if self._encoder is None else self._encoder.distance
        self._metric = Metric.named(distance or own or "cosine")
        self.fingerprint = None if self._encoder is None else self._encoder.fingerprint
        self._remote = None if engine == FAISS else Milvus(engine, collection, token)
        self.engine = FAISS if self._remote is None else self._remote.address
        self._store: Local | Milvus | None = None
        if self._remote is not None and self._remote.facts is not None:
            self._attach(self._remote)

    @property
    def encoder(self) -> keras.Model | None:
        return None if self._encoder is None else self._encoder.model

    @property
    def distance(self) -> str:
        return self._metric.name

    @property
    def width(self) -> int | None:
        """The dimension of the stored embeddings (after a PCA); None before the first one."""
        return None if self._store is None else self._store.width

    @property
    def keeps_distances(self) -> bool:
        """Whether distances are those of the embeddings, so that their thresholds apply.

        Not after a PCA, nor of binary vectors; those of kind "int8" differ by their rounding.
        """
        return self.pca is None and self.kind != "binary"

    @property
    def ids(self) -> np.ndarray:
        """The ids of all records, ascending."""
        with self._lock.reading():
            return np.empty(0, np.int64) if self._store is None else self._store.ids()

    def __len__(self) -> int:
        with self._lock.reading():
            return 0 if self._store is None else len(self._store)

    def __repr__(self) -> str:
        size = f"{len(self):,} x {self.width}" if self.width else "empty"
        return f"{type(self).__name__}({size}, {self.distance}, {self.kind})"

    def add(
        self,
        items,
        labels=None,
        metadata: Sequence[dict[str, Any]] | Mapping[str, Sequence] | None = None,
        *,
        model: keras.Model | str | None = None,
    ) -> np.ndarray:
        """Add images or embeddings; returns their ids (N,) int64, which are never reused.

        Args:
            items: inputs of the encoder, such as images (N, H, W, C), or embeddings (N, D).
            labels: for each an integer, a string, or None.
            metadata: a dictionary for each, or a dictionary of columns: strings, numbers,
                booleans, None.
            model: the model, or its fingerprint, that made the embeddings.

        Raises:
            ValueError: embeddings of another model or width, or not finite; labels or metadata that
                do not match. Nothing is added then.
        """
        made = made_by(model)
        vectors = self._vectors(items, made, queries=False)
        self._metric.check_stored(vectors)
        labels = checked_labels(labels, len(vectors))
        metadata = checked_metadata(metadata, len(vectors))
        with self._lock.writing():
            self._check_fit(vectors, made)
            if self._store is None or self._store.empty:
                self.fingerprint = self.fingerprint or made
            if self._store is None:
                self._store = self._new_store(vectors.shape[1])
            return self._store.add(vectors, labels, metadata)

    def search(
        self,
        items,
        k: int = 10,
        filter: Filter | None = None,
        *,
        refine: Refinement | None = None,
        exclude=None,
        model: keras.Model | str | None = None,
    ) -> Found:
        """The `k` nearest records of a query, nearest first, of equally near ones the oldest first.

        A distance depends only on its query and its record; with `refine` it is still that of the
        given query, and the order may differ from that of the distances.

        Args:
            items: inputs of the encoder, such as images (Q, H, W, C), or embeddings (Q, D).
            k: how many; if there are fewer, the remaining entries are id -1, distance infinity.
            filter: {name: value, or set of values} for "label", "id" and names of metadata; or a
                function of a record, a dictionary of the same names. An exact index is also exact
                with a filter.
            refine: query expansion and re-ranking, see `Refinement`.
            exclude: (Q,) for each query the id of a record that it must not find, such as its own.
            model: as in `add`.

        Raises:
            ValueError: embeddings of another model or width, or not finite; k below 1; not one id
                to exclude for each query.
            KeyError: a filter by a name that no record has.
        """
        k = whole("k", k)
        made = made_by(model)
        queries = self._vectors(items, made, queries=True)
        own = None if exclude is None else _one_each(exclude, len(queries))
        with self._searching() as store:
            self._check_fit(queries, made)
            if store is None or store.empty:
                return nothing(len(queries), k)
            if refine is None:
                gaps, ids, *records = nearest(store, queries, k, filter, own)
            else:
                form = refine, self._metric.by_product
                gaps, ids, *records = refined(store, queries, k, filter, own, *form)
        return Found(ids, self._metric.distances(gaps), *records)

    def remove(self, ids) -> int:
        """Remove records by their ids, which are never reused; returns how many were removed.

        Raises:
            KeyError: an id that no record has; nothing is removed then.
            ValueError: ids that are not integers.
        """
        ids = np.unique(np.asarray(ids))
        if ids.size and ids.dtype.kind not in "iu":
            raise ValueError(f"Ids are integers. Expected: those of `add`. Received: {ids.dtype}.")
        ids = ids.astype(np.int64)
        with self._lock.writing():
            missing = ids if self._store is None else ids[~self._store.held(ids)]
            if len(missing):
                raise KeyError(
                    "No record has this id. Expected: ids that `add` has returned and that were "
                    f"not removed since. Received: {missing[:5].tolist()}."
                )
            return self._store.remove(ids) if len(ids) else 0

    def records(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """All records: ids (N,), embeddings (N, D) as they are compared, labels (N,)."""
        with self._lock.reading():
            if self._store is None:
                return self.ids, np.empty((0, 0), np.float32), np.empty(0, object)
            ids = self.ids
            return ids, np.asarray(self._store.of(ids), np.float32), self._store.labels()

    @contextmanager
    def _searching(self) -> Iterator[Local | Milvus | None]:
        """The store, locked for reading and prepared for a search."""
        if self._store is not None and not self._store.ready:
            with self._lock.writing():
                self._store.prepare()
        with self._lock.reading():
            yield self._store

    def _common_facts(self) -> dict[str, Any]:
        """What the vectors of this collection have in common."""
        facts = {"distance": self.distance, "kind": self.kind, "options": self.options}
        return {**facts, "fingerprint": self.fingerprint, "width": self.width}

    def _new_store(self, width: int) -> Local | Milvus:
        if self._remote is None:
            return Local(width, self._metric.by_product, self.kind, self.options)
        self._remote.create({**self._common_facts(), "width": width})
        return self._remote

    def _attach(self, remote: Milvus) -> None:
        """Take up a collection that is there already."""
        for name, mine in (("distance", self.distance), ("kind", self.kind)):
            if remote.facts[name] != mine:
                raise ValueError(
                    f"The collection at {remote.address} has another {name}. Expected: "
                    f"{name}={remote.facts[name]!r}. Received: {mine!r}."
                )
        refuse_another(remote.facts["fingerprint"], self.fingerprint, "The encoder")
        self.fingerprint = remote.facts["fingerprint"] or self.fingerprint
        self.options, self._store = remote.facts["options"], remote

    def _vectors(self, items, made: str | None, *, queries: bool) -> np.ndarray:
        """Items as the engine stores them; inputs of the encoder go through it."""
        refuse_another(self.fingerprint, made, "What made these embeddings")
        if hasattr(items, "element_spec") or isinstance(items, keras.utils.PyDataset):
            raise ValueError(
                "An index takes arrays, not data sets. Expected: images or embeddings, a batch at "
                "a time: for images, labels in dataset: index.add(images, labels). "
                f"Received: {type(items).__name__}."
            )
        if self._encoder is None and np.ndim(items) > 2:
            raise ValueError(
                "There is no encoder for images. Expected: Index(encoder), or embeddings "
                f"(N, D). Received: shape {np.shape(items)}."
            )
        if self._encoder is not None and self._encoder.takes(
            items, queries=queries, embedded=made is not None
        ):
            items = self._encoder.embedded(items, queries=queries)
        if self.pca is not None:
            items = self.pca(items)
        vectors = self._metric.prepared(items)
        self._check_fit(vectors, made)
        return vectors

    def _check_fit(self, vectors: np.ndarray, made: str | None) -> None:
        """Again under the lock: another thread may have added the first vectors."""
        refuse_another(self.fingerprint, made, "What made these embeddings")
        if self.width not in (None, vectors.shape[1]):
            raise ValueError(
                f"Embeddings of another width. Expected: (N, {self.width}), as those of the index. "
                f"Received: {vectors.shape}."
            )


def _one_each(ids, count: int) -> np.ndarray:
    """An id for each of `count` queries."""
    ids = np.asarray(ids)
    if ids.shape != (count,) or ids.dtype.kind not in "iu":
        raise ValueError(
            f"`exclude` does not fit. Expected: one id for each of {count} queries. "
            f"Received: shape {ids.shape}, {ids.dtype}."
        )
    return ids.astype(np.int64)
