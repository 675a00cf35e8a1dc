from math import exp, log

import numpy as np
import pytest

from keras_metric import losses

MARGIN = 0.3


def mean(values):
    values = list(values)
    return sum(values) / len(values) if values else 0.0


def hinge(gap):
    return max(0, gap + MARGIN)


def softplus(gap):
    return log(1 + exp(gap))


def semi_hard(D, i, P, N, violation=hinge):
    def negative(p):
        beyond = [D[i, n] for n in N if D[i, n] > D[i, p]]
        return min(beyond) if beyond else max(D[i, n] for n in N)

    return mean(violation(D[i, p] - negative(p)) for p in P)


def hard(D, i, P, N, violation=hinge):
    return violation(max(D[i, p] for p in P) - min(D[i, n] for n in N))


def hardest_semi_hard(D, i, P, N, violation=hinge):
    return semi_hard(D, i, [max(P, key=lambda p: D[i, p])], N, violation)


def easy_positive(D, i, P, N, violation=hinge):
    return violation(min(D[i, p] for p in P) - min(D[i, n] for n in N))


def every(D, i, P, N):
    hinges = [hinge(D[i, p] - D[i, n]) for p in P for n in N]
    return mean(value for value in hinges if value > 0)


FORMULAS = {
    "semi_hard": semi_hard,
    "hardest_semi_hard": hardest_semi_hard,
    "hard": hard,
    "easy_positive": easy_positive,
    "all": every,
}


@pytest.mark.diagonal
@pytest.mark.parametrize("distance", ["euclidean", "squared_euclidean", "cosine"])
@pytest.mark.parametrize("mining", FORMULAS)
def test_equals_loops(mining, distance, labels, embeddings, loops):
    loss = losses.TripletLoss(MARGIN, mining, distance=distance)
    expected = loops(FORMULAS[mining], "both", distance)
    np.testing.assert_allclose(float(loss(labels, embeddings)), expected, rtol=1e-5)


@pytest.mark.parametrize("mining", [name for name in FORMULAS if name != "all"])
def test_soft_margin_equals_loops(mining, labels, embeddings, loops):
    def soft(*row):
        return FORMULAS[mining](*row, violation=softplus)

    loss = losses.TripletLoss(MARGIN, mining, soft=True)
    expected = loops(soft, "both", "euclidean")
    np.testing.assert_allclose(float(loss(labels, embeddings)), expected, rtol=1e-5)


@pytest.mark.diagonal
@pytest.mark.parametrize("rows", [None, 5])
@pytest.mark.parametrize("mining", ["hard", "easy_positive"])
def test_swap_equals_loops(mining, rows, labels, embeddings, loops):
    def swapped(D, i, P, N):
        p = (max if mining == "hard" else min)(P, key=lambda j: D[i, j])
        return hinge(D[i, p] - min(min(D[i, n], D[p, n]) for n in N))

    loss = losses.TripletLoss(MARGIN, mining, swap=True, rows_per_block=rows)
    plain = losses.TripletLoss(MARGIN, mining)
    expected = loops(swapped, "both", "euclidean")
    np.testing.assert_allclose(float(loss(labels, embeddings)), expected, rtol=1e-5)
    assert float(loss(labels, embeddings)) > float(plain(labels, embeddings))


def test_semi_hard_is_strict_among_equal_distances():
    """d(a, p) = 1 and negatives at 1 and 2: the one at 1 is not farther than the positive."""
    x = np.array([[0, 0], [1, 0], [0, 1], [0, 2]], "float32")
    value = losses.TripletLoss(0.5, reduction=None)(np.array([0, 0, 1, 2]), x)[0]
    assert float(value) == 0.0
    value = losses.TripletLoss(1.5, reduction=None)(np.array([0, 0, 1, 2]), x)[0]
    np.testing.assert_allclose(float(value), 0.5, rtol=1e-6)


def test_many_positives_an_anchor(rng):
    """Two classes of 30: every anchor has 29 positives."""
    x, labels = rng.normal(size=(60, 3)).astype("float32"), np.arange(60) % 2
    distances = np.linalg.norm(x[:, None].astype("float64") - x[None], axis=-1)
    rows = []
    for i in range(60):
        positives = [j for j in range(60) if j != i and labels[i] == labels[j]]
        negatives = [j for j in range(60) if labels[i] != labels[j]]
        rows.append(semi_hard(distances, i, positives, negatives))
    value = float(losses.TripletLoss(MARGIN)(labels, x))
    np.testing.assert_allclose(value, mean(rows), rtol=1e-5)


def test_balanced_batches_give_the_mean_over_positive_pairs(rng):
    """With as many samples in each class no anchor weighs more: TensorFlow Addons' value."""
    x, labels = rng.normal(size=(24, 5)).astype("float32"), np.repeat(np.arange(6), 4)
    distances = np.linalg.norm(x[:, None].astype("float64") - x[None], axis=-1)
    pairs = []
    for i in range(24):
        negatives = [j for j in range(24) if labels[i] != labels[j]]
        for p in range(24):
            if p != i and labels[i] == labels[p]:
                pairs.append(semi_hard(distances, i, [p], negatives))
    value = float(losses.TripletLoss(MARGIN)(labels, x))
    np.testing.assert_allclose(value, mean(pairs), rtol=1e-5)


def test_soft_margin_survives_any_scale():
    x = 1000 * np.eye(4, dtype="float32")
    assert np.isfinite(float(losses.TripletLoss(soft=True)(np.array([0, 0, 1, 1]), x)))


def test_refuses_what_it_does_not_know():
    with pytest.raises(ValueError, match="Expected: one of semi_hard, hard"):
        losses.TripletLoss(mining="semihard")
    with pytest.raises(ValueError, match="swap chooses"):
        losses.TripletLoss(swap=True)
    with pytest.raises(ValueError, match="cube"):
        losses.TripletLoss(mining="all", soft=True)
