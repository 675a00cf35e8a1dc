"""Verification as Keras metrics: equal to the exact functions where bins keep distances apart."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_metric import metrics

KINDS = {
    "auc": (metrics.ROCAUC, metrics.roc_auc, {}),
    "eer": (metrics.EqualErrorRate, metrics.equal_error_rate, {}),
    "tar": (metrics.TARAtFAR, metrics.tar_at_far, {"far": 0.1}),
    "accuracy": (metrics.BestThresholdAccuracy, lambda d, s: metrics.best_threshold(d, s)[1], {}),
}
EVERY = pytest.mark.parametrize(("kind", "function", "options"), KINDS.values(), ids=KINDS)


def stream(rng, size=300):
    """Distances that no bin of 4096 holds two different ones of, and ties."""
    same = rng.integers(2, size=size)
    centres = rng.integers(0, 2000, size) + 900 * (1 - same)
    share = (centres + 0.5) / 4096
    return (share / (1 - share)).astype("float32"), same


@EVERY
def test_equals_the_function_over_a_stream(kind, function, options, rng):
    distances, same = stream(rng)
    metric = kind(**options)
    for part in np.split(np.arange(len(same)), 3):
        metric.update_state(same[part], distances[part][:, None])
    expected = function(distances, same, **options)
    np.testing.assert_allclose(float(metric.result()), expected, rtol=1e-5)
    assert 0.05 < expected < 0.95
    metric.reset_state()
    assert float(metric.result()) == 0


@EVERY
def test_counts_all_pairs_of_labelled_embeddings(kind, function, options, rng):
    labels = rng.integers(4, size=30) + 2**31 - 5
    embeddings = rng.normal(size=(30, 6)).astype("float32")
    metric = kind(**options, bins=2**16)
    metric.update_state(labels, embeddings)
    first, second = np.triu_indices(30, 1)
    distances = np.linalg.norm(embeddings[first] - embeddings[second], axis=1)
    expected = function(distances, (labels[first] == labels[second]).astype(int), **options)
    np.testing.assert_allclose(float(metric.result()), expected, atol=3e-3)


@EVERY
def test_comes_back_from_its_config(kind, function, options, rng):
    distances, same = stream(rng)
    metric = kind(**options, bins=64, scale=0.3, name="mine")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    results = []
    for one in (metric, again, kind(**options)):
        one.update_state(same, distances)
        results.append(float(one.result()))
    assert results[0] == results[1] != results[2]
    assert again.name == "mine"


@EVERY
def test_weights_are_counts(kind, function, options, rng):
    distances, same = stream(rng, 60)
    times = rng.integers(0, 4, 60)
    weighted, repeated = kind(**options), kind(**options)
    weighted.update_state(same, distances, sample_weight=times)
    repeated.update_state(np.repeat(same, times), np.repeat(distances, times))
    np.testing.assert_allclose(float(weighted.result()), float(repeated.result()), rtol=1e-5)


def test_in_compile_after_a_net_of_distances(rng):
    distances, same = stream(rng)
    net = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    net.compile(loss="mse", metrics=[metrics.ROCAUC(), metrics.EqualErrorRate()])
    logs = net.evaluate(distances[:, None], same, batch_size=64, verbose=0, return_dict=True)
    assert logs["roc_auc"] == pytest.approx(metrics.roc_auc(distances, same), rel=1e-5)
    assert logs["eer"] == pytest.approx(metrics.equal_error_rate(distances, same), rel=1e-5)


@EVERY
def test_infinity_and_nan_count_as_far(kind, function, options):
    metric = kind(**options)
    metric.update_state(np.array([1, 1, 0, 0]), np.array([0.1, 0.2, np.inf, np.nan], "float32"))
    assert float(metric.result()) == (0 if kind is metrics.EqualErrorRate else 1)


def test_refuses_options():
    with pytest.raises(ValueError, match=r"Expected: an integer from 2 on. Received: bins=1"):
        metrics.ROCAUC(bins=1)
    with pytest.raises(ValueError, match=r"far is out of range.*Received: 2"):
        metrics.TARAtFAR(2)


def test_class_numbers_are_no_pairs():
    with pytest.raises(ValueError, match=r"Expected: 0 or 1.*Received: y with \[0, 1, 2, 3\]"):
        metrics.ROCAUC().update_state(np.arange(4), np.arange(4.0))
    metric = metrics.ROCAUC()
    metric.update_state(ops.convert_to_tensor(np.arange(4)), np.arange(4, dtype="float32"))
    assert np.isnan(float(metric.result()))
