from math import exp, log

import numpy as np
import pytest

from keras_metric import losses


def mean(values):
    values = list(values)
    return sum(values) / len(values)


def info_nce(D, i, P, N, t=0.2):
    others = sum(exp(-D[i, n] / t) for n in N)
    return mean(-log(exp(-D[i, p] / t) / (exp(-D[i, p] / t) + others)) for p in P)


def n_pairs(D, i, P, N):
    return mean(log(1 + sum(exp(D[i, p] - D[i, n]) for n in N)) for p in P)


def sup_con(D, i, P, N, t=0.2):
    everyone = sum(exp(-D[i, j] / t) for j in P + N)
    return mean(-log(exp(-D[i, p] / t) / everyone) for p in P)


def nca(D, i, P, N, t=0.7):
    near = sum(exp(-D[i, p] / t) for p in P)
    return -log(near / (near + sum(exp(-D[i, n] / t) for n in N)))


CASES = [
    (losses.InfoNCELoss(0.2), info_nce, "both", "cosine"),
    (losses.InfoNCELoss(0.2, distance="euclidean"), info_nce, "both", "euclidean"),
    (losses.NPairsLoss(), n_pairs, "both", "negative_dot"),
    (losses.SupConLoss(0.2), sup_con, "positive", "cosine"),
    (losses.NCALoss(0.7), nca, "positive", "squared_euclidean"),
]


@pytest.mark.parametrize(("loss", "formula", "needs", "distance"), CASES)
def test_equals_loops(loss, formula, needs, distance, labels, embeddings, loops):
    value = float(loss(labels, embeddings))
    np.testing.assert_allclose(value, loops(formula, needs, distance), rtol=1e-5)
