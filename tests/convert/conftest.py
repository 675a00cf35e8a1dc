"""Small networks with random weights, and the plain loop that a converted one must equal."""

import keras
import numpy as np
import pytest
from keras import layers, ops


def valid_trunk(x):
    """14 x 12 -> 4 x 3, stride 2, receptive field 8."""
    x = layers.Conv2D(4, 3, activation="relu")(x)
    x = layers.MaxPooling2D(2)(x)
    return layers.Conv2D(5, 3, activation="tanh")(x)


@pytest.fixture
def trunk():
    return valid_trunk


@pytest.fixture
def net():
    """`net(build, shape)`: the functional model of `build`, its weights drawn at random."""

    def make(build, shape=(14, 12, 3), seed=0):
        image = keras.Input(shape)
        return randomized(keras.Model(image, build(image)), seed)

    return make


@pytest.fixture
def randomize():
    return randomized


def randomized(model, seed=0):
    rng = np.random.default_rng(seed)
    for weight in model.weights:
        positive = "variance" in weight.path
        draw = rng.uniform(0.5, 2, weight.shape) if positive else rng.normal(0, 0.3, weight.shape)
        weight.assign(draw)
    return model


@pytest.fixture
def windows():
    """Every window of `images` through the model, in plain loops: `(B, rows, columns, D)`."""

    def classify(model, images, stride, size, cells):
        crops = []
        for i in range(cells[0]):
            for j in range(cells[1]):
                top, left = i * stride, j * stride
                crops.append(images[:, top : top + size[0], left : left + size[1]])
        labels = as_array(model(np.concatenate(crops)))
        labels = labels.reshape(*cells, len(images), -1)
        return np.moveaxis(labels, 2, 0)

    return classify


@pytest.fixture
def array():
    return as_array


def as_array(x):
    return ops.convert_to_numpy(x).astype("float64")
