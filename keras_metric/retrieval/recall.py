"""How much of the truth an approximate index finds, measured with vectors it has not seen.

A vector that is in an index finds its own neighbours more easily than a new query does: it lies on
their lists, and they are linked through it. So some stored vectors are taken out, an index of the
same kind is made of the others, and those taken out are its queries.
"""

from typing import NamedTuple

import numpy as np

from keras_metric.arguments import whole

SHARE = 10  # at most one stored vector in ten is a query


class Recall(NamedTuple):
    """Recall@k over so many queries."""

    k: int
    sample: int
    value: float


def measured(store, k: int, sample: int, seed: int) -> Recall:
    """The mean over queries of (the k found that are among the true k nearest) / k.

    Queries are stored vectors, drawn with a seed; the truth is exact search. It takes as long as
    building the index. Of a collection in Milvus nothing can be taken out: there each query is left
    out of its own neighbours, which flatters.

    Raises:
        ValueError: not more than k vectors beside the queries.
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
