"""Rewrites that would be silently wrong are refused, and the error names the layer."""

import keras
import numpy as np
import pytest
from keras import layers, ops

import keras_metric as km
from keras_metric.convert import ConversionError

D = layers.Dense


def flat_head(x):
    return D(3)(layers.Flatten()(x))


def attention(x):
    y = layers.MultiHeadAttention(1, 2, name="bad")(x, x)
    return flat_head(y)


REFUSED = {
    "softmax over rows": lambda x: flat_head(layers.Softmax(axis=1, name="bad")(x)),
    "raw softmax over rows": lambda x: flat_head(ops.softmax(x, axis=1)),
    "group norm": lambda x: flat_head(layers.GroupNormalization(1, name="bad")(x)),
    "layer norm over space": lambda x: flat_head(
        layers.LayerNormalization(axis=(1, 2), name="bad")(x)
    ),
    "prelu per position": lambda x: flat_head(layers.PReLU(name="bad")(x)),
    "resizing": lambda x: flat_head(layers.Resizing(6, 6, name="bad")(x)),
    "center crop": lambda x: flat_head(layers.CenterCrop(2, 2, name="bad")(x)),
    "attention over positions": attention,
    "adaptive pooling": lambda x: flat_head(layers.AdaptiveAveragePooling2D(2, name="bad")(x)),
    "response norm": lambda x: flat_head(x / (1 + ops.sum(x * x, axis=(1, 2), keepdims=True))),
    "a size baked in": lambda x: flat_head(
        x
        + layers.UpSampling2D((4, 3))(layers.Reshape((1, 1, 5))(layers.GlobalAveragePooling2D()(x)))
    ),
    "mean over the batch": lambda x: flat_head(x - ops.mean(x, axis=0, keepdims=True)),
    "bicubic": lambda x: flat_head(layers.UpSampling2D(2, interpolation="bicubic", name="bad")(x)),
    "join along rows": lambda x: flat_head(layers.Concatenate(axis=1, name="bad")([x, x])),
    "sum over rows": lambda x: flat_head(ops.sum(x, axis=1)),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_what_has_no_windows(name, net, trunk):
    model = net(lambda image: REFUSED[name](trunk(image)))
    with pytest.raises(ConversionError) as error:
        km.convert.to_fully_convolutional(model)
    named = [layer.name for layer in model.operations if layer.name == "bad"]
    assert all(repr(layer) in str(error.value) for layer in named)
    assert "Expected" in str(error.value)
    assert "Received" in str(error.value)


def test_softmax_convolution_in_channels_first():
    image = keras.Input((3, 8, 8))
    x = layers.Conv2D(2, 3, activation="softmax", data_format="channels_first", name="bad")(image)
    model = keras.Model(image, flat_head(x))
    with pytest.raises(ConversionError, match="'bad' applies softmax to the last axis"):
        km.convert.to_fully_convolutional(model)


def test_global_layers_can_be_kept(net, trunk, array, rng):
    model = net(
        lambda x: D(3)(
            layers.GlobalAveragePooling2D()(layers.GroupNormalization(1, name="norm")(trunk(x)))
        )
    )
    fcn = km.convert.to_fully_convolutional(model, allow_global=True)
    assert any("norm" in note for note in fcn.conversion.notes)
    x = rng.standard_normal((2, 14, 12, 3)).astype("float32")
    np.testing.assert_allclose(array(fcn(x))[:, 0, 0], array(model(x)), atol=1e-5)


def test_squeeze_excite_is_not_a_head(net, trunk, array, rng):
    def excited(x):
        y = trunk(x)
        gate = D(5, activation="sigmoid")(layers.GlobalAveragePooling2D(name="squeeze")(y))
        return D(3)(layers.GlobalAveragePooling2D()(y * layers.Reshape((1, 1, 5))(gate)))

    model = net(excited)
    fcn = km.convert.to_fully_convolutional(model)
    assert isinstance(fcn.get_layer("squeeze"), layers.GlobalAveragePooling2D)
    x = rng.standard_normal((2, 14, 12, 3)).astype("float32")
    np.testing.assert_allclose(array(fcn(x))[:, 0, 0], array(model(x)), atol=1e-5)


@pytest.mark.parametrize("mode", ["int8", "int4", "float8"])
def test_quantized_layers_are_refused(mode, net, trunk):
    model = net(lambda x: D(3, name="fc")(layers.Flatten()(trunk(x))))
    model.get_layer("fc").quantize(mode)
    with pytest.raises(ConversionError, match="'fc' is quantized"):
        km.convert.to_fully_convolutional(model)


def test_means_of_two_scales_are_no_one_map(net):
    def two(x):
        fine = layers.Conv2D(2, 3)(x)
        coarse = layers.MaxPooling2D(2)(fine)
        pool = layers.GlobalAveragePooling2D
        return D(3)(layers.Concatenate(name="join")([pool()(fine), pool()(coarse)]))

    with pytest.raises(ConversionError, match="'join' joins the means of maps of two strides"):
        km.convert.to_fully_convolutional(net(two), pooling="map")


def test_an_inexact_rewrite_is_not_returned(net, trunk, monkeypatch):
    """The self check: a convolution with a wrong kernel is caught."""
    from keras_metric.convert.rules import head

    monkeypatch.setattr(head, "_scatter", lambda view, kernel, bias: (kernel[::-1], bias))
    with pytest.raises(ConversionError, match="changed in the conversion"):
        km.convert.to_fully_convolutional(net(lambda x: flat_head(trunk(x))))


def test_branches_padded_by_parity_run_where_they_keep_it(net, array):
    """As in NASNet on odd maps: the zeros were chosen for the training size."""

    def build(x):
        padded = layers.Conv2D(3, 5, 2)(layers.ZeroPadding2D(((1, 2), (1, 2)))(x))
        pooled = layers.MaxPooling2D(1, 2, padding="same")(x)
        return flat_head(layers.Add(name="join")([padded, pooled]))

    model = net(build, (10, 10, 3))
    fcn = km.convert.to_fully_convolutional(model)
    assert any("training size and multiples of 2 x 2 more only" in n for n in fcn.conversion.notes)
    assert km.convert.verify(model, fcn).equal
    assert fcn(np.zeros((1, 14, 12, 3))).shape[1:3] == (3, 2)
    with pytest.raises(ConversionError, match="does not run on images of 13 x 13 pixels. Expected"):
        km.convert.scan(fcn, np.zeros((13, 13, 3)))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"pooling": "mean"}, "pooling is unknown"),
        ({"densify": 0}, "densify is invalid"),
        ({"densify": 3}, "does not divide the stride"),
        ({"pooling": "map"}, "no global average pooling"),
    ],
)
def test_bad_options(options, message, net, trunk):
    with pytest.raises(ValueError, match=message):
        km.convert.to_fully_convolutional(net(lambda x: flat_head(trunk(x))), **options)


@pytest.mark.parametrize("shape", ["8x8", (0, 8, 3), (8, 8)])
def test_sizes_that_are_none(shape, net):
    model = net(lambda x: D(2)(layers.GlobalAveragePooling2D()(x)), (None, None, 3))
    with pytest.raises(ConversionError, match="Expected.*Received: shape"):
        km.convert.to_fully_convolutional(model, input_shape=shape)


def test_no_model_and_no_image():
    with pytest.raises(ValueError, match=r"not a Keras model. Expected.* Received: 3 \(int\)"):
        km.convert.to_fully_convolutional(3)
    vector = keras.Input((4,))
    with pytest.raises(ConversionError, match="does not take an image"):
        km.convert.to_fully_convolutional(keras.Model(vector, D(2)(vector)))


VECTORS = keras.Sequential([keras.Input((7,)), layers.Dense(2)])


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (
            lambda m, f: km.convert.verify("model.keras", f),
            "Expected: a Keras model; .*'model.keras'",
        ),
        (lambda m, f: km.convert.verify(VECTORS, f), r"different images.* Received: \(7,\)"),
        (lambda m, f: km.convert.geometry(VECTORS), r"model of images.*inputs \(None, 7\)"),
        (lambda m, f: km.convert.geometry("fcn.keras"), "model of images.* Received: 'fcn.keras'"),
        (lambda m, f: km.convert.geometry(f, window="ab"), "Expected: 2 sides.*window='ab'"),
        (lambda m, f: km.convert.geometry(f, window=(9.5, 9)), "Expected: an integer.*9.5"),
        (
            lambda m, f: km.convert.scan(f, np.zeros((40, 40, 3)), window=(16,)),
            r"Expected: 2 sides.*window=\(16,\)",
        ),
    ],
)
def test_what_is_no_pair_of_models_is_refused(ask, message, net, trunk):
    model = net(lambda x: layers.Dense(2)(layers.Flatten()(trunk(x))), (16, 16, 3))
    with pytest.raises(ValueError, match=message):
        ask(model, km.convert.to_fully_convolutional(model))
