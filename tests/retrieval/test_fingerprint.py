"""One fingerprint for one set of weights, wherever the model lies."""

import re

import keras
import numpy as np
import pytest
from keras import layers

from keras_metric.export import read_metadata, saved_model
from keras_metric.models import SiameseNet
from keras_metric.retrieval import fingerprint


def encoder(seed: int = 0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.RandomFlip(),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.Flatten(),
            layers.Dense(6),
            layers.Dropout(0.5),
        ]
    )


def test_the_same_weights_have_one_fingerprint(tmp_path):
    model = encoder()
    found = fingerprint(model)
    assert re.fullmatch(r"[0-9a-f]{64}", found)
    assert fingerprint(encoder()) == found, "names of layers do not count"
    model.save(tmp_path / "a.keras")
    assert fingerprint(keras.saving.load_model(tmp_path / "a.keras")) == found


def test_known_weights_have_a_known_fingerprint():
    model = keras.Sequential([keras.Input((3,)), layers.Dense(2)])
    model.set_weights([np.arange(6).reshape(3, 2), np.array([0.5, -1])])
    assert fingerprint(model) == "b7a278bbc479340291dd836b1b1d0e5cf3f97cdf30a85a3f818a139e5b52bc3b"


def test_random_generators_and_training_state_do_not_count():
    model = keras.Sequential([keras.Input((4,)), layers.Dropout(0.5), layers.Dense(2)])
    before = fingerprint(model)
    model(np.ones((2, 4)), training=True)
    model.compile("adam", loss="mse", metrics=["mae"])
    model.evaluate(np.ones((2, 4)), np.ones((2, 2)), verbose=0)
    assert fingerprint(model) == before


@pytest.mark.parametrize("index", [1, 2, 4])
def test_every_weight_counts(index):
    model = encoder()
    before = fingerprint(model)
    weights = model.layers[index].get_weights()
    weights[-1] = weights[-1] + 1e-3
    model.layers[index].set_weights(weights)
    assert fingerprint(model) != before


def test_shape_counts():
    wide = keras.Sequential([keras.Input((6,)), layers.Dense(2, use_bias=False)])
    high = keras.Sequential([keras.Input((2,)), layers.Dense(6, use_bias=False)])
    wide.set_weights([np.zeros((6, 2))])
    high.set_weights([np.zeros((2, 6))])
    assert fingerprint(wide) != fingerprint(high)


def test_a_siamese_network_has_that_of_its_encoder():
    model = encoder()
    assert fingerprint(SiameseNet(model)) == fingerprint(model)
    two = fingerprint(SiameseNet((model, encoder(1))))
    assert len({two, fingerprint(model), fingerprint(encoder(1))}) == 3


@pytest.mark.tensorflow
def test_a_saved_model_says_it(tmp_path):
    model = encoder()
    for name, saved in {"a": model, "b": SiameseNet(model)}.items():
        folder = saved_model(saved, tmp_path / name, signatures=["serving_default"])
        assert read_metadata(folder)["fingerprint"] == fingerprint(model)


def test_refusals():
    with pytest.raises(TypeError, match="Expected: a keras.Model. Received: str"):
        fingerprint("model.keras")
    with pytest.raises(ValueError, match="no weights yet. Expected.*Received"):
        fingerprint(keras.Sequential([layers.Dense(2)]))
