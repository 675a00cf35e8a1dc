from math import exp

import numpy as np
import pytest

from keras_metric import losses


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def histogram(values, bins, largest):
    counts, width = np.zeros(bins + 1), largest / bins
    for value in values:
        for k in range(bins + 1):
            counts[k] += max(0, 1 - abs(value - k * width) / width)
    return counts


def fast_ap(D, i, P, N, bins=7, largest=2.0):
    near = histogram(D[i, P], bins, largest)
    everyone = near + histogram(D[i, N], bins, largest)
    total = 0.0
    for k in range(bins + 1):
        before = sum(everyone[: k + 1])
        total += near[k] * sum(near[: k + 1]) / before if before > 0 else 0
    return 1 - total / len(P)


def histograms(D, i, P, N, bins=7, largest=2.0):
    near = histogram(D[i, P], bins, largest) / len(P)
    far = histogram(D[i, N], bins, largest) / len(N)
    return sum(far[k] * (1 - sum(near[:k])) for k in range(bins + 1))


def before(D, i, j, others, temperature):
    return sum(1 / (1 + exp((D[i, k] - D[i, j]) / temperature)) for k in others if k != j)


def smooth_ap(D, i, P, N, temperature=0.1):
    def precision(p):
        relevant = 1 + before(D, i, p, P, temperature)
        return relevant / (relevant + before(D, i, p, N, temperature))

    return 1 - mean(precision(p) for p in P)


def pnp(D, i, P, N, temperature=0.1, alpha=1.5):
    return mean(1 - (1 + before(D, i, p, N, temperature)) ** -alpha for p in P)


CASES = [
    (losses.FastAPLoss(7), fast_ap),
    (losses.HistogramLoss(7), histograms),
    (losses.SmoothAPLoss(0.1), smooth_ap),
    (losses.PNPLoss(1.5, 0.1), pnp),
]


@pytest.mark.parametrize(("loss", "formula"), CASES, ids=[case[1].__name__ for case in CASES])
def test_equals_loops(loss, formula, labels, embeddings, loops):
    value = float(loss(labels, embeddings))
    np.testing.assert_allclose(value, loops(formula, "both", "cosine"), rtol=1e-4)


def test_a_perfect_ranking_costs_nothing():
    angles = np.array([0.0, 0.05, 1.5, 1.55, 3.0, 3.05])
    x = np.stack([np.cos(angles), np.sin(angles)], 1).astype("float32")
    for loss in (losses.FastAPLoss(), losses.SmoothAPLoss(), losses.PNPLoss()):
        assert float(loss(np.array([0, 0, 1, 1, 2, 2]), x)) < 1e-3
