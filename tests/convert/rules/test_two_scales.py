"""Heads that read maps of two strides: their cells lie at the larger one, and are exact."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_metric as km

D = layers.Dense
POOL = layers.GlobalAveragePooling2D


def maps(x):
    fine = layers.Conv2D(2, 3, activation="tanh")(x)
    return fine, layers.Conv2D(3, 2, activation="relu")(layers.MaxPooling2D(2)(fine))


def three(x):
    fine, coarse = maps(x)
    return fine, coarse, layers.Conv2D(2, 2)(layers.AveragePooling2D(3)(fine))


HEADS = {
    "pooled": lambda x: D(3)(layers.Concatenate()([POOL()(y) for y in maps(x)])),
    "flattened": lambda x: D(3, activation="tanh")(
        layers.Concatenate()([layers.Flatten()(y) for y in maps(x)])
    ),
    "both": lambda x: D(3)(
        layers.Concatenate()([layers.Flatten()(maps(x)[0]), POOL()(maps(x)[1])])
    ),
    "summed": lambda x: layers.Add()([D(3)(POOL()(y)) for y in maps(x)]),
    "normalized": lambda x: D(3)(
        layers.LayerNormalization()(layers.Concatenate()([layers.Flatten()(y) for y in maps(x)]))
    ),
    "three": lambda x: D(3)(ops.concatenate([POOL()(y) for y in three(x)], axis=-1)),
}


@pytest.mark.parametrize("name", HEADS)
def test_cells_of_two_scales_are_the_model_on_their_windows(
    name, net, windows, array, rng, tmp_path
):
    model = net(HEADS[name], (12, 13, 3))
    fcn = km.convert.to_fully_convolutional(model)
    step = 6 if name == "three" else 2
    images = rng.standard_normal((2, 12 + 13, 13 + 12, 3)).astype("float32")
    expected = windows(model, images, step, (12, 13), (13 // step + 1, 12 // step + 1))
    found = array(fcn(images))[:, : expected.shape[1], : expected.shape[2]]
    np.testing.assert_allclose(found, expected, atol=2e-5)
    report = km.convert.verify(model, fcn)
    assert report.exact
    assert report.inexact_layers == ()
    assert km.convert.geometry(fcn).stride == (step, step)


def test_two_scales_survive_a_file_and_tiles(net, array, rng, tmp_path):
    fcn = km.convert.to_fully_convolutional(net(HEADS["pooled"], (12, 13, 3)))
    fcn.save(tmp_path / "fcn.keras")
    again = keras.saving.load_model(tmp_path / "fcn.keras")
    image = rng.standard_normal((40, 37, 3)).astype("float32")
    np.testing.assert_array_equal(array(again(image[None])), array(fcn(image[None])))
    found = km.convert.scan(again, image, tile=26)
    assert found.tiles > 1
    np.testing.assert_allclose(found.scores, array(fcn(image[None]))[0], atol=1e-5)
