import json

import keras
import numpy as np
import pytest

from keras_metric import diagnostics, losses

LABELS = np.array([0, 1, 0, 1, 2, 0])


@pytest.fixture
def x(rng):
    return rng.normal(size=(6, 3)).astype("float32")


def loops(x, margin):
    """Share of active triplets, mean positive distance, mean negative distance."""
    D = np.linalg.norm(x[:, None].astype("float64") - x[None], axis=-1)
    active, near, far = [], [], []
    for i in range(len(x)):
        positives = [j for j in range(len(x)) if j != i and LABELS[i] == LABELS[j]]
        negatives = [j for j in range(len(x)) if LABELS[i] != LABELS[j]]
        active += [D[i, p] - D[i, n] + margin > 0 for p in positives for n in negatives]
        near += [D[i, p] for p in positives]
        far += [D[i, n] for n in negatives]
    return np.mean(active), np.mean(near), np.mean(far)


def test_equal_loops(x):
    metrics = [
        diagnostics.ActiveTriplets(0.7),
        diagnostics.MeanPositiveDistance(),
        diagnostics.MeanNegativeDistance(),
    ]
    for metric, expected in zip(metrics, loops(x, 0.7), strict=True):
        metric.update_state(LABELS, x)
        np.testing.assert_allclose(float(metric.result()), expected, rtol=1e-5)


def test_spread_is_0_when_collapsed_and_near_1_when_not(x):
    spread = diagnostics.EmbeddingSpread()
    spread.update_state(LABELS, np.tile(x[:1], (6, 1)) * np.arange(1, 7)[:, None])
    np.testing.assert_allclose(float(spread.result()), 0, atol=1e-6)
    spread.reset_state()
    spread.update_state(LABELS, np.concatenate([x, -x]))
    np.testing.assert_allclose(float(spread.result()), 1, atol=1e-6)


def test_batches_without_pairs_weigh_nothing(x):
    metric = diagnostics.MeanPositiveDistance()
    metric.update_state(np.arange(6), x)
    assert float(metric.result()) == 0
    metric.update_state(LABELS, x)
    np.testing.assert_allclose(float(metric.result()), loops(x, 0)[1], rtol=1e-5)


@pytest.mark.parametrize("name", diagnostics.__all__)
def test_watched_in_fit_and_saved_by_value(name, x):
    metric = getattr(diagnostics, name)(name="watched")
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
    model.compile("sgd", losses.TripletLoss(), metrics=[metric])
    history = model.fit(x, LABELS + 2**30, batch_size=6, verbose=0).history
    assert np.isfinite(history["watched"][0])
    saved = json.loads(json.dumps(keras.saving.serialize_keras_object(metric)))
    assert keras.saving.deserialize_keras_object(saved).get_config() == metric.get_config()
