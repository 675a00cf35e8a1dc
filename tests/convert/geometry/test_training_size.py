"""A converted network remembers its training size: in files, in clones, under another name."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_metric as km

D = layers.Dense


def flat(x):
    return D(3)(layers.Flatten()(layers.MaxPooling2D(2)(x)))


def strided_same(x):
    x = layers.Conv2D(4, 3, 2, padding="same", activation="relu")(x)
    return D(3, activation="softmax")(layers.GlobalAveragePooling2D()(x))


NETS = {
    "window larger than what is read": (lambda x: flat(layers.Conv2D(2, 3)(x)), {}),
    "densified": (lambda x: flat(layers.Conv2D(2, 4)(x)), {"densify": 2}),
    "phase": (strided_same, {}),
    "map": (strided_same, {"pooling": "map"}),
}


def reloaded(fcn, folder, suffix):
    fcn.save(folder / f"fcn{suffix}")
    return keras.saving.load_model(folder / f"fcn{suffix}", compile=False)


COPIES = {
    "keras": lambda fcn, folder: reloaded(fcn, folder, ".keras"),
    "h5": lambda fcn, folder: reloaded(fcn, folder, ".h5"),
    "clone": lambda fcn, folder: keras.models.clone_model(fcn),
    "cut": lambda fcn, folder: keras.Model(fcn.inputs, fcn.outputs, name="another"),
}


@pytest.mark.diagonal
@pytest.mark.parametrize("way", COPIES)
@pytest.mark.parametrize("name", NETS)
def test_geometry_survives(name, way, net, tmp_path):
    build, options = NETS[name]
    model = net(build, (13, 11, 2))
    fcn = km.convert.to_fully_convolutional(model, **options)
    again = COPIES[way](fcn, tmp_path)
    assert not hasattr(again, "conversion")
    places = km.convert.geometry(again, size=(20, 19))
    assert places == km.convert.geometry(fcn, size=(20, 19))
    assert places.window == (13, 11)


@pytest.mark.parametrize("name", NETS)
def test_verify_needs_nothing_but_the_file(name, net, tmp_path):
    build, options = NETS[name]
    model = net(build, (13, 11, 2))
    fcn = km.convert.to_fully_convolutional(model, **options)
    again = reloaded(fcn, tmp_path, ".keras")
    report, expected = km.convert.verify(model, again), km.convert.verify(model, fcn)
    assert report.equal
    assert report.pooling == expected.pooling
    np.testing.assert_allclose(report.on_windows, expected.on_windows, atol=1e-6)
    assert report.inexact_layers == expected.inexact_layers


def test_two_images_remember_their_own_sizes(randomize):
    first, second = keras.Input((9, 9, 1), name="a"), keras.Input((9, 9, 1), name="b")
    features = [layers.Flatten()(layers.Conv2D(2, 3)(x)) for x in (first, second)]
    model = randomize(keras.Model([first, second], D(2)(layers.Concatenate()(features))))
    fcn = km.convert.to_fully_convolutional(model)
    names = [layer.name for layer in fcn.layers if isinstance(layer, layers.Identity)]
    assert names == ["trained_on_9x9", "trained_on_9x9_1"]
    assert km.convert.geometry(fcn).window == (9, 9)


@pytest.mark.parametrize("dtype", ["uint8", "float16", "float64"])
def test_the_note_changes_no_pixel(dtype, array):
    """float64 images stay float64: no layer of lower precision stands in front."""
    if dtype == "float64" and keras.backend.backend() == "jax":
        pytest.skip("JAX computes in 32 bits unless told otherwise at its start")
    image = keras.Input((6, 6, 1), dtype=dtype)
    x = layers.Rescaling(1.0, dtype="float64" if dtype == "float64" else "float32")(image)
    model = keras.Model(image, layers.Flatten()(layers.AveragePooling2D(6, dtype=x.dtype)(x)))
    fcn = km.convert.to_fully_convolutional(model)
    note = next(layer for layer in fcn.layers if isinstance(layer, layers.Identity))
    assert note.output.dtype == dtype


def test_a_layer_of_another_kind_is_no_note(net):
    image = keras.Input((None, None, 2))
    x = layers.Conv2D(2, 3, name="trained_on_64x64")(image)
    assert km.convert.geometry(keras.Model(image, x)).window == (3, 3)
