"""What a scan takes: images of any kind of number, tiles of any integer; and what it refuses."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_metric as km

D = layers.Dense


def pooled(x):
    return D(3)(layers.GlobalAveragePooling2D()(x))


def test_memory_decides_and_files_are_read_tile_by_tile(net, trunk, array, rng, tmp_path):
    fcn = km.convert.to_fully_convolutional(net(lambda x: pooled(trunk(x)), (16, 16, 3)))
    pixels = rng.integers(0, 255, (120, 90, 3)).astype("uint8")
    np.save(tmp_path / "image.npy", pixels)
    image = np.load(tmp_path / "image.npy", mmap_mode="r")
    whole = km.convert.scan(fcn, image)
    assert (whole.tiles, whole.tile, whole.seam) == (1, (120, 90), 0.0)
    shown = []

    def progress(tiles):
        for tile in tiles:
            shown.append(len(tiles))
            yield tile

    tiled = km.convert.scan(fcn, image, memory=150_000, progress=progress)
    assert tiled.tiles == len(shown) > 1
    np.testing.assert_allclose(tiled.scores, whole.scores, atol=1e-5 * whole.scores.std())
    smaller = km.convert.scan(fcn, image, memory=80_000)
    assert smaller.tiles > tiled.tiles


def test_pixels_that_are_no_numbers_stay_where_they_are(net, trunk, array):
    fcn = km.convert.to_fully_convolutional(net(lambda x: pooled(trunk(x)), (16, 16, 3)))
    image = np.ones((40, 40, 3), "float32")
    image[20, 20] = np.nan
    found = km.convert.scan(fcn, image, tile=30)
    assert found.tiles > 1
    lost, at_once = np.isnan(found.scores), np.isnan(array(fcn(image[None]))[0])
    assert not (at_once & ~lost).any()
    if keras.backend.backend() != "jax":  # XLA spreads a NaN over the block it computes at a time
        np.testing.assert_array_equal(lost, at_once)
    assert found.seam <= 1e-5


@pytest.mark.parametrize("tile", [np.int64(30), (np.int32(30), 31), [30, 30]])
def test_sides_of_any_integer(tile, net, trunk):
    fcn = km.convert.to_fully_convolutional(net(lambda x: pooled(trunk(x)), (16, 16, 3)))
    found = km.convert.scan(fcn, np.zeros((40, 40, 3), "float32"), tile=tile)
    assert found.tiles > 1
    assert all(type(side) is int for side in found.tile)


@pytest.mark.parametrize(
    ("shape", "options", "message"),
    [
        ((1, 30, 30, 3), {}, r"Expected: shape \('any', 'any', 3\)"),
        ((30, 30, 1), {}, "does not fit the network"),
        ((13, 30, 3), {}, "smaller than a window. Expected: at least 16 x 16"),
        ((40, 40, 3), {"tile": (20,)}, "Expected: 2 positive sides"),
        ((40, 40, 3), {"tile": 0}, "Expected: 2 positive sides"),
        ((40, 40, 3), {"tile": True}, "Expected: 2 positive sides. Received: True"),
        ((40, 40, 3), {"tile": 30.0}, "Expected: 2 positive sides. Received: 30.0"),
        ((40, 40, 3), {"tile": 10}, "The tile is too small"),
        ((30, 30, 3), {"window": (31, 16)}, "at least 31 x 16"),
    ],
)
def test_refusals(shape, options, message, net, trunk):
    fcn = km.convert.to_fully_convolutional(net(lambda x: pooled(trunk(x)), (16, 16, 3)))
    with pytest.raises(ValueError, match=message):
        km.convert.scan(fcn, np.zeros(shape, "float32"), **options)


def test_one_image_only(net, trunk):
    a, b = keras.Input((None, None, 1)), keras.Input((None, None, 1))
    with pytest.raises(ValueError, match="more than one input"):
        km.convert.scan(keras.Model([a, b], layers.Add()([a, b])), np.zeros((4, 4, 1)))


def test_what_is_no_image_and_no_network_of_any_size(net, trunk):
    model = net(lambda x: pooled(trunk(x)), (16, 16, 3))
    fcn = km.convert.to_fully_convolutional(model)
    assert km.convert.scan(fcn, np.zeros((20, 20, 3)).tolist()).tiles == 1
    with pytest.raises(ValueError, match="Expected: pixels. Received: <U1"):
        km.convert.scan(fcn, np.full((20, 20, 3), "a"))
    with pytest.raises(ValueError, match="has a fixed input size. Expected: the result of"):
        km.convert.scan(model, np.zeros((20, 20, 3)))
