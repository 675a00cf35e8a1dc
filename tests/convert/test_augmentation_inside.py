"""Models with augmentation inside are converted, checked and run as in inference: without it."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_metric as km

KINDS = {
    "flip": lambda: layers.RandomFlip(),
    "rotation": lambda: layers.RandomRotation(0.4),
    "zoom": lambda: layers.RandomZoom(0.4),
    "translation": lambda: layers.RandomTranslation(0.3, 0.3),
    "contrast": lambda: layers.RandomContrast(0.5),
    "brightness": lambda: layers.RandomBrightness(0.5, value_range=(0, 1)),
    "erasing": lambda: layers.RandomErasing(1.0, value_range=(0, 1)),
}


def head(x):
    x = layers.MaxPooling2D(2)(layers.Conv2D(4, 3, activation="relu")(x))
    return layers.Dense(3)(layers.Flatten()(x))


def noisy(x):
    """All seven, three of them in a model of their own."""
    made = [make() for make in KINDS.values()]
    for layer in [*made[:4], keras.Sequential(made[4:], name="inside")]:
        x = layer(x)
    return head(x)


def test_all_kinds_and_nested_ones_are_converted_exactly(net, array, rng):
    model = net(noisy)
    fcn = km.convert.to_fully_convolutional(model)
    report = km.convert.verify(model, fcn)
    assert report.exact
    assert report.inexact_layers == ()
    image = rng.random((44, 40, 3)).astype("float32")
    found = km.convert.scan(fcn, image, tile=26)
    assert found.tiles > 1
    window = image[2 : 2 + 14, 4 : 4 + 12]
    np.testing.assert_allclose(
        found.scores[1, 2], array(model(window[None], training=False))[0], atol=1e-5
    )


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_is_converted(kind, net):
    model = net(lambda x: head(KINDS[kind]()(x)))
    assert km.convert.verify(model, km.convert.to_fully_convolutional(model)).exact


def test_a_layer_that_trains_unless_told_otherwise_never_does(net):
    """It would change the answers: every call of the model and of its layers says inference."""

    class Counting(layers.Layer):
        trained = 0

        def call(self, x, training=True):
            if training:
                Counting.trained += 0 if isinstance(x, keras.KerasTensor) else 1
                return x + 1
            return x

        def compute_output_shape(self, shape):
            return shape

    model = net(lambda x: head(Counting()(x)))
    fcn = km.convert.to_fully_convolutional(model)
    km.convert.verify(model, fcn)
    km.convert.geometry(fcn, size=(20, 20))
    km.convert.scan(fcn, np.zeros((44, 40, 3)), tile=26)
    km.locate(model, np.zeros((14, 12, 3)), np.zeros((30, 30, 3)), top=1)
    assert Counting.trained == 0


def test_a_model_that_does_not_run_on_its_own_size_says_so():
    """RandomCrop leaves images of another size in training than in inference."""
    image = keras.Input((14, 12, 3))
    model = keras.Model(image, head(layers.RandomCrop(10, 9)(image)))
    with pytest.raises(km.convert.ConversionError, match="Expected.*Received"):
        km.convert.to_fully_convolutional(model)
