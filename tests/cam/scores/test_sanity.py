"""The sanity check: weights are shuffled, nothing else; maps are compared."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_metric.cam import CAM
from keras_metric.cam.scores import correlation, shuffled


def classifier():
    x = keras.Input((12, 10, 3))
    h = layers.BatchNormalization()(layers.Conv2D(6, 3, activation="relu", strides=2)(x))
    return keras.Model(x, layers.Dense(4)(layers.GlobalAveragePooling2D()(h)))


def test_a_shuffled_copy_has_the_values_and_leaves_the_model_alone(rng):
    model = classifier()
    for weight in model.weights:
        weight.assign(rng.uniform(0.5, 1.5, weight.shape))
    before = model.get_weights()
    copy = shuffled(model, seed=3)
    for old, kept, new in zip(before, model.get_weights(), copy.get_weights(), strict=True):
        np.testing.assert_array_equal(old, kept)
        np.testing.assert_array_equal(np.sort(old, axis=None), np.sort(new, axis=None))
    assert np.abs(before[0] - copy.get_weights()[0]).max() > 0.1
    for a, b in zip(copy.get_weights(), shuffled(model, seed=3).get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_maps_of_shuffled_weights_differ(rng):
    model = classifier()
    images = rng.normal(size=(4, 12, 10, 3)).astype("float32")
    options = {"relu": False, "normalize": "none"}
    maps, others = (CAM(m, **options)(images, 1) for m in (model, shuffled(model)))
    assert ops.convert_to_numpy(maps).shape == others.shape
    assert np.abs(correlation(maps, others)).max() < 0.95
    np.testing.assert_allclose(correlation(maps, maps), 1)


def test_correlation_equals_numpy(rng):
    a, b = rng.normal(size=(2, 3, 5, 4))
    expected = [np.corrcoef(x.ravel(), y.ravel())[0, 1] for x, y in zip(a, b, strict=True)]
    np.testing.assert_allclose(correlation(a, b), expected)
    np.testing.assert_allclose(correlation(a, 3 - 2 * b), -np.array(expected))


def test_a_constant_map_tells_nothing(rng):
    b = rng.random((2, 5, 4))
    np.testing.assert_array_equal(correlation(np.full_like(b, 0.1), b), 0)
    with pytest.raises(ValueError, match=r"Received: \(2, 5, 4\) and \(2, 4, 4\)"):
        correlation(b, b[:, 1:])
