"""GeM pooling against plain float64 loops, at its limits, in half precision, saved and trained."""

import itertools

import keras
import numpy as np
import pytest
from keras import ops

import keras_metric as km
from keras_metric.pooling import GeM, SlidingGeM

BACKEND = keras.backend.backend()


def generalized_mean(values, p, epsilon=1e-6):
    """Equation 3 of the paper, one number after the other; a long double has the powers of 60."""
    powers = sum(np.longdouble(max(float(x), epsilon)) ** p for x in values)
    return float((powers / len(values)) ** (1 / np.longdouble(p)))


def pooled(layer, maps):
    return ops.convert_to_numpy(layer(ops.convert_to_tensor(maps)))


def gradients(layer, maps):
    """Of the sum of what is pooled: with respect to the maps and to the exponent."""
    if not layer.built:
        layer.build(maps.shape)
    maps = ops.convert_to_tensor(maps)
    if BACKEND == "tensorflow":
        import tensorflow as tf

        with tf.GradientTape() as tape:
            tape.watch(maps)
            total = tf.reduce_sum(layer(maps))
        found = tape.gradient(total, [maps, layer.exponent.value])
    elif BACKEND == "jax":
        import jax

        def total(exponent, maps):
            return layer.stateless_call([exponent], [], maps)[0].sum()

        found = jax.grad(total, argnums=(1, 0))(layer.exponent.value, maps)
    else:
        maps.requires_grad_()
        layer(maps).sum().backward()
        found = maps.grad, layer.exponent.value.grad
    return [ops.convert_to_numpy(part).astype("float64") for part in found]


@pytest.mark.parametrize("shape", [(2, 5, 3), (2, 4, 3, 2), (1, 2, 3, 2, 2)])
def test_the_layer_is_the_formula_for_any_number_of_axes(shape, rng):
    maps = np.maximum(rng.normal(size=shape), 0).astype("float32")
    found = pooled(GeM(2.5), maps)
    for b, c in itertools.product(range(shape[0]), range(shape[-1])):
        assert found[b, c] == pytest.approx(generalized_mean(maps[b, ..., c].flat, 2.5), rel=1e-5)


def test_channels_first_is_the_same_of_other_axes(rng):
    maps = rng.uniform(size=(2, 4, 3, 5)).astype("float32")
    first = pooled(GeM(data_format="channels_first"), np.moveaxis(maps, -1, 1))
    np.testing.assert_allclose(first, pooled(GeM(), maps), rtol=1e-6)


def test_it_goes_from_the_average_to_the_maximum(rng):
    maps = rng.uniform(size=(2, 4, 3, 5)).astype("float32")
    np.testing.assert_allclose(pooled(GeM(1), maps), maps.mean((1, 2)), rtol=1e-5)
    np.testing.assert_allclose(pooled(GeM(2000.0), maps), maps.max((1, 2)), rtol=2e-3)


@pytest.mark.parametrize("scale", [0.0, 1e-20, 1.0, 1e15])
@pytest.mark.parametrize("p", [1.0, 3.0, 60.0])
def test_values_and_gradients_are_finite(p, scale, rng):
    """Zeros, features so small or so large that their power has no float32."""
    maps = np.maximum(rng.normal(size=(2, 3, 3, 2)), 0).astype("float32") * np.float32(scale)
    layer = GeM(p)
    value = pooled(layer, maps)
    expected = [[generalized_mean(m[..., c].flat, p) for c in range(2)] for m in maps]
    np.testing.assert_allclose(value, expected, rtol=1e-4)
    assert all(np.isfinite(part).all() for part in gradients(layer, maps))


@pytest.mark.parametrize("make", [GeM, lambda p: SlidingGeM((3, 2), p=p)], ids=["GeM", "sliding"])
def test_gradients_are_slopes_of_the_loops(make, rng):
    maps = rng.uniform(0.1, 1, size=(1, 3, 2, 2)).astype("float32")
    found, of_p = gradients(make(3.0), maps)

    def total(maps, p):
        return sum(generalized_mean(maps[0, ..., c].flat, p) for c in range(2))

    exact = maps.astype("float64")
    for place in itertools.product(range(3), range(2), range(2)):
        step = np.zeros_like(exact)
        step[0][place] = 1e-5
        slope = (total(exact + step, 3.0) - total(exact - step, 3.0)) / 2e-5
        assert found[0][place] == pytest.approx(slope, rel=1e-3)
    assert of_p == pytest.approx((total(exact, 3.001) - total(exact, 2.999)) / 0.002, rel=1e-3)


def test_half_precision_goes_out_as_it_came_in(rng):
    """Also of a channel of zeros with an epsilon that float16 does not have."""
    maps = (rng.uniform(size=(2, 7, 7, 3)) * [0, 1, 1000]).astype("float16")
    found = GeM(epsilon=1e-9, dtype="mixed_float16")(ops.convert_to_tensor(maps))
    assert keras.backend.standardize_dtype(found.dtype) == "float16"
    expected = [[generalized_mean(m[..., c].flat, 3, 1e-9) for c in range(3)] for m in maps]
    np.testing.assert_allclose(ops.convert_to_numpy(found), expected, rtol=1e-3, atol=1e-8)


def test_sliding_windows_are_those_of_loops(rng):
    maps = rng.uniform(size=(1, 6, 5, 2)).astype("float32")
    found = pooled(SlidingGeM((3, 2), (1, 2), p=4.0), maps)
    assert found.shape == (1, 4, 3, 2)
    for i, j, c in itertools.product(range(4), range(3), range(2)):
        window = maps[0, i : i + 3, j : j + 3 : 2, c]
        assert found[0, i, j, c] == pytest.approx(generalized_mean(window.flat, 4.0), rel=1e-5)


@pytest.mark.parametrize("layer", [GeM, lambda: SlidingGeM((2, 2))], ids=["GeM", "sliding"])
def test_shapes_are_known_before_the_values(layer):
    image = keras.Input((5, None, 3))
    assert layer()(image).shape in [(None, 3), (None, 4, None, 3)]


def test_training_moves_the_exponent_and_holds_it_at_one_or_above(rng):
    """The target is the minimum of the map, which no exponent from 1 on reaches."""
    maps = rng.uniform(size=(16, 4, 4, 1)).astype("float32")
    model = keras.Sequential([keras.Input((4, 4, 1)), GeM(1.5)])
    model.compile(keras.optimizers.SGD(5.0), loss="mse")
    model.fit(maps, maps.min((1, 2)), epochs=8, verbose=0)
    assert float(ops.convert_to_numpy(model.layers[0].exponent)) == 1
    fixed = keras.Sequential([keras.Input((4, 4, 1)), GeM(1.5, trainable=False)])
    assert fixed.trainable_weights == []


@pytest.mark.tensorflow
def test_a_trained_exponent_is_saved(tmp_path, rng):
    maps = rng.uniform(size=(2, 4, 4, 3)).astype("float32")
    model = keras.Sequential([keras.Input((None, None, 3)), GeM(2.0, epsilon=1e-3, name="pool")])
    model.layers[0].exponent.assign(4.5)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.layers[0].epsilon == 1e-3
    np.testing.assert_array_equal(again.predict(maps, verbose=0), model.predict(maps, verbose=0))


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: GeM(0.5), "p is out of range.*Received: p=0.5"),
        (lambda: GeM(epsilon=0), "epsilon is out of range"),
        (lambda: GeM(data_format="last"), "Unknown data format.*Received: 'last'"),
        (lambda: GeM()(np.zeros((2, 3))), r"no positions to pool.*Received: shape \(2, 3\)"),
        (lambda: SlidingGeM((0, 2)), "size is out of range"),
        (lambda: SlidingGeM((2,))(np.zeros((2, 3, 3, 1))), "does not fit.*size=.2,."),
    ],
)
def test_bad_input_is_refused(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def encoder():
    return keras.Sequential(
        [
            keras.Input((16, 16, 3)),
            keras.layers.Conv2D(4, 3, strides=2, activation="relu"),
            keras.layers.Conv2D(5, 3, activation="relu"),
            GeM(name="pool"),
            keras.layers.Dense(4),
        ]
    )


@pytest.mark.parametrize("densify", [1, 2])
def test_conversion_pools_the_windows(densify, rng):
    """Each cell is the model on its window, with an exponent that training has moved."""
    model = encoder()
    model.get_layer("pool").exponent.assign(5.0)
    fcn = km.convert.to_fully_convolutional(model, densify=densify)
    image = rng.uniform(size=(1, 22, 20, 3)).astype("float32")
    cells, stride = ops.convert_to_numpy(fcn(image)), 2 // densify
    for i, j in itertools.product(range(cells.shape[1]), range(cells.shape[2])):
        window = image[:, i * stride : i * stride + 16, j * stride : j * stride + 16]
        one = ops.convert_to_numpy(model(window))[0]
        np.testing.assert_allclose(cells[0, i, j], one, rtol=1e-3, atol=1e-5)
    assert cells.shape[1:3] == (4, 3) if densify == 1 else (7, 5)
    geometry = km.convert.geometry(fcn)
    assert geometry.window_box(1, 2) == (2 * stride, stride, 2 * stride + 16, stride + 16)


def test_conversion_keeps_it_in_a_gate(rng):
    """As squeeze-excite: what pools the whole image goes on doing so."""
    maps = keras.layers.Conv2D(4, 3, activation="relu")(image := keras.Input((9, 9, 3)))
    gate = keras.layers.Dense(4, activation="sigmoid")(GeM(name="squeeze")(maps))
    gated = keras.layers.Multiply()([maps, keras.layers.Reshape((1, 1, 4))(gate)])
    model = keras.Model(image, keras.layers.GlobalAveragePooling2D()(gated))
    fcn = km.convert.to_fully_convolutional(model)
    images = rng.uniform(size=(1, 9, 9, 3)).astype("float32")
    cell = ops.convert_to_numpy(fcn(images))[0, 0, 0]
    np.testing.assert_allclose(cell, ops.convert_to_numpy(model(images))[0], rtol=1e-4)
    assert any("'squeeze' pools the whole image" in note for note in fcn.conversion.notes)


def test_conversion_to_a_map_is_refused():
    with pytest.raises(km.convert.ConversionError, match="generalized mean.*Expected: average"):
        km.convert.to_fully_convolutional(encoder(), pooling="map")


def test_the_map_of_an_average_is_refused_and_gradients_explain(rng):
    """A CAM needs a sum over positions, which a generalized mean is not."""
    model = encoder()
    image = rng.uniform(size=(1, 16, 16, 3)).astype("float32")
    with pytest.raises(ValueError, match="Expected"):
        km.cam.CAM(model, "cam")(image)
    heat = ops.convert_to_numpy(km.cam.CAM(model, "hirescam")(image))
    assert heat.shape[0] == 1
    assert np.isfinite(heat).all()
    assert not km.cam.SimilarityCAM(model, steps=2)(image, image[:, ::-1]).exact
