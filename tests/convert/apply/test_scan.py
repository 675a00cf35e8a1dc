"""Tiled scans are the scan of the whole image: every seam, every padding, every rank."""

import keras
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from keras import layers

import keras_metric as km
from keras_metric.convert import ConversionError

D = layers.Dense


def same(x):
    x = layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    return layers.Conv2D(4, 5, padding="same")(x)


def strided_same(x):
    x = layers.Conv2D(4, 3, 2, padding="same", activation="relu")(x)
    x = layers.MaxPooling2D(3, 2, padding="same")(x)
    return layers.Conv2D(4, 3, padding="same")(x)


def residual(x):
    short = layers.Conv2D(4, 1, 2)(x)
    long = layers.Conv2D(4, 3, 2, padding="same")(x)
    return layers.Add()([short, layers.Conv2D(4, 3, padding="same")(long)])


def padded(x):
    return layers.Conv2D(4, 3, 2)(layers.ZeroPadding2D(((1, 2), (2, 0)))(x))


def decoded(x):
    x = layers.MaxPooling2D(4)(layers.Conv2D(4, 3, padding="same")(x))
    return layers.UpSampling2D(2)(layers.Conv2D(4, 3, padding="same")(x))


def cropped(x):
    return layers.Conv2D(4, 3)(x[:, 3:, :-5])


def bilinear(x):
    x = layers.MaxPooling2D(4)(layers.Conv2D(4, 3, padding="same")(x))
    return layers.UpSampling2D((4, 3), interpolation="bilinear")(layers.Conv2D(4, 3)(x))


TRUNKS = {
    "valid": lambda x: layers.Conv2D(4, 3, 2)(layers.MaxPooling2D(2)(layers.Conv2D(4, 4)(x))),
    "dilated": lambda x: layers.Conv2D(4, 3, dilation_rate=3)(layers.AveragePooling2D(3, 2)(x)),
    "same": same,
    "strided same": strided_same,
    "residual": residual,
    "padded": padded,
    "decoded": decoded,
    "cropped": cropped,
    "bilinear": bilinear,
}
READINGS = {
    "window": {},
    "map": {"pooling": "map"},
}


def pooled(x):
    return D(3)(layers.GlobalAveragePooling2D()(x))


def assert_equal_whole(fcn, image, tile, array):
    found = km.convert.scan(fcn, image, tile=tile)
    whole = array(fcn(image[None]))[0]
    assert found.tiles > 1
    assert found.scores.shape == whole.shape
    assert np.abs(found.scores - whole).max() <= 1e-5 * whole.std()
    assert found.seam <= 1e-5
    return found


@pytest.mark.diagonal
@pytest.mark.parametrize("reading", READINGS)
@pytest.mark.parametrize("name", TRUNKS)
def test_tiles_leave_no_seam(name, reading, net, array, rng):
    model = net(lambda x: pooled(TRUNKS[name](x)), (20, 20, 2))
    fcn = km.convert.to_fully_convolutional(model, **READINGS[reading])
    for size in ((101, 78), (96, 83)):
        image = rng.standard_normal((*size, 2)).astype("float32")
        found = assert_equal_whole(fcn, image, 53, array)
        assert found.geometry == km.convert.geometry(fcn, size=size)
        assert max(found.tile) <= 53


PADDINGS = st.sampled_from(["valid", "same"])
STAGES = st.lists(st.tuples(PADDINGS, st.integers(1, 3), st.integers(1, 3)), min_size=1, max_size=3)


@settings(
    max_examples=8, deadline=None, derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)  # fmt: skip
@given(
    stages=STAGES,
    size=st.tuples(st.integers(60, 90), st.integers(60, 90)),
    longer=st.integers(0, 20),
)
def test_random_networks_and_the_least_tile(stages, size, longer, randomize, array):
    image = x = keras.Input((None, None, 1))
    for padding, kernel, stride in stages:
        x = layers.Conv2D(2, kernel, stride, padding=padding)(x)
    fcn = randomize(keras.Model(image, x))
    pixels = np.random.default_rng(0).standard_normal((*size, 1)).astype("float32")
    with pytest.raises(ValueError, match="tile is too small") as error:
        km.convert.scan(fcn, pixels, tile=1)
    least = [
        int(n) for n in str(error.value).split("at least ")[1].split(" pixels")[0].split(" x ")
    ]
    tile = tuple(n + longer for n in least)
    if any(t < n for t, n in zip(tile, size, strict=True)):
        assert_equal_whole(fcn, pixels, tile, array)
    with pytest.raises(ValueError, match="tile is too small"):
        km.convert.scan(fcn, pixels, tile=(least[0] - 1, least[1]))


def test_pixels_at_the_end_that_no_cell_reads(randomize, array, rng):
    """Cells end before the image does; the least tile reaches as far beyond its own."""
    image = keras.Input((None, None, 1))
    fcn = randomize(keras.Model(image, layers.Conv2D(2, 3)(image[:, :-20, :-10])))
    pixels = rng.standard_normal((80, 80, 1)).astype("float32")
    assert_equal_whole(fcn, pixels, (25, 15), array)
    with pytest.raises(ValueError, match="at least 25 x 15"):
        km.convert.scan(fcn, pixels, tile=24)


@pytest.mark.parametrize("options", [{"densify": 4}, {}])
def test_heads_of_every_kind(options, net, trunk, array, rng):
    def build(x):
        x = layers.MaxPooling2D(2)(trunk(x))
        joined = layers.Concatenate()([layers.Flatten()(x), layers.GlobalMaxPooling2D()(x)])
        return D(3, activation="softmax")(layers.LayerNormalization()(joined))

    fcn = km.convert.to_fully_convolutional(net(build, (18, 16, 3)), **options)
    image = rng.standard_normal((60, 71, 3)).astype("float32")
    assert_equal_whole(fcn, image, (37, 40), array)


@pytest.mark.parametrize("rank", [1, 3])
def test_signals_and_volumes(rank, net, array, rng):
    conv, pool = getattr(layers, f"Conv{rank}D"), getattr(layers, f"MaxPooling{rank}D")
    model = net(
        lambda x: D(3)(layers.Flatten()(conv(3, 3, padding="same")(pool(2)(x)))), (8,) * rank + (2,)
    )
    fcn = km.convert.to_fully_convolutional(model)
    image = rng.standard_normal((33, 26, 29)[:rank] + (2,)).astype("float32")
    assert_equal_whole(fcn, image, 22, array)


def test_channels_first(net, array, rng):
    first = {"data_format": "channels_first"}
    model = net(
        lambda x: D(2)(
            layers.GlobalAveragePooling2D(**first)(layers.AveragePooling2D(2, **first)(x))
        ),
        (3, 8, 8),
    )
    fcn = km.convert.to_fully_convolutional(model)
    image = rng.standard_normal((3, 40, 33)).astype("float32")
    found = km.convert.scan(fcn, image, tile=24)
    np.testing.assert_allclose(
        found.scores, np.moveaxis(array(fcn(image[None]))[0], 0, -1), atol=1e-5
    )


def test_a_network_from_a_file(net, trunk, array, rng, tmp_path):
    fcn = km.convert.to_fully_convolutional(net(lambda x: pooled(trunk(x)), (17, 16, 3)))
    fcn.save(tmp_path / "fcn.keras")
    again = keras.saving.load_model(tmp_path / "fcn.keras")
    assert_equal_whole(again, rng.standard_normal((60, 50, 3)).astype("float32"), 40, array)


def gated(x):
    gate = D(2)(layers.GlobalAveragePooling2D(name="squeeze")(x))
    return pooled(x * layers.Reshape((1, 1, 2))(gate))


def test_a_gate_over_the_whole_image_cannot_be_cut(net):
    fcn = km.convert.to_fully_convolutional(net(gated, (8, 8, 2)))
    image = np.ones((30, 30, 2), "float32")
    for options in ({"tile": 20}, {"memory": 1000}):
        with pytest.raises(ConversionError, match="cannot be cut into tiles.*squeeze"):
            km.convert.scan(fcn, image, **options)
    assert km.convert.scan(fcn, image).tiles == 1


def test_a_layer_that_pads_what_it_has_cropped_is_caught_at_the_seam(net, rng):
    """Zeros behind a crop lie inside the image: no rule knows them, the shared cells do."""
    model = net(
        lambda x: pooled(layers.Conv2D(4, 3, padding="same")(layers.Cropping2D(3)(x))), (12, 12, 2)
    )
    fcn = km.convert.to_fully_convolutional(model)
    image = rng.standard_normal((60, 60, 2)).astype("float32")
    with pytest.raises(ConversionError, match="Two tiles disagree"):
        km.convert.scan(fcn, image, tile=30)


def test_a_dark_tile_is_measured_by_the_bright_ones(randomize, rng):
    """A difference of a millionth of the scores is no seam, though it is all of a dark tile."""
    image = keras.Input((None, None, 1))
    conv = layers.Conv2D(2, 3, padding="same", use_bias=False)
    fcn = randomize(keras.Model(image, conv(image[:, 3:-3, 3:-3])))
    pixels = rng.standard_normal((60, 60, 1)).astype("float32")
    pixels[20:] *= 1e-7
    pixels[:, 20:] *= 1e-7
    found = km.convert.scan(fcn, pixels, tile=30)
    assert found.tiles > 1
    assert 0 < found.seam < 1e-6
    with pytest.raises(ConversionError, match="Two tiles disagree"):
        km.convert.scan(fcn, pixels[::-1, ::-1], tile=30)


@pytest.mark.parametrize("skips", [[], ["b"], ["b", "a"]])
def test_segmenters_are_tiled(skips, net, randomize, array, rng):
    def build(x):
        for name in "abc":
            x = layers.Conv2D(3, 3, activation="tanh")(x)
            x = layers.AveragePooling2D(2, name=name)(x)
        return D(3)(D(5, activation="tanh", name="fc")(layers.Flatten()(x)))

    fcn = km.convert.to_fully_convolutional(net(build, (38, 38, 1)))
    segmenter = randomize(km.convert.upsample(fcn, 2, features="fc", skips=skips))
    image = rng.standard_normal((243, 198, 1)).astype("float32")
    found = assert_equal_whole(segmenter, image, 170, array)
    assert found.scores.shape == (243, 198, 2)
    assert found.geometry.stride == (1, 1)
