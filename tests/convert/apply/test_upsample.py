"""Upsampled scores lie on their pixels, and the whole network trains."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_metric as km
from keras_metric.convert.apply.upsample import Stretch, bilinear_kernel


def averaging(strides, names):
    """A network whose every map holds the mean coordinate of what its cells read."""
    image = x = keras.Input((None, None, 2))
    for k, name in zip(strides, names, strict=True):
        x = layers.AveragePooling2D(k, name=name)(x)
    return keras.Model(image, x)


def identity_score(model):
    """Set the scores of the coarse map to the coordinates themselves."""
    model.get_layer("score").set_weights([np.eye(2)[None, None], np.zeros(2)])


def coordinates(height, width):
    grid = np.stack(np.meshgrid(np.arange(height), np.arange(width), indexing="ij"), -1)
    return grid[None].astype("float32")


@pytest.mark.diagonal
@pytest.mark.parametrize("skips", [[], ["b"], ["b", "a"]])
@pytest.mark.parametrize("size", [(48, 48), (45, 38)])
def test_every_pixel_gets_the_score_of_its_place(skips, size, array):
    fcn = averaging((2, 2, 2), "abc")
    model = km.convert.upsample(fcn, 2, features="c", skips=skips)
    identity_score(model)
    image = coordinates(*size)
    found = array(model(image))
    assert found.shape == (1, *size, 2)
    inside = (slice(None), slice(20, -20), slice(12, -14))
    np.testing.assert_allclose(found[inside], image[inside], atol=1e-3)


def test_skips_start_at_zero_and_add_where_they_lie(array):
    fcn = averaging((2, 2, 2), "abc")
    model = km.convert.upsample(fcn, 2, features="c", skips=["a"])
    model.get_layer("score").set_weights([np.zeros((1, 1, 2, 2)), np.zeros(2)])
    image = coordinates(40, 40)
    assert np.abs(array(model(image))).max() == 0
    model.get_layer("score_skip_1").set_weights([np.eye(2)[None, None], np.zeros(2)])
    inside = (slice(None), slice(8, -8), slice(8, -8))
    np.testing.assert_allclose(array(model(image))[inside], image[inside], atol=1e-3)


@pytest.mark.parametrize("factors", [(1, 2), (3, 4)])
@pytest.mark.parametrize("size", [(1, 1), (4, 5)])
def test_stretching_is_bilinear_upsampling(factors, size, rng, array):
    image = rng.normal(size=(2, *size, 3)).astype("float32")
    expected = array(layers.UpSampling2D(factors, interpolation="bilinear")(image))
    np.testing.assert_allclose(array(Stretch(factors)(image)), expected, atol=1e-5)


@pytest.mark.tensorflow
def test_stretching_traces_where_the_size_is_not_known():
    import tensorflow as tf

    stretched = tf.function(Stretch((2, 3)), input_signature=[tf.TensorSpec((None, None, None, 1))])
    assert stretched(tf.zeros((1, 4, 5, 1))).shape == (1, 8, 15, 1)


@pytest.mark.parametrize("factor", [2, 3, 4])
def test_bilinear_kernel_keeps_a_constant(factor, array):
    up = layers.Conv2DTranspose(2, bilinear_kernel(factor, 2).shape[0], factor, use_bias=False)
    up.build((None, 5, 5, 2))
    up.set_weights([bilinear_kernel(factor, 2)])
    inside = array(up(np.ones((1, 5, 5, 2), "float32")))[:, factor:-factor, factor:-factor]
    np.testing.assert_allclose(inside, 1, atol=1e-6)


def test_trains_saves_and_leaves_the_source_alone(net, trunk, array, rng, tmp_path):
    classifier = net(
        lambda x: layers.Dense(3)(
            layers.Dense(8, activation="relu", name="fc")(
                layers.Flatten()(layers.MaxPooling2D(2)(layers.ReLU(name="fine")(trunk(x))))
            )
        ),
        (18, 18, 3),
    )
    fcn = km.convert.to_fully_convolutional(classifier)
    source = fcn.get_weights()
    model = km.convert.upsample(fcn, 2, features="fc", skips=["fine"])
    x = rng.standard_normal((4, 24, 28, 3)).astype("float32")
    y = (x.mean(-1) > 0).astype("int32")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    metrics = [km.convert.MeanIU(2), km.convert.PixelAccuracy(2)]
    model.compile(keras.optimizers.Adam(0.01), loss, metrics=metrics)
    history = model.fit(x, y, epochs=10, verbose=0).history
    assert history["loss"][-1] < history["loss"][0]
    assert set(history) == {"loss", "mean_iu", "pixel_accuracy"}
    for old, new in zip(source, fcn.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)
    model.save(tmp_path / "segmenter.keras")
    again = keras.saving.load_model(tmp_path / "segmenter.keras", compile=False)
    np.testing.assert_allclose(array(again(x)), array(model(x)), atol=1e-6)


@pytest.mark.parametrize("skips", [[], ["b"], ["b", "a"]])
def test_every_weight_learns(skips, net, array, rng):
    """FCN-32s, 16s and 8s end to end: the trunk, each score, each upsampling."""

    def build(x):
        for name in "abc":
            x = layers.Conv2D(3, 3, activation="tanh")(x)
            x = layers.AveragePooling2D(2, name=name)(x)
        return layers.Dense(3)(layers.Dense(5, activation="tanh", name="fc")(layers.Flatten()(x)))

    fcn = km.convert.to_fully_convolutional(net(build, (38, 38, 1)))
    model = km.convert.upsample(fcn, 2, features="fc", skips=skips)
    x = rng.standard_normal((4, 44, 40, 1)).astype("float32")
    y = (np.roll(x, 3, 1)[..., 0] + x[..., 0] > 0).astype("int32")
    model.compile("adam", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    before = {w.path: array(w) for w in model.trainable_variables}
    model.fit(x, y, epochs=2, verbose=0)
    still = [p for p in before if np.array_equal(before[p], array(dict(_by_path(model))[p]))]
    assert still == []
    ups = [layer for layer in model.layers if isinstance(layer, layers.Conv2DTranspose)]
    assert len(ups) == len(skips)


def _by_path(model):
    return ((w.path, w) for w in model.trainable_variables)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"features": "z"}, "no layer 'z'"),
        ({"features": "c", "skips": ["a", "b"]}, "skip 'b' is not finer"),
        ({"features": "a", "skips": ["a"]}, "skip 'a' is not finer"),
    ],
)
def test_errors(options, message):
    with pytest.raises(ValueError, match=message):
        km.convert.upsample(averaging((2, 2, 2), "abc"), 2, **options)
