"""Bootstrap intervals redraw identities, not queries."""

import numpy as np
import pytest

from keras_metric import metrics


def test_bootstrap_mean_equals_redrawing_identities_by_hand(rng):
    identities = rng.integers(6, size=40)
    values = rng.normal(size=40) + identities
    values[3] = np.nan
    draws = np.random.default_rng(5)
    means = []
    for _ in range(50):
        drawn = draws.integers(6, size=6)
        pooled = np.concatenate([values[identities == name] for name in drawn])
        means.append(np.nanmean(pooled))
    low, high = metrics.bootstrap_mean(values, identities, confidence=0.8, resamples=50, seed=5)
    np.testing.assert_allclose([low, high], np.quantile(means, [0.1, 0.9]), rtol=1e-12)


def test_bootstrap_of_a_weighted_mean_is_bootstrap_mean(rng):
    identities, values = rng.integers(9, size=50), rng.normal(size=50)

    def mean(weights):
        return np.average(values, weights=weights)

    found = metrics.bootstrap(mean, identities, resamples=80, seed=2)
    expected = metrics.bootstrap_mean(values, identities, resamples=80, seed=2)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_pairs_are_drawn_as_often_as_both_their_identities(rng):
    both = np.array([[0, 1], [1, 2], [2, 2]])
    seen = []
    metrics.bootstrap(lambda w: seen.append(w) or 0.0, both, resamples=20, seed=1)
    draws = np.random.default_rng(1)
    for weights in seen:
        times = np.bincount(draws.integers(3, size=3), minlength=3)
        assert weights.tolist() == [times[0] * times[1], times[1] * times[2], times[2] ** 2]


def test_verification_has_an_interval(rng):
    first, second = rng.integers(30, size=(2, 400))
    same = (first == second).astype(int)
    distances = rng.normal(size=400) + 2 * (1 - same)
    low, high = metrics.bootstrap(
        lambda weights: metrics.roc_auc(distances, same, weights=weights),
        np.stack([first, second], axis=1),
        resamples=200,
    )
    assert low < metrics.roc_auc(distances, same) < high
    assert 0 < high - low < 0.5


def test_interval_of_a_retrieval_score_is_wider_over_identities_than_over_queries(rng):
    labels = np.repeat(np.arange(12), 10)
    embeddings = rng.normal(size=(12, 4))[labels] + rng.normal(size=(120, 4))
    scores = metrics.retrieval(embeddings, labels, k=1)
    low, high = scores.interval("recall@1")
    assert low < scores["recall@1"] < high
    naive = metrics.bootstrap_mean(scores.per_query["recall@1"], np.arange(120))
    assert high - low > naive[1] - naive[0]
    assert scores.interval("recall@1", seed=0) == (low, high)
    narrow = scores.interval("recall@1", confidence=0.5)
    assert low < narrow[0] < narrow[1] < high


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"confidence": 95}, "confidence=95"),
        ({"resamples": 0}, "resamples=0"),
    ],
)
def test_refuses(options, words):
    with pytest.raises(ValueError, match=f"not defined. Expected.*Received: .*{words}"):
        metrics.bootstrap_mean([1.0, 2.0], [0, 1], **options)


def test_refuses_values_without_identities():
    with pytest.raises(ValueError, match="Received: 2 values and 1 identities"):
        metrics.bootstrap_mean([1.0, 2.0], [0])
