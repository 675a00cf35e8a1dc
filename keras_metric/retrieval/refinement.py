"""Better answers from the same embeddings: expanded queries, and re-ranked neighbors."""

from dataclasses import dataclass

import numpy as np

from keras_metric.arguments import number, whole
from keras_metric.retrieval.engines.gaps import gaps_of
from keras_metric.retrieval.expansion import expanded
from keras_metric.retrieval.reranking import k_reciprocal
from keras_metric.retrieval.storage.table import Filter

BLOCK = 2**22  # numbers held at once


@dataclass(frozen=True)
class Refinement:
    """How `Index.search` orders its answers beyond the distance of a pair.

        index.search(queries, k=10, refine=Refinement(expand=2, rerank=50))

    With `expand`, the mean of the query and its nearest records is searched instead, see
    `expanded`. With `rerank`, the nearest records are ordered by the neighbors they share with the
    query, see `k_reciprocal`; neighbors are looked for among these records alone. So memory and
    time depend on `rerank` and not on the size of the index.

    Args:
        expand: how many of the nearest records are averaged with the query; 0 for none.
        alpha: the power of their similarity that is their weight; 0 for equal weights.
        rerank: how many of the nearest records are ordered anew; 0 for none.
        k1, k2, weight: of `k_reciprocal`.

    Raises:
        ValueError: a number below 0, `rerank` of 1, k1 or k2 below 1, a weight outside of 0..1.
    """

    expand: int = 0
    alpha: float = 3.0
    rerank: int = 0
    k1: int = 20
    k2: int = 6
    weight: float = 0.3

    def __post_init__(self):
        whole("expand", self.expand, least=0)
        number("alpha", self.alpha, least=0)
        if self.rerank != 0:
            whole("rerank", self.rerank, least=2)
        whole("k1", self.k1)
        whole("k2", self.k2)
        number("weight", self.weight, least=0, most=1)

    def __str__(self) -> str:
        parts = [f"expanded by {self.expand}"] if self.expand else []
        parts += [f"{self.rerank} re-ranked"] if self.rerank else []
        return ", ".join(parts) or "as they are"


def nearest(store, queries: np.ndarray, k: int, filter: Filter | None, own: np.ndarray | None):
    """Gaps, ids, labels and metadata (Q, k), without the record `own` (Q,) of each query."""
    if own is None:
        return store.search(queries, k, filter)
    found = store.search(queries, k + 1, filter)
    left_out = found[1] == own[:, None]
    left_out[~left_out.any(axis=1), -1] = True
    return tuple(part[~left_out].reshape(len(queries), k) for part in found)


def refined(
    store,
    queries: np.ndarray,
    k: int,
    filter: Filter | None,
    own: np.ndarray | None,
    refine: Refinement,
    by_product: bool,
):
    """What `nearest` finds, ordered as `refine` says; gaps are those of the given queries."""
    deep = max(k, refine.rerank, refine.expand)
    height = max(1, BLOCK // (deep * max(store.width, deep + 1)))
    parts = [
        _refined_block(
            store,
            queries[start : start + height],
            k,
            filter,
            None if own is None else own[start : start + height],
            refine,
            by_product,
        )
        for start in range(0, len(queries), height)
    ]
    return tuple(np.concatenate(part) for part in zip(*parts, strict=True))


def _refined_block(store, queries, k, filter, own, refine: Refinement, by_product: bool):
    asked = queries
    if refine.expand:
        _, ids, *_ = nearest(store, queries, refine.expand, filter, own)
        asked = expanded(queries, _vectors(store, ids), refine.alpha).astype(np.float32)
        if by_product:
            asked /= np.maximum(np.linalg.norm(asked, axis=1, keepdims=True), 1e-30)
    _, ids, *records = nearest(store, asked, max(k, refine.rerank), filter, own)
    vectors = _vectors(store, ids)
    gaps = gaps_of(queries, vectors, by_product)
    gaps[ids < 0] = np.inf
    order = np.broadcast_to(np.arange(ids.shape[1]), ids.shape)
    if refine.rerank:
        order = _reranked(asked, vectors, ids, refine, by_product)
    return tuple(np.take_along_axis(part, order[:, :k], 1) for part in (gaps, ids, *records))


def _reranked(queries, vectors, ids, refine: Refinement, by_product: bool) -> np.ndarray:
    """(Q, k) places in the new order; those beyond `refine.rerank` stay where they are."""
    order = np.broadcast_to(np.arange(ids.shape[1]), ids.shape).copy()
    found = (ids[:, : refine.rerank] >= 0).sum(axis=1)
    for count in np.unique(found[found > 1]):
        rows = found == count
        items = np.concatenate([queries[rows, None], vectors[rows, :count]], axis=1)
        apart = k_reciprocal(
            _squared(items, by_product), k1=refine.k1, k2=refine.k2, weight=refine.weight
        )
        order[rows, :count] = np.argsort(apart[:, 0], axis=1, kind="stable")
    return order


def _squared(items: np.ndarray, by_product: bool) -> np.ndarray:
    """Squared differences (Q, M, M) of items (Q, M, D)."""
    items = items.astype(np.float64)
    products = items @ items.swapaxes(1, 2)
    if by_product:
        return np.maximum(2 - 2 * products, 0)
    lengths = np.einsum("qmd,qmd->qm", items, items)
    return np.maximum(lengths[:, :, None] + lengths[:, None] - 2 * products, 0)


def _vectors(store, ids: np.ndarray) -> np.ndarray:
    """The vectors (Q, k, D) of ids; zeros for -1."""
    there, places = np.unique(ids[ids >= 0], return_inverse=True)
    vectors = np.zeros((*ids.shape, store.width), np.float32)
    if len(there):
        vectors[ids >= 0] = np.asarray(store.of(there), np.float32)[places]
    return vectors
