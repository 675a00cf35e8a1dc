"""Bootstrap confidence intervals over identities.

Queries of one identity are not independent, so identities are resampled, not queries.
"""

from collections.abc import Callable

import numpy as np

__all__ = ["bootstrap", "bootstrap_mean"]


def bootstrap_mean(
    values, identities, *, confidence: float = 0.95, resamples: int = 1000, seed: int = 0
) -> tuple[float, float]:
    """Percentile interval of the mean of `values` (Q,) without NaN; identities (Q,) are resampled.

    Each resample draws as many identities as there are, with replacement, and takes the mean over
    all their values. Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    values, identities = np.asarray(values, np.float64), np.asarray(identities)
    _check(values, identities, confidence, resamples)
    known = ~np.isnan(values)
    _, groups = np.unique(identities[known], return_inverse=True)
    sums, counts = np.bincount(groups, values[known]), np.bincount(groups)
    times = draws(len(counts), resamples, seed)
    means = [(draw @ sums) / (draw @ counts) for draw in times]
    return percentiles(means, confidence)


def bootstrap(
    statistic: Callable,
    identities,
    *,
    confidence: float = 0.95,
    resamples: int = 1000,
    seed: int = 0,
) -> tuple[float, float]:
    """Percentile interval of any statistic of weighted samples; identities are resampled.

    statistic: weights (M,) -> float; a weight is how often a sample was drawn.
    identities: (M,), or (M, 2) for pairs: a pair is drawn as often as its two identities together
    (the product of their counts). A resample without a defined value (NaN) is excluded.
    """
    identities = np.asarray(identities)
    _check(identities, identities, confidence, resamples)
    names, groups = np.unique(identities, return_inverse=True)
    groups = groups.reshape(identities.shape)
    drawn = []
    for times in draws(len(names), resamples, seed):
        weights = times[groups]
        drawn.append(statistic(weights if weights.ndim == 1 else weights.prod(axis=1)))
    return percentiles(drawn, confidence)


def draws(count: int, resamples: int, seed: int):
    """How often each identity was drawn, resample after resample."""
    rng = np.random.default_rng(seed)
    for _ in range(resamples):
        yield np.bincount(rng.integers(count, size=count), minlength=count)


def percentiles(values, confidence: float) -> tuple[float, float]:
    """The middle `confidence` of resampled values, NaN left out; NaN if all are."""
    outside = (1 - confidence) / 2
    if np.isnan(values).all():
        return float("nan"), float("nan")
    low, high = np.nanquantile(values, [outside, 1 - outside])
    return float(low), float(high)


def _check(values, identities, confidence: float, resamples: int) -> None:
    if len(values) != len(identities) or not len(values):
        raise ValueError(
            "Values and identities must pair up. Expected: one identity a value. "
            f"Received: {len(values)} values and {len(identities)} identities."
        )
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError(
            "The interval is not defined. Expected: 0 < confidence < 1 and resamples from 1 on. "
            f"Received: confidence={confidence!r}, resamples={resamples!r}."
        )
