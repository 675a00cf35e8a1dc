"""Mean IU and pixel accuracy against loops over pixels."""

import keras
import numpy as np
import pytest

from keras_metric.convert import MeanIU, PixelAccuracy


def loops(truth, found, weights, classes):
    counted = truth != 255
    hits = [(w, t == f) for t, f, w in zip(truth[counted], found[counted], weights[counted])]  # noqa: B905
    accuracy = sum(w for w, hit in hits if hit) / sum(w for w, _ in hits)
    each = []
    for c in range(classes):
        both = (weights * ((truth == c) & (found == c) & counted)).sum()
        either = (weights * (((truth == c) | (found == c)) & counted)).sum()
        if either > 0:
            each.append(both / either)
    return np.mean(each), accuracy


@pytest.mark.parametrize("weighted", [False, True])
def test_equal_loops_over_two_batches(weighted, rng):
    metrics = MeanIU(4), PixelAccuracy(4)
    truths, founds, weights = [], [], []
    for _ in range(2):
        truth = rng.integers(0, 3, (2, 5, 6))
        truth[rng.random(truth.shape) < 0.2] = 255
        scores = rng.standard_normal((2, 5, 6, 4)) - 9 * (np.arange(4) == 3)
        weight = rng.random(truth.shape) if weighted else np.ones(truth.shape)
        for metric in metrics:
            metric.update_state(truth, scores, sample_weight=weight if weighted else None)
        truths.append(truth.ravel())
        founds.append(scores.argmax(-1).ravel())
        weights.append(weight.ravel())
    expected = loops(*map(np.concatenate, (truths, founds, weights)), 4)
    np.testing.assert_allclose([float(m.result()) for m in metrics], expected, rtol=1e-5)


def test_a_class_of_its_own_can_be_ignored():
    truth = np.array([[0, 1, 1, 2]])
    scores = np.eye(3)[[[1, 1, 2, 2]]]
    metrics = MeanIU(3, ignore=0), PixelAccuracy(3, ignore=0)
    for metric in metrics:
        metric.update_state(truth, scores)
    assert float(metrics[0].result()) == 0.5  # classes 1 and 2: one pixel of two each
    np.testing.assert_allclose(float(metrics[1].result()), 2 / 3)


def test_reset_config_and_errors():
    metric = MeanIU(3, ignore=None)
    metric.update_state(np.array([[2]]), np.array([[[0.0, 0.0, 1.0]]]))
    assert float(metric.result()) == 1
    metric.reset_state()
    assert float(metric.result()) == 0
    again = keras.metrics.deserialize(keras.metrics.serialize(metric))
    assert (again.classes, again.ignore) == (3, None)
    with pytest.raises(ValueError, match="Expected: the last axis to be 3"):
        metric.update_state(np.zeros((1, 2)), np.zeros((1, 2, 4)))
    with pytest.raises(ValueError, match="at least 2"):
        PixelAccuracy(1)
