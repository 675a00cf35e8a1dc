"""Layers of the encoders: values, gradients at zero, saving."""

import inspect

import keras
import numpy as np
import pytest
from keras import layers

from zoo.encoders.layers import (
    FirstToken,
    FusedBatchNormalization,
    ImageNetScaling,
    PatchMap,
    SignedPower,
    UnitLength,
)

pytestmark = pytest.mark.every_backend


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
    with pytest.raises(ValueError, match="Expected: 'caffe', 'torch' or 'tf'. Received: 'pil'"):
        ImageNetScaling("pil")


def test_a_power_of_no_meaning_is_refused():
    with pytest.raises(ValueError, match="out of range. Expected: a finite number above 0"):
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


def trained(layer, maps, targets, weights):
    """Maps, gradients and moments after two steps at rate 1, the maps themselves learnt, too."""
    inputs = keras.Input((1,))
    place = layers.Dense(maps[0].size, use_bias=False, kernel_initializer="zeros")
    net = keras.Model(inputs, layer(layers.Reshape(maps.shape[1:])(place(inputs))))
    place.set_weights([maps.sum(0).reshape(1, -1)])
    layer.set_weights(weights[: len(layer.weights)])
    net.compile(keras.optimizers.SGD(1.0), lambda t, y: keras.ops.sum(t * y, (1, 2, 3)))
    scales = np.linspace(0.5, 1.5, len(maps), dtype="float32")[:, None]
    twice = np.tile(scales, (2, 1)), np.tile(targets, (2, 1, 1, 1))
    net.fit(*twice, batch_size=len(maps), verbose=0, shuffle=False)
    return [*net.get_weights(), net.predict(scales, verbose=0)]


@pytest.mark.parametrize("policy", ["float32", "mixed_float16"])
@pytest.mark.parametrize("options", [{}, {"scale": False, "center": False}, {"axis": 1}])
def test_one_operation_trains_as_keras_does(options, policy, rng):
    maps, targets = rng.normal(size=(2, 6, 5, 4, 3)).astype("float32")
    channels = maps.shape[options.get("axis", -1)]
    weights = [rng.uniform(0.5, 1.5, channels).astype("float32") for _ in range(4)]
    if options.get("scale") is False:
        weights = weights[2:]
    options = {"momentum": 0.7, "epsilon": 1e-3, "dtype": policy, **options}
    found = trained(FusedBatchNormalization(**options), maps, targets, weights)
    expected = trained(layers.BatchNormalization(**options), maps, targets, weights)
    tolerance = 1e-4 if policy == "float32" else 0.05
    for one, other in zip(found, expected, strict=True):
        np.testing.assert_allclose(one, other, rtol=tolerance, atol=tolerance)


@pytest.mark.tensorflow
def test_maps_are_trained_in_one_operation_alone_and_others_are_not():
    import tensorflow as tf

    def operations(training, **options):
        layer = FusedBatchNormalization(**options)
        layer.build((None, 5, 4, 3))
        graph = tf.function(lambda x: layer(x, training=training)).get_concrete_function(
            tf.TensorSpec((None, 5, 4, 3))
        )
        return {operation.type for operation in graph.graph.get_operations()}

    fused = "FusedBatchNormV3"
    assert fused in operations(True)
    others = [{"axis": 1}, {"synchronized": True}, {"trainable": False}]
    if "renorm" in inspect.signature(layers.BatchNormalization).parameters:
        others.append({"renorm": True})
    for options in others:
        assert fused not in operations(True, **options), options
    assert fused not in operations(False)


@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_moments_of_large_maps_do_not_overflow_under_half_precision(dtype):
    maps = np.array([90_000, -70_000, 10, 20], dtype).reshape(1, 2, 2, 1)
    own, kerass = (kind(dtype="mixed_float16", autocast=False)
                   for kind in (FusedBatchNormalization, layers.BatchNormalization))  # fmt: skip
    found, expected = (keras.ops.convert_to_numpy(layer(maps, training=True))
                       for layer in (own, kerass))  # fmt: skip
    np.testing.assert_allclose(found, expected, rtol=2e-3)
    np.testing.assert_allclose(own.moving_variance, kerass.moving_variance, rtol=1e-5)


def test_tokens_of_patches_are_a_map_row_by_row(rng):
    tokens = rng.normal(size=(2, 7, 3)).astype("float32")
    layer = PatchMap.from_config(PatchMap((2, 3), before=1).get_config())
    found = keras.ops.convert_to_numpy(layer(tokens))
    assert layer.compute_output_shape(tokens.shape) == found.shape == (2, 2, 3, 3)
    for row in range(2):
        for column in range(3):
            np.testing.assert_array_equal(found[:, row, column], tokens[:, 1 + 3 * row + column])
    first = FirstToken()
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(first(tokens)), tokens[:, 0])
    assert first.compute_output_shape(tokens.shape) == (2, 3)
