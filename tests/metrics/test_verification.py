"""Verification measures: plain loops, scikit-learn, ties, weights and thresholds that work."""

import numpy as np
import pytest

from keras_metric import metrics


def pairs(rng, size=200, ties=True):
    same = rng.integers(2, size=size)
    distances = rng.normal(size=size) + 1.2 * (1 - same)
    return (distances.round(1) if ties else distances), same


def rates(distances, same):
    """(threshold, FAR, TAR) in growing order, by counting."""
    rows = [(-np.inf, 0.0, 0.0)]
    for threshold in sorted(set(distances)):
        accepted = [bool(d <= threshold) for d in distances]
        false = sum(a for a, s in zip(accepted, same, strict=True) if not s)
        true = sum(a for a, s in zip(accepted, same, strict=True) if s)
        rows.append((threshold, false / sum(1 - same), true / sum(same)))
    return rows


def test_roc_auc_is_the_chance_to_be_nearer(rng):
    distances, same = pairs(rng)
    near, far = distances[same == 1], distances[same == 0]
    wins = [(a < b) + (a == b) / 2 for a in near for b in far]
    assert metrics.roc_auc(distances, same) == pytest.approx(np.mean(wins), rel=1e-12)


def test_roc_auc_and_rates_agree_with_scikit_learn(rng):
    from sklearn.metrics import roc_auc_score, roc_curve

    distances, same = pairs(rng)
    assert metrics.roc_auc(distances, same) == pytest.approx(
        roc_auc_score(same, -distances), rel=1e-12
    )
    false, true, _ = roc_curve(same, -distances, drop_intermediate=False)
    for far in (0, 0.01, 0.1, 0.5, 1):
        assert metrics.tar_at_far(distances, same, far=far) == true[false <= far].max()
    crossing = np.linspace(0, 1, 200_001)
    gap = np.abs(np.interp(crossing, false, true) + crossing - 1)
    eer = metrics.equal_error_rate(distances, same)
    assert eer == pytest.approx(crossing[gap.argmin()], abs=1e-5)


def test_equal_error_rate_by_counting(rng):
    distances, same = pairs(rng)
    rows = rates(distances, same)
    for (_, f0, t0), (_, f1, t1) in zip(rows[:-1], rows[1:], strict=True):
        if f1 >= 1 - t1:
            share = (1 - t0 - f0) / ((f1 - f0) + (t1 - t0))
            expected = f0 + share * (f1 - f0)
            break
    assert metrics.equal_error_rate(distances, same) == pytest.approx(expected, rel=1e-12)


def test_tar_at_far_by_counting(rng):
    distances, same = pairs(rng)
    for far in (0, 0.03, 0.2):
        expected = max(t for _, f, t in rates(distances, same) if f <= far)
        assert metrics.tar_at_far(distances, same, far=far) == expected


def test_the_best_threshold_reaches_its_accuracy(rng):
    distances, same = pairs(rng)
    threshold, accuracy = metrics.best_threshold(distances, same)
    assert np.mean((distances <= threshold) == same) == pytest.approx(accuracy, rel=1e-12)
    for other in [*np.unique(distances), -9]:
        assert np.mean((distances <= other) == same) <= accuracy + 1e-12


@pytest.mark.parametrize(
    ("distances", "same", "accuracy"),
    [([1, 2, 3], [1, 1, 0], 1), ([1, 2, 3], [0, 0, 1], 2 / 3), ([1, 2, 3], [0, 1, 1], 2 / 3)],
)
def test_thresholds_at_the_ends(distances, same, accuracy):
    threshold, found = metrics.best_threshold(np.array(distances, float), np.array(same))
    assert found == pytest.approx(accuracy)
    assert np.mean((np.array(distances) <= threshold) == same) == pytest.approx(accuracy)


def test_verification_gives_all_of_them(rng):
    distances, same = pairs(rng)
    found = metrics.verification(distances, same, far=(0.2, 0.001))
    threshold, accuracy = metrics.best_threshold(distances, same)
    assert found.pop("eer_threshold") in distances
    assert found == {
        "roc_auc": metrics.roc_auc(distances, same),
        "eer": metrics.equal_error_rate(distances, same),
        "tar@0.2": metrics.tar_at_far(distances, same, far=0.2),
        "tar@0.001": metrics.tar_at_far(distances, same, far=0.001),
        "accuracy": accuracy,
        "threshold": threshold,
    }


def test_at_the_threshold_of_the_equal_error_rate_errors_are_about_equal(rng):
    distances, same = pairs(rng, 5000, ties=False)
    found = metrics.verification(distances, same)
    accepted = distances <= found["eer_threshold"]
    assert accepted[same == 0].mean() == pytest.approx(found["eer"], abs=2e-3)
    assert (~accepted[same == 1]).mean() == pytest.approx(found["eer"], abs=2e-3)


@pytest.mark.parametrize(
    "function",
    [
        metrics.roc_auc,
        metrics.equal_error_rate,
        lambda d, s, **o: metrics.tar_at_far(d, s, far=0.1, **o),
        lambda d, s, **o: metrics.best_threshold(d, s, **o)[1],
    ],
)
def test_weights_are_counts(function, rng):
    distances, same = pairs(rng)
    times = rng.integers(0, 4, len(same))
    repeated = function(np.repeat(distances, times), np.repeat(same, times))
    assert function(distances, same, weights=times) == pytest.approx(repeated, rel=1e-12)
    assert function(distances, same) != pytest.approx(repeated, rel=1e-12)


def test_apart_and_collapsed():
    same = np.array([1, 1, 0, 0])
    assert metrics.roc_auc([0.0, 1, 2, 3], same) == 1
    assert metrics.equal_error_rate([0.0, 1, 2, 3], same) == 0
    assert metrics.roc_auc(np.ones(4), same) == 0.5
    assert metrics.equal_error_rate(np.ones(4), same) == 0.5
    assert metrics.tar_at_far(np.ones(4), same, far=0.5) == 0


@pytest.mark.parametrize(
    ("distances", "same", "words"),
    [
        ([1.0, 2], [1, 1], "Expected: pairs of one class and pairs of two. Received: 2 pairs"),
        ([1.0, 2], [1, 0, 1], r"one shape \(M,\). Received: \(2,\), \(3,\)"),
        ([1.0, 2], [1, 2], r"to be 0 or 1.*Received: same in \[1, 2\]"),
        ([np.nan, 2], [1, 0], "1 NaN"),
    ],
)
def test_refuses(distances, same, words):
    with pytest.raises(ValueError, match=words):
        metrics.verification(np.array(distances), np.array(same))
