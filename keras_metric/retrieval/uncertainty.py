"""How far the rates of a threshold would move with other identities.

Identities are redrawn with replacement, never pairs: pairs that share somebody are not independent.
A pair of two identities counts as often as both were drawn (the product), a pair of one identity as
often as it was drawn; two draws of one identity are no pair of two. That is the subsets bootstrap
of Bolle, Ratha, Pankanti, "Error analysis of pattern recognition systems: the subsets bootstrap",
Computer Vision and Image Understanding 93, 2004, in its form over persons.
"""

import numpy as np

from keras_metric.metrics.intervals import draws, percentiles


def intervals(
    accepted: np.ndarray,
    same: np.ndarray,
    identities,
    confidence: float,
    resamples: int,
    seed: int,
) -> tuple[int, dict[str, tuple[float, float]]]:
    """How many identities there are, and the percentile interval of each rate.

    accepted, same: (M,) of 0 and 1. identities: (M, 2).

    Raises:
        ValueError: identities that do not pair up with the rest, or contradict it.
    """
    identities = np.asarray(identities)
    _check(same, identities, confidence, resamples)
    names, numbers = np.unique(identities, return_inverse=True)
    numbers, size = numbers.reshape(identities.shape), len(names)
    place = numbers[:, 0] * size + numbers[:, 1]
    pairs = [
        np.bincount(place[kind], accepted[kind] if only else None, size**2).reshape(size, size)
        for kind in (same == 0, same == 1)
        for only in (True, False)
    ]
    times = np.stack(list(draws(size, resamples, seed))).astype(np.float64)
    wrong, different = (((times @ x) * times).sum(axis=1) for x in pairs[:2])
    right, alike = (times @ np.diag(x) for x in pairs[2:])
    with np.errstate(invalid="ignore", divide="ignore"):
        drawn = {
            "far": wrong / different,
            "recall": right / alike,
            "precision": right / (right + wrong),
            "f1": 2 * right / (right + wrong + alike),
        }
    return size, {name: percentiles(values, confidence) for name, values in drawn.items()}


def _check(same, identities, confidence: float, resamples: int) -> None:
    agree = identities.shape == (len(same), 2)
    if agree:
        agree = np.array_equal(identities[:, 0] == identities[:, 1], same == 1)
    if not agree:
        raise ValueError(
            f"The identities do not fit the pairs. Expected shape ({len(same)}, 2), two equal ones "
            "where `same` is 1 and two different ones where it is 0. "
            f"Received: shape {identities.shape}."
        )
    if not 0 < confidence < 1 or resamples < 1:
        raise ValueError(
            "The interval is not defined. Expected 0 < confidence < 1 and resamples from 1 on. "
            f"Received: confidence={confidence!r}, resamples={resamples!r}."
        )
