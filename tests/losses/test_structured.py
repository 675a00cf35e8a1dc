from math import acos, cos, exp, log, radians, tan

import numpy as np
import pytest

from keras_metric import losses


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def lifted(D, i, P, N, margin=0.6):
    """The negatives of a positive are those of the anchor."""

    def joined(p):
        both = sum(exp(margin - D[i, n]) + exp(margin - D[p, n]) for n in N)
        return log(both) + D[i, p]

    return mean(max(0, joined(p)) ** 2 for p in P) / 2


def generalized_lifted(D, i, P, N, margin=0.6):
    near = log(sum(exp(margin - D[i, n]) for n in N))
    return max(0, log(sum(exp(D[i, p]) for p in P)) + near)


def angular(D, i, P, N):
    s, t = 1 - D, tan(radians(35)) ** 2

    def around(p):
        return sum(exp(4 * t * (s[i, n] + s[p, n]) - 2 * (1 + t) * s[i, p]) for n in N)

    return mean(log(1 + around(p)) for p in P)


def tuplet_margin(D, i, P, N, scale=8.0):
    def around(p):
        relaxed = cos(acos(1 - D[i, p]) - radians(10))
        return sum(exp(scale * (1 - D[i, n] - relaxed)) for n in N)

    return mean(log(1 + around(p)) for p in P)


CASES = [
    (losses.LiftedStructureLoss(0.6), lifted, "euclidean"),
    (losses.GeneralizedLiftedStructureLoss(0.6), generalized_lifted, "euclidean"),
    (losses.AngularLoss(35.0), angular, "cosine"),
    (losses.TupletMarginLoss(10.0, 8.0), tuplet_margin, "cosine"),
]


@pytest.mark.parametrize(
    ("loss", "formula", "distance"), CASES, ids=[case[1].__name__ for case in CASES]
)
def test_equals_loops(loss, formula, distance, labels, embeddings, loops):
    value = float(loss(labels, embeddings))
    np.testing.assert_allclose(value, loops(formula, "both", distance), rtol=1e-5)


def test_quadruplet_equals_loops(labels, embeddings, loops):
    def quadruplet(D, i, P, N):
        far, everyone = max(D[i, p] for p in P), range(len(D))
        strangers = min(D[n, m] for n in N for m in everyone if labels[m] != labels[n])
        return max(0, far - min(D[i, n] for n in N) + 0.3) + max(0, far - strangers + 0.1)

    value = float(losses.QuadrupletLoss(0.3, 0.1)(labels, embeddings))
    np.testing.assert_allclose(value, loops(quadruplet, "both", "euclidean"), rtol=1e-5)


def test_angular_refuses_other_distances_and_angles():
    with pytest.raises(ValueError, match="Expected: distance='cosine'"):
        losses.AngularLoss(distance="euclidean")
    with pytest.raises(ValueError, match="Expected: a finite number above 0 to 60"):
        losses.AngularLoss(angle=80)
