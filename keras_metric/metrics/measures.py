"""The retrieval measures, each a formula over the ranked candidates of every query.

    hits (Q, depth): 1 where the candidate at that rank is relevant, else 0
    relevant (Q,): R, how many relevant candidates there are in all, at any rank
    first (Q,): rank of the nearest relevant candidate, counted from 1

`xp` is `numpy` or `keras.ops`: one formula serves the functions and the Keras metrics. A query
without a relevant candidate (R = 0) has no meaningful value; the caller leaves it out.
"""


def recall(hits, relevant, first, k, xp):
    """1 when one of the k nearest is relevant, else 0."""
    return xp.max(hits[:, :k], axis=1)


def precision(hits, relevant, first, k, xp):
    """sum_{i <= k} hit_i / k."""
    return xp.sum(hits[:, :k], axis=1) / k


def average_precision(hits, relevant, first, k, xp):
    """1 / min(k, R) · sum_{i <= k} hit_i · precision@i."""
    hits = hits[:, :k]
    return _precision_sum(hits, hits, xp) / xp.clip(relevant, 1, k)


def ndcg(hits, relevant, first, k, xp):
    """sum_{i <= k} hit_i / log2(i + 1), over the same sum with all hits in front."""
    hits = hits[:, :k]
    ranks = xp.arange(1, xp.shape(hits)[1] + 1, dtype=hits.dtype)
    gains = 1 / xp.log2(ranks + 1)
    best = xp.where(ranks[None] <= relevant[:, None], gains[None], 0)
    return xp.sum(hits * gains[None], axis=1) / xp.maximum(xp.sum(best, axis=1), gains[0])


def graded_ndcg(gains, k, xp):
    """sum_{i <= k} gain_i / log2(i + 1), over the same sum with the largest gains in front.

    gains (Q, C): of every candidate, in the order of rank.
    """
    best = xp.flip(xp.sort(gains, axis=1), axis=1)[:, :k]
    discounts = xp.log2(xp.arange(2, xp.shape(best)[1] + 2, dtype=best.dtype))[None]
    return xp.sum(gains[:, :k] / discounts, axis=1) / xp.sum(best / discounts, axis=1)


def average_precision_at_r(hits, relevant, first, k, xp):
    """1 / R · sum_{i <= R} hit_i · precision@i."""
    return _precision_sum(hits, _within_r(hits, relevant, xp), xp) / xp.maximum(relevant, 1)


def r_precision(hits, relevant, first, k, xp):
    """sum_{i <= R} hit_i / R."""
    return xp.sum(_within_r(hits, relevant, xp), axis=1) / xp.maximum(relevant, 1)


def reciprocal_rank(hits, relevant, first, k, xp):
    """1 / first."""
    return 1 / xp.maximum(first, 1)


AT_K = {"recall": recall, "precision": precision, "map": average_precision, "ndcg": ndcg}
AT_R = {"map@r": average_precision_at_r, "r_precision": r_precision}
AT_ANY_RANK = {"mrr": reciprocal_rank}


def _precision_sum(hits, counted, xp):
    """sum_i counted_i · precision@i."""
    ranks = xp.arange(1, xp.shape(hits)[1] + 1, dtype=hits.dtype)
    return xp.sum(counted * xp.cumsum(hits, axis=1) / ranks[None], axis=1)


def _within_r(hits, relevant, xp):
    ranks = xp.arange(1, xp.shape(hits)[1] + 1, dtype=hits.dtype)
    return xp.where(ranks[None] <= relevant[:, None], hits, 0)
