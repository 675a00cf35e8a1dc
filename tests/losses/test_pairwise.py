from math import exp, log

import numpy as np
import pytest

from keras_metric import losses


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else 0.0


def hinge(x):
    return max(0.0, x)


def contrastive(D, i, P, N):
    pulled = mean(hinge(D[i, p] - 0.3) ** 2 for p in P)
    return pulled + mean(hinge(0.9 - D[i, n]) ** 2 for n in N)


def linear_contrastive(D, i, P, N):
    return mean(hinge(D[i, p] - 0.3) for p in P) + mean(hinge(0.9 - D[i, n]) for n in N)


def margin(D, i, P, N):
    hinges = [hinge(D[i, p] - 1.0 + 0.4) for p in P] + [hinge(1.0 - D[i, n] + 0.4) for n in N]
    return mean(value for value in hinges if value > 0)


def multi_similarity(D, i, P, N, alpha=3.0, beta=20.0, base=0.4):
    pull = log(1 + sum(exp(-alpha * (1 - D[i, p] - base)) for p in P)) / alpha
    return pull + log(1 + sum(exp(beta * (1 - D[i, n] - base)) for n in N)) / beta


def circle(D, i, P, N, m=0.3, gamma=9.0):
    s = 1 - D[i]
    near = sum(exp(gamma * hinge(s[n] + m) * (s[n] - m)) for n in N)
    return log(1 + near * sum(exp(-gamma * hinge(1 + m - s[p]) * (s[p] - 1 + m)) for p in P))


def ranked_list(D, i, P, N, m=0.5, boundary=1.3, temperature=4.0, balance=0.3):
    pull = [hinge(D[i, p] - boundary + m) for p in P if D[i, p] > boundary - m]
    active = [n for n in N if D[i, n] < boundary]
    weights = [exp(temperature * (boundary - D[i, n])) for n in active]
    push = sum(w * (boundary - D[i, n]) for w, n in zip(weights, active, strict=True))
    return (1 - balance) * mean(pull) + balance * (push / sum(weights) if active else 0)


def intra_pair_variance(D, i, P, N, epsilon=0.1):
    s = 1 - D[i]
    low, high = (1 - epsilon) * mean(s[P]), (1 + epsilon) * mean(s[N])
    return mean(hinge(low - s[p]) ** 2 for p in P) + mean(hinge(s[n] - high) ** 2 for n in N)


RANKED_LIST = losses.RankedListLoss(0.5, 1.3, temperature=4.0, balance=0.3)
CASES = [
    (losses.PairwiseContrastiveLoss(0.9, 0.3), contrastive, "any", "euclidean"),
    (losses.PairwiseContrastiveLoss(0.9, 0.3, squared=False), linear_contrastive, "any", "cosine"),
    (losses.MarginLoss(0.4, 1.0), margin, "any", "euclidean"),
    (losses.MultiSimilarityLoss(3.0, 20.0, base=0.4), multi_similarity, "any", "cosine"),
    (losses.CircleLoss(0.3, 9.0), circle, "both", "cosine"),
    (RANKED_LIST, ranked_list, "any", "euclidean"),
    (losses.IntraPairVarianceLoss(0.1), intra_pair_variance, "any", "cosine"),
]


@pytest.mark.parametrize(
    ("loss", "formula", "needs", "distance"), CASES, ids=[case[1].__name__ for case in CASES]
)
def test_equals_loops(loss, formula, needs, distance, labels, embeddings, loops):
    config = {**loss.get_config(), "distance": distance}
    value = float(type(loss).from_config(config)(labels, embeddings))
    np.testing.assert_allclose(value, loops(formula, needs, distance), rtol=1e-5)
