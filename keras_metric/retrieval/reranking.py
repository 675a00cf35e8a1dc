"""k-reciprocal re-ranking: two records that are neighbors of each other have neighbors in common.

Zhong, Zheng, Cao, Li, "Re-ranking person re-identification with k-reciprocal encoding", CVPR 2017.
arXiv:1701.08398
"""

import numpy as np

from keras_metric.arguments import number, whole


def k_reciprocal(
    distances, queries: int = 1, *, k1: int = 20, k2: int = 6, weight: float = 0.3
) -> np.ndarray:
    """Distances (..., Q, M - Q) of Q queries from the others, by the neighbors they share.

        N(p, k)    p and the k nearest to it
        R(p, k)    {g in N(p, k): p in N(g, k)}                                          (eq. 2)
        R*(p)      R(p, k1), and every R(q, k1 / 2) of a q in R(p, k1) of which two thirds
                   are in R(p, k1)                                                       (eq. 3)
        V_p(g)     exp(-d(p, g)) for g in R*(p), else 0; scaled to the sum 1             (eq. 7)
        V_p        the mean of V over p and the k2 - 1 nearest to it                     (eq. 11)
        J(p, g)    1 - sum min(V_p, V_g) / sum max(V_p, V_g)                             (eq. 10)
        found      (1 - weight) J + weight d                                             (eq. 12)

    d are the distances divided by the largest of them, so the unit has no influence. The paper
    takes squared Euclidean distances.

    Args:
        distances: (..., M, M), of every item from every other; the first Q are the queries. More
            axes in front are batches of such matrices.
        queries: Q.

    Raises:
        ValueError: distances that are not square, not finite or negative; Q that leaves nothing to
            rank; k1 or k2 below 1; a weight outside of 0..1.
    """
    d = _checked(distances)
    queries, weight = whole("queries", queries), number("weight", weight, least=0, most=1)
    k1, k2 = whole("k1", k1), whole("k2", k2)
    if queries >= d.shape[-1]:
        raise ValueError(
            f"There is nothing to rank. Expected: fewer queries than the {d.shape[-1]} items. "
            f"Received: queries={queries}."
        )
    d = d / np.maximum(d.max(axis=(-2, -1), keepdims=True), np.finfo(np.float64).tiny)
    ranks = _ranks(d)
    shares = np.exp(-d) * _extended(ranks, k1)
    shares /= shares.sum(axis=-1, keepdims=True)
    if k2 > 1:
        near = ranks < k2
        shares = near / near.sum(axis=-1, keepdims=True) @ shares
    jaccard = np.empty((*d.shape[:-2], queries, d.shape[-1] - queries))
    for row in range(queries):  # (..., M - Q, M) at once
        common = np.minimum(shares[..., row : row + 1, :], shares[..., queries:, :]).sum(axis=-1)
        jaccard[..., row, :] = 1 - common / (2 - common)
    return (1 - weight) * jaccard + weight * d[..., :queries, queries:]


def _ranks(d: np.ndarray) -> np.ndarray:
    """The place of each item among the nearest of each other, 0 for itself."""
    d = d.copy()
    items = np.arange(d.shape[-1])
    d[..., items, items] = -1
    order = np.argsort(d, axis=-1, kind="stable")
    ranks = np.empty_like(order)
    np.put_along_axis(ranks, order, np.broadcast_to(items, order.shape), axis=-1)
    return ranks


def _extended(ranks: np.ndarray, k1: int) -> np.ndarray:
    """R* (..., M, M): which items are in the extended neighborhood of each."""
    whole_set, half = (_reciprocal(ranks, k) for k in (k1, k1 // 2))
    counted = half.astype(np.float32)
    common = whole_set.astype(np.float32) @ counted.swapaxes(-1, -2)
    size = half.sum(axis=-1)[..., None, :]
    joined = whole_set & (3 * common >= 2 * size)
    return whole_set | (joined.astype(np.float32) @ counted > 0)


def _reciprocal(ranks: np.ndarray, k: int) -> np.ndarray:
    near = ranks <= k
    return near & near.swapaxes(-1, -2)


def _checked(distances) -> np.ndarray:
    d = np.asarray(distances, np.float64)
    if d.ndim < 2 or d.shape[-1] != d.shape[-2]:
        raise ValueError(
            "Re-ranking compares every item with every other. Expected: distances of shape "
            f"(..., M, M). Received: {d.shape}."
        )
    if not np.isfinite(d).all() or (d < 0).any():
        raise ValueError(
            "The distances cannot be re-ranked. Expected: finite numbers from 0 on. Received: "
            f"{'negative ones' if np.isfinite(d).all() else 'NaN or infinity'}."
        )
    return d
