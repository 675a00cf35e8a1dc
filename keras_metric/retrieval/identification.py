"""Open-set identification: is the query in the gallery, and who is it?"""

from collections.abc import Sequence

import numpy as np

from keras_metric.batches.classes import integer_labels
from keras_metric.metrics.exact import between
from keras_metric.metrics.neighbours import BLOCK
from keras_metric.metrics.ranking import check_pairing, check_widths, embedding_matrix
from keras_metric.metrics.verification_scores import threshold_after


def open_set(
    queries,
    labels,
    gallery,
    gallery_labels,
    *,
    far: Sequence[float] = (0.1, 0.01),
    distance: str = "cosine",
) -> dict[str, float]:
    """Open-set identification: the detection and identification rate at false alarm rates.

    A query is known when its label is in the gallery. With d the distance to its nearest record
    and t a threshold,

        far(t) = unknown queries with d <= t / unknown queries
        dir(t) = known queries with d <= t whose nearest record has their label / known queries

    Returns `dir@F` and `threshold@F` for each F, at the largest t with far(t) <= F; `rank1`, which
    is dir without a threshold; `known` and `unknown`, the numbers of such queries. A record of
    another label at the same distance counts as nearer. Phillips, Grother, Micheals, "Evaluation
    methods in face recognition", Handbook of Face Recognition, 2nd edition, 2011, on open-set
    identification (detection and identification rate).

    Args:
        queries: (Q, D). labels: integers (Q,). gallery: (C, D). gallery_labels: integers (C,).

    Raises:
        ValueError: no known or no unknown query, or too few unknown ones to measure a rate F.
    """
    queries, labels = embedding_matrix(queries), integer_labels(labels)
    gallery, gallery_labels = embedding_matrix(gallery), integer_labels(gallery_labels)
    check_pairing(queries, labels)
    check_pairing(gallery, gallery_labels)
    check_widths(queries, gallery)
    known = np.isin(labels, gallery_labels)
    unknowns = int((~known).sum())
    _check(known, unknowns, far)
    own, other = _nearest(queries, labels, gallery, gallery_labels, distance)
    right, apart = own < other, np.minimum(own, other)
    found = {"known": len(labels) - unknowns, "unknown": unknowns}
    found["rank1"] = float(right[known].mean())
    unknown = np.sort(apart[~known])
    for rate in far:
        allowed = int(np.floor(rate * unknowns + 1e-9))
        threshold = _threshold(unknown, allowed)
        found[f"dir@{rate:g}"] = float((right & (apart <= threshold))[known].mean())
        found[f"threshold@{rate:g}"] = threshold
    return found


def _threshold(unknown: np.ndarray, allowed: int) -> float:
    """The largest threshold that accepts at most so many of the sorted distances."""
    if allowed >= len(unknown):
        return float(unknown[-1])
    values, counts = np.unique(unknown, return_counts=True)
    return threshold_after(values, int(np.searchsorted(np.cumsum(counts), allowed, side="right")))


def _nearest(queries, labels, gallery, gallery_labels, distance: str):
    """Distances to the nearest record of the query's label (infinity: none), and of another."""
    apart_in, height = between(queries, gallery, distance), max(1, BLOCK // len(gallery))
    own, other = (np.empty(len(queries), np.result_type(queries, gallery)) for _ in range(2))
    for start in range(0, len(queries), height):
        rows = slice(start, start + height)
        apart = apart_in(rows)
        same = labels[rows, None] == gallery_labels
        own[rows] = np.where(same, apart, np.inf).min(axis=1)
        other[rows] = np.where(same, np.inf, apart).min(axis=1)
    return own, other


def _check(known: np.ndarray, unknowns: int, far: Sequence[float]) -> None:
    least = max((int(np.ceil(1 / rate)) if rate > 0 else 1 for rate in far), default=1)
    if not known.any() or unknowns < least or not all(0 <= rate <= 1 for rate in far):
        raise ValueError(
            f"The rates cannot be told. Expected: rates from 0 to 1, a known query, and {least} "
            f"unknown ones for far={tuple(far)}. Received: {int(known.sum())} known, {unknowns} "
            "unknown."
        )
