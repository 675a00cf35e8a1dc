"""The recall of an approximate index, measured with vectors that are not in it.

A vector that is in an index finds its own neighbors more easily than a new query does: it is in
their lists, and they are linked through it. So some stored vectors are held out, an index of the
same kind is built from the others, and the held-out vectors are its queries.
"""

from typing import NamedTuple

import numpy as np

from keras_metric.arguments import whole

SHARE = 10  # at most one stored vector in ten is a query


class Recall(NamedTuple):
    """Recall@k and the number of queries."""

    k: int
    sample: int
    value: float


def measured(store, k: int, sample: int, seed: int) -> Recall:
    """The mean over queries of (the k found that are among the true k nearest) / k.

    Queries are stored vectors, drawn with a seed; they are compared with exact search. It takes as
    long as building the index. From a collection in Milvus nothing can be removed: there each query
    is excluded from its own neighbors, which is optimistic.

    Raises:
        ValueError: at most k vectors besides the queries.
    """
    k, sample, total = whole("k", k), whole("sample", sample), len(store)
    count = min(sample, max(1, total // SHARE))
    if k >= total - count:
        raise ValueError(
            "There are not so many vectors to find. Expected: an index of more than k, and a tenth "
            f"for queries. Received: k={k}, {total} vectors."
        )
    drawn = np.sort(np.random.default_rng(seed).permutation(store.ids())[:count])
    queries, asked = np.ascontiguousarray(store.of(drawn)), store.without(drawn)
    found, truth = asked.search(queries, k + 1)[1], asked.exactly(queries, k + 1)[1]
    shares = [
        len(np.intersect1d(_others(mine, own, k), _others(true, own, k))) / k
        for mine, true, own in zip(found, truth, drawn, strict=True)
    ]
    return Recall(k, count, float(np.mean(shares)))


def _others(ids: np.ndarray, own: int, k: int) -> np.ndarray:
    return ids[(ids != own) & (ids >= 0)][:k]
