"""Layers of the encoders: values, gradients at zero, saving."""

import keras
import numpy as np
import pytest
from keras import layers

from zoo.encoders.layers import ImageNetScaling, SignedPower, UnitLength


def test_unit_length_divides_by_the_norm(rng):
    x = rng.normal(size=(5, 3, 4)).astype("float32") * np.array([1e-5, 1, 1e3, 1e10, 1])[
        :, None, None
    ].astype("float32")
    y = keras.ops.convert_to_numpy(UnitLength()(x))
    expected = x.astype(float) / np.linalg.norm(x.astype(float), axis=-1, keepdims=True)
    np.testing.assert_allclose(y, expected, rtol=1e-5)


def test_gradient_at_zero_is_finite_and_one():
    """Rate 1 on the loss t . y moves the zero kernel K of y = UnitLength(K x) by exactly -x t."""
    images, targets = np.array([[1.0, 2.0]], "float32"), np.array([[3.0, -4.0, 5.0]], "float32")
    inputs = keras.Input((2,))
    outputs = UnitLength()(layers.Dense(3, use_bias=False, kernel_initializer="zeros")(inputs))
    model = keras.Model(inputs, outputs)
    model.compile(keras.optimizers.SGD(1.0), lambda t, y: keras.ops.sum(t * y, -1))
    model.fit(images, targets, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], -images.T @ targets, rtol=1e-6)


@pytest.mark.parametrize(
    "dtype", ["float16", "mixed_bfloat16", pytest.param("float64", marks=pytest.mark.tensorflow)]
)
def test_precision_of_the_input_is_kept_and_small_vectors_are_safe(dtype):
    layer = UnitLength(dtype=dtype)
    y = layer(keras.ops.convert_to_tensor([[3e-4, 4e-4], [0, 0]], layer.compute_dtype))
    assert keras.backend.standardize_dtype(y.dtype) == layer.compute_dtype
    values = keras.ops.convert_to_numpy(keras.ops.cast(y, "float32"))
    np.testing.assert_allclose(values, [[0.6, 0.8], [0, 0]], atol=5e-3)


@pytest.mark.parametrize("mode", ["caffe", "torch", "tf"])
def test_scaling_returns_from_its_config(mode, rng):
    x = rng.uniform(0, 255, (2, 3, 3, 3)).astype("float32")
    layer = ImageNetScaling(mode)
    again = ImageNetScaling.from_config(layer.get_config())
    np.testing.assert_array_equal(
        keras.ops.convert_to_numpy(layer(x)), keras.ops.convert_to_numpy(again(x))
    )


def test_an_unknown_scaling_is_refused():
    with pytest.raises(ValueError, match="Expected 'caffe', 'torch' or 'tf'. Received: 'pil'"):
        ImageNetScaling("pil")


def test_a_power_of_no_meaning_is_refused():
    with pytest.raises(ValueError, match="out of range. Expected a finite number above 0"):
        SignedPower(0)


def test_the_power_of_nothing_is_nothing_with_a_finite_gradient():
    inputs = keras.Input((2,))
    outputs = SignedPower(0.5)(keras.layers.Dense(2, use_bias=False, name="dense")(inputs))
    model = keras.Model(inputs, outputs)
    model.get_layer("dense").set_weights([np.array([[0.0, 0.0], [0.0, -4.0]], "float32")])
    model.compile(keras.optimizers.SGD(1.0), lambda t, y: keras.ops.sum(y, -1))
    images = np.ones((1, 2), "float32")
    np.testing.assert_allclose(model.predict(images, verbose=0), [[0, -2]])
    model.fit(images, images, verbose=0)
    np.testing.assert_allclose(model.get_weights()[0], [[0, -0.25], [0, -4.25]], rtol=1e-6)
