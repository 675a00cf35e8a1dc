"""Which axes of an input are positions: those that the first layer of positions reads."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_metric as km
from keras_metric.convert.graph.trace import image_axes, trace

D = layers.Dense


def conv(x, **options):
    return layers.Flatten()(layers.Conv2D(3, 3, activation="tanh", **options)(x))


INPUTS = {
    "Reshape": ((14, 12), lambda x: conv(layers.Reshape((14, 12, 1))(x)), (1, 2), None),
    "expand_dims": ((14, 12), lambda x: conv(ops.expand_dims(x, -1)), (1, 2), None),
    "rescaled first": (
        (14, 12),
        lambda x: conv(layers.Reshape((14, 12, 1))(layers.Rescaling(2.0)(x) - 0.5)),
        (1, 2),
        None,
    ),
    "sliced": ((14, 12), lambda x: conv(ops.expand_dims(x[:, 1:], -1)), (1, 2), None),
    "turned": (
        (14, 12),
        lambda x: conv(layers.Permute((2, 1, 3))(layers.Reshape((14, 12, 1))(x))),
        (1, 2),
        None,
    ),
    "channels in front": ((3, 14, 12), lambda x: conv(layers.Permute((2, 3, 1))(x)), (2, 3), 1),
    "raw transpose": ((3, 14, 12), lambda x: conv(ops.transpose(x, (0, 2, 3, 1))), (2, 3), 1),
    "mean of positions": (
        (3, 14, 12),
        lambda x: D(2)(ops.mean(ops.moveaxis(x, 1, -1), axis=(1, 2))),
        (2, 3),
        1,
    ),
    "channels behind": ((14, 12, 3), conv, (1, 2), 3),
    "signal": ((14, 5), lambda x: layers.Flatten()(layers.Conv1D(3, 3)(x)), (1,), 2),
    "volume": (
        (5, 6, 7),
        lambda x: layers.Flatten()(layers.Conv3D(2, 2)(x[..., None])),
        (1, 2, 3),
        None,
    ),
}


@pytest.mark.parametrize("name", INPUTS)
def test_axes_are_those_that_are_read(name):
    shape, build, positions, channels = INPUTS[name]
    image = keras.Input(shape)
    graph = trace(keras.Model(image, build(image)))
    axes = image_axes(graph, graph.inputs)
    assert (axes.positions, axes.channels) == (positions, channels)


@pytest.mark.parametrize("name", [n for n in INPUTS if n not in ("turned", "signal")])
def test_every_cell_is_the_model_on_its_window(name, randomize, array, rng):
    shape, build, positions, _ = INPUTS[name]
    image = keras.Input(shape)
    model = randomize(keras.Model(image, build(image)))
    fcn = km.convert.to_fully_convolutional(model)
    free = tuple(None if i in positions else d for i, d in enumerate(shape, 1))
    assert fcn.input_shape == (None, *free)
    report = km.convert.verify(model, fcn)
    assert report.exact
    assert report.cells == (12 if len(positions) == 3 else 6)
    window = tuple(shape[i - 1] for i in positions)
    assert km.convert.geometry(fcn).window == fcn.conversion.windows[0] == window


def test_images_without_channels_are_scanned_in_tiles(randomize, array, rng, tmp_path):
    image = keras.Input((14, 12))
    model = randomize(keras.Model(image, D(2)(conv(ops.expand_dims(image, -1)))))
    km.convert.to_fully_convolutional(model).save(tmp_path / "fcn.keras")
    fcn = keras.saving.load_model(tmp_path / "fcn.keras")
    picture = rng.standard_normal((40, 37)).astype("float32")
    found = km.convert.scan(fcn, picture, tile=20)
    assert found.tiles > 1
    np.testing.assert_allclose(found.scores, array(fcn(picture[None]))[0], atol=1e-5)


def test_a_matrix_of_unknown_axes_is_read_as_a_signal_with_a_note():
    model = keras.Sequential([keras.Input((6, 5)), layers.Flatten(), D(3)])
    fcn = km.convert.to_fully_convolutional(model)
    assert fcn.input_shape == (None, None, 5)
    assert any("6 steps of 5 channels" in note for note in fcn.conversion.notes)


def test_channels_between_positions_are_refused():
    image = keras.Input((14, 3, 12))
    model = keras.Model(image, conv(layers.Permute((1, 3, 2))(image)))
    with pytest.raises(km.convert.ConversionError, match="channels between its positions"):
        km.convert.to_fully_convolutional(model)
