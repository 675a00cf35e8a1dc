"""The label of a query from its neighbors, or none.

nearest     the label of the nearest neighbor
vote        the label of most of the k neighbors; of equally many, that of the nearest
weighted    the label of the greatest weight, w_i = (d_k - d_i) / (d_k - d_1), or 1 where all
            are equally far. Dudani, "The distance-weighted k-nearest-neighbor rule",
            IEEE Trans. SMC 6, 1976, eq. 1
"""

from typing import NamedTuple

import numpy as np

from keras_metric.retrieval.calibration import Calibration
from keras_metric.retrieval.found import Found

MATCHERS = ("nearest", "vote", "weighted")


class Matches(NamedTuple):
    """One label for each query (Q,)."""

    labels: np.ndarray
    """objects; None where nothing matches"""
    distances: np.ndarray
    """to the nearest neighbor of that label; infinity where nothing matches"""
    shares: np.ndarray
    """of the weight of all neighbors that matched, 0 to 1"""


def matched(
    found: Found, matcher: str = "nearest", calibration: Calibration | None = None
) -> Matches:
    """The label of each query; neighbors beyond the threshold or without a label are ignored.

    Raises:
        ValueError: an unknown matcher.
    """
    if matcher not in MATCHERS:
        raise ValueError(
            f"Unknown matcher. Expected: one of {', '.join(MATCHERS)}. Received: {matcher!r}."
        )
    near = np.isfinite(found.distances) & (found.labels != None)  # noqa: E711 (element by element)
    if calibration is not None:
        near &= calibration.decide(found.distances)
    answers = [
        _answer(labels[kept], distances[kept], matcher)
        for labels, distances, kept in zip(found.labels, found.distances, near, strict=True)
    ]
    labels = np.empty(len(answers), object)
    labels[:] = [label for label, _, _ in answers]
    return Matches(
        labels,
        np.array([distance for _, distance, _ in answers], np.float32),
        np.array([share for _, _, share in answers], np.float32),
    )


def _answer(labels: np.ndarray, distances: np.ndarray, matcher: str):
    if not len(labels):
        return None, np.inf, 0.0
    weights = _weights(distances, matcher)
    sums: dict = {}
    for label, weight in zip(labels, weights, strict=True):
        sums[label] = sums.get(label, 0.0) + weight
    best = max(sums, key=sums.get)  # of equal ones the first, which is the nearest
    return best, distances[list(labels).index(best)], sums[best] / weights.sum()


def _weights(distances: np.ndarray, matcher: str) -> np.ndarray:
    if matcher == "nearest":
        return np.eye(1, len(distances))[0]
    farthest, spread = distances.max(), np.ptp(distances)  # refined answers are in another order
    if matcher == "vote" or spread == 0:
        return np.ones(len(distances))
    return (farthest - distances) / spread
