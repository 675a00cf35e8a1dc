"""Densified networks: every pixel's window, shift-and-stitch, and the trunks they work on."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_metric as km

D = layers.Dense


def deep(x):
    x = layers.MaxPooling2D(2)(layers.Conv2D(3, 3, activation="relu")(x))
    x = layers.AveragePooling2D((3, 2), 2)(layers.DepthwiseConv2D(2)(x))
    return layers.Conv2D(4, 2, activation="tanh")(x)


HEADS = {
    "flatten": lambda x: D(3)(layers.Flatten()(x)),
    "average": lambda x: D(3)(layers.GlobalAveragePooling2D()(x)),
    "maximum": lambda x: D(3)(layers.GlobalMaxPooling2D()(x)),
    "unfolded": lambda x: D(3)(layers.LayerNormalization()(layers.Flatten()(x))),
    "cropped": lambda x: D(3)(layers.Flatten()(x[:, 1:])),
}


@pytest.mark.diagonal
@pytest.mark.parametrize("factor", [2, 4])
@pytest.mark.parametrize("head", HEADS)
def test_equals_windows_at_every_step(head, factor, net, windows, array, rng):
    model = net(lambda x: HEADS[head](deep(x)), (19, 17, 2))
    fcn = km.convert.to_fully_convolutional(model, densify=factor)
    step = 4 // factor
    images = rng.standard_normal((1, 25, 21, 2)).astype("float32")
    cells = ((25 - 19) // step + 1, (21 - 17) // step + 1)
    expected = windows(model, images, step, (19, 17), cells)
    found = array(fcn(images))[:, : cells[0], : cells[1]]
    np.testing.assert_allclose(found, expected, atol=1e-5 * max(1, np.abs(expected).max()))
    assert km.convert.geometry(fcn).stride == (step, step)
    assert km.convert.verify(model, fcn).exact


def test_equals_shift_and_stitch(net, array, rng):
    model = net(lambda x: HEADS["flatten"](deep(x)), (19, 17, 2))
    coarse = km.convert.to_fully_convolutional(model)
    dense = km.convert.to_fully_convolutional(model, densify=4)
    images = rng.standard_normal((1, 26, 25, 2)).astype("float32")
    found = array(dense(images))
    for i in range(4):
        for j in range(4):
            shifted = array(coarse(images[:, i:, j:]))
            part = found[:, i::4, j::4][:, : shifted.shape[1], : shifted.shape[2]]
            np.testing.assert_allclose(
                part, shifted[:, : part.shape[1], : part.shape[2]], atol=1e-5
            )


def test_strided_convolutions_and_one_dimension(net):
    model = net(
        lambda x: D(3)(layers.Flatten()(layers.Conv1D(3, 3)(layers.Conv1D(4, 3, 4)(x)))), (31, 2)
    )
    for factor in (2, 4):
        fcn = km.convert.to_fully_convolutional(model, densify=factor)
        assert km.convert.geometry(fcn).stride == (4 // factor,)
        assert km.convert.verify(model, fcn).exact


def test_residual_branches_stay_aligned(net):
    def build(x):
        x = layers.Conv2D(4, 3)(x)
        long = layers.Conv2D(4, 3, 2)(x)
        short = layers.Cropping2D(((0, 1), (0, 1)))(layers.Conv2D(4, 1, 2)(x))
        short = layers.Conv2D(4, 1)(short)
        return D(3)(layers.Flatten()(layers.Conv2D(2, 2)(layers.Add()([long, short]))))

    model = net(build, (12, 12, 2))
    fcn = km.convert.to_fully_convolutional(model, densify=2)
    assert km.convert.verify(model, fcn).exact


def same(layer, *args, **options):
    return layer(*args, padding="same", **options)


SAME = {
    "convolution": lambda x: same(layers.Conv2D, 4, 3, strides=2)(x),
    "of even size": lambda x: same(layers.Conv2D, 4, (4, 2), strides=2)(x),
    "dilated next": lambda x: same(layers.Conv2D, 4, 3)(same(layers.Conv2D, 4, 2, strides=2)(x)),
    "depthwise": lambda x: same(layers.DepthwiseConv2D, 5, strides=2)(x),
    "separable": lambda x: same(layers.SeparableConv2D, 4, 3, strides=2)(x),
    "maximum": lambda x: same(layers.MaxPooling2D, 3, strides=2)(x),
    "average": lambda x: same(layers.AveragePooling2D, 3, strides=2)(x),
    "projected": lambda x: layers.Add()(
        [same(layers.Conv2D, 4, 3, strides=2)(x), layers.Conv2D(4, 1, 2, padding="same")(x)]
    ),
}


@pytest.mark.parametrize("name", SAME)
def test_zeros_of_same_padding_stay_where_they_were(name, net, array, rng):
    def build(x):
        x = same(layers.Conv2D, 3, 3, strides=2)(x)
        return HEADS["average"](layers.Conv2D(4, 2)(layers.BatchNormalization()(SAME[name](x))))

    model = net(build, (16, 13, 2))
    if name == "average" and keras.backend.backend() == "torch":
        with pytest.raises(km.convert.ConversionError, match="changed in the conversion"):
            km.convert.to_fully_convolutional(model, densify=2)  # Keras fills borders otherwise
        return
    coarse = km.convert.to_fully_convolutional(model)
    dense = km.convert.to_fully_convolutional(model, densify=2)
    images = rng.standard_normal((2, 24, 25, 2)).astype("float32")
    expected = array(coarse(images))
    found = array(dense(images))[:, ::2, ::2][:, : expected.shape[1], : expected.shape[2]]
    inner = np.s_[:, :-2, :-2]  # of another size the zeros at the far end differ
    np.testing.assert_allclose(found[inner], expected[inner], atol=1e-5)
    assert km.convert.geometry(dense).stride == (2, 2)
    assert km.convert.verify(model, dense).equal


REFUSED = {
    "same pooling": lambda x: layers.MaxPooling2D(3, 1, padding="same", name="bad")(x),
    "upsampling": lambda x: layers.UpSampling2D(2, name="bad")(x),
    "gate": lambda x: x * layers.GlobalAveragePooling2D(keepdims=True, name="bad")(x),
}


@pytest.mark.parametrize("name", REFUSED)
def test_refuses_what_cannot_be_dilated(name, net):
    model = net(lambda x: HEADS["flatten"](REFUSED[name](deep(x))), (19, 17, 2))
    with pytest.raises(km.convert.ConversionError, match="'bad'|densify"):
        km.convert.to_fully_convolutional(model, densify=4)
