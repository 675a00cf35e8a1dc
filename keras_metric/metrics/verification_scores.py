"""Verification: do two images show the same identity? Exact measures of pair distances.

A pair is accepted when its distance is at most a threshold. FAR (false accept rate) is the share
of different pairs accepted, TAR (true accept rate) that of same pairs. Pairs at one distance are
accepted together.
"""

from collections.abc import Sequence

import numpy as np
from keras import ops

from keras_metric.metrics import rates

__all__ = ["best_threshold", "equal_error_rate", "roc_auc", "tar_at_far", "verification"]


def verification(
    distances, same, *, far: Sequence[float] = (0.1, 0.01, 0.001), weights=None
) -> dict[str, float]:
    """All verification measures of pairs: distances (M,) and `same` (M,), 1 = of one class.

        roc_auc   eer  eer_threshold   tar@FAR for each FAR   accuracy  threshold

    `accuracy` is the best of any threshold, reached by `distances <= threshold`. On other pairs it
    is usually lower.

    Raises:
        ValueError: not one distance and one 0 or 1 for each pair, or only one kind of pair.
    """
    return report(*steps(distances, same, weights), far)


def roc_auc(distances, same, *, weights=None) -> float:
    """P(a same pair is nearer than a different one) + half P(equally near)."""
    return float(rates.area(*steps(distances, same, weights)[1:], np))


def equal_error_rate(distances, same, *, weights=None) -> float:
    """FAR at the threshold where FAR = 1 - TAR, interpolated linearly between two thresholds."""
    return _equal_error(steps(distances, same, weights)[1:])[0]


def tar_at_far(distances, same, *, far: float = 1e-3, weights=None) -> float:
    """Largest TAR of a threshold whose FAR is at most `far`, without interpolation."""
    return _true_accept(steps(distances, same, weights)[1:], far)


def best_threshold(distances, same, *, weights=None) -> tuple[float, float]:
    """(threshold, accuracy) of the threshold that classifies most pairs correctly."""
    values, *counts = steps(distances, same, weights)
    accuracy = rates.accuracies(*counts, np)
    best = int(accuracy.argmax())
    return threshold_after(values, best), float(accuracy[best])


def report(values, same, different, far: Sequence[float]) -> dict[str, float]:
    """All measures, from the numbers of pairs at each of the ascending distances `values`."""
    counts = same, different
    accuracy = rates.accuracies(*counts, np)
    best = int(accuracy.argmax())
    error, step = _equal_error(counts)
    return {
        "roc_auc": float(rates.area(*counts, np)),
        "eer": error,
        "eer_threshold": float(values[step - 1]),
        **{f"tar@{f:g}": _true_accept(counts, f) for f in far},
        "accuracy": float(accuracy[best]),
        "threshold": threshold_after(values, best),
    }


def steps(distances, same, weights=None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Distinct distances in ascending order, and the numbers of same and different pairs."""
    distances = np.asarray(ops.convert_to_numpy(distances))
    if distances.dtype.kind != "f":
        distances = distances.astype(np.float64)
    same = np.asarray(ops.convert_to_numpy(same))
    weights = np.ones(len(distances)) if weights is None else np.asarray(weights, np.float64)
    if distances.ndim != 1 or not distances.shape == same.shape == weights.shape:
        raise ValueError(
            "Pairs are incomplete. Expected: distances, same and weights of one shape (M,). "
            f"Received: {distances.shape}, {same.shape}, {weights.shape}."
        )
    kinds = set(np.unique(same).tolist())
    if kinds - {0, 1} or np.isnan(distances).any():
        raise ValueError(
            "The pairs are invalid. Expected: `same` to be 0 or 1 and distances to be numbers. "
            f"Received: same in {sorted(kinds)[:5]}, {int(np.isnan(distances).sum())} NaN."
        )
    if len(kinds) < 2:
        raise ValueError(
            "All pairs are of one kind. Expected: pairs of one class and pairs of two. "
            f"Received: {len(same)} pairs, all of one kind."
        )
    values, place = np.unique(distances, return_inverse=True)
    one, two = (np.bincount(place, weights * (same == kind), len(values)) for kind in (1, 0))
    return values, one, two


def _equal_error(counts) -> tuple[float, int]:
    error, step = rates.equal_error(*counts, np)
    return float(error), int(step)


def _true_accept(counts, far: float) -> float:
    if not 0 <= far <= 1:
        raise ValueError(f"far is out of range. Expected: a number from 0 to 1. Received: {far!r}.")
    return float(rates.true_accept_at(*counts, far, np))


def threshold_after(values: np.ndarray, step: int) -> float:
    """A threshold that accepts the `step` least of the ascending values and no more.

    It is a number of the same type, so that comparisons with it are exact: halfway to the next
    value, or the last accepted one if there is no number in between.
    """
    if step == 0:
        return float(np.nextafter(values[0], values.dtype.type(-np.inf)))
    last = values[step - 1]
    if step == len(values):
        return float(last)
    middle = last / 2 + values[step] / 2
    return float(middle if last <= middle < values[step] else last)
