"""Boxes by arithmetic against boxes by experiment: which pixels change a cell."""

import keras
import numpy as np
import pytest
from keras import layers

import keras_metric as km
from keras_metric.convert.rules.aligned import Stretch

D = layers.Dense


def touched(fcn, size, cell, array):
    """The box of pixels that change a cell of `fcn`, found by changing one row or column."""
    rng = np.random.default_rng(0)
    image = rng.standard_normal((1, *size, 2)).astype("float32")
    before = array(fcn(image))[(0, *cell)]
    ends = []
    for axis in (1, 2):
        batch = np.repeat(image, size[axis - 1], axis=0)
        for i in range(size[axis - 1]):
            batch[i].swapaxes(0, axis - 1)[i] += 1
        after = array(fcn(batch))[(slice(None), *cell)]
        changed = np.flatnonzero(np.abs(after - before).max(-1) > 1e-5)
        ends.append((changed[0], changed[-1] + 1))
    return (ends[1][0], ends[0][0], ends[1][1], ends[0][1])


def head(x):
    return D(2)(layers.Flatten()(x))


NETS = {
    "valid": lambda x: head(layers.Conv2D(2, 3)(layers.MaxPooling2D(2)(layers.Conv2D(2, 3)(x)))),
    "dilated": lambda x: head(layers.Conv2D(2, 3, dilation_rate=2)(x)),
    "same": lambda x: head(layers.Conv2D(2, 5, padding="same")(x)),
    "strided same": lambda x: head(layers.Conv2D(2, 3, 2, padding="same")(x)),
    "padded": lambda x: head(layers.Conv2D(2, 3)(layers.ZeroPadding2D(((2, 0), (1, 1)))(x))),
    "cropped": lambda x: head(layers.Cropping2D(((2, 1), (0, 3)))(layers.Conv2D(2, 3)(x))),
    "sliced": lambda x: head(layers.Conv2D(2, 2)(x[:, 2:, :-3])),
    "residual": lambda x: head(
        layers.Add()([layers.Conv2D(2, 3, padding="same")(x), layers.Conv2D(2, 1)(x)])
    ),
    "average": lambda x: D(2)(layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3, 2)(x))),
    "unfolded": lambda x: layers.LayerNormalization()(
        layers.Flatten()(layers.AveragePooling2D(2)(x))
    ),
    "upsampled": lambda x: head(layers.UpSampling2D(2)(layers.AveragePooling2D(4)(x))[:, :5, :4]),
    "transposed": lambda x: D(2)(
        layers.Flatten()(layers.Conv2DTranspose(2, 3, 2)(layers.AveragePooling2D(4)(x))[:, :5, :5])
    ),
    "transposed axes": lambda x: layers.Flatten()(
        layers.Conv2D(2, 3)(layers.Permute((3, 1, 2))(layers.Permute((2, 3, 1))(x)))
    ),
}


@pytest.mark.parametrize("name", NETS)
def test_receptive_boxes_hold_what_a_cell_reads(name, net, array):
    model = net(NETS[name], (12, 11, 2))
    fcn = km.convert.to_fully_convolutional(model)
    size = (22, 19)
    places = km.convert.geometry(fcn, size=size)
    cells = array(fcn(np.zeros((1, *size, 2), "float32"))).shape[1:3]
    for cell in [(0, 0), (cells[0] - 1, cells[1] // 2)]:
        assert places.receptive_box(*cell) == touched(fcn, size, cell, array)


UP = {
    **{
        f"nearest {factor}": lambda factor=factor: layers.UpSampling2D(factor)
        for factor in (2, 3, (2, 1), (1, 4))
    },
    **{
        f"bilinear {factor}": lambda factor=factor: layers.UpSampling2D(
            factor, interpolation="bilinear"
        )
        for factor in (2, 3, 4, 5)
    },
    **{
        f"transposed {kernel} {stride} {padding}": lambda k=kernel, s=stride, p=padding: (
            layers.Conv2DTranspose(2, k, s, padding=p)
        )
        for kernel in (1, 2, 3, 4)
        for stride in (1, 2, 3)
        for padding in ("valid", "same")
    },
    "transposed, output padding": lambda: layers.Conv2DTranspose(
        2, 3, 2, padding="same", output_padding=1
    ),
    "transposed, dilated": lambda: layers.Conv2DTranspose(2, 3, 1, dilation_rate=2),
    "stretched": lambda: Stretch((3, 2)),
}


@pytest.mark.parametrize("name", UP)
def test_receptive_boxes_of_upsampling_at_every_phase(name, array, randomize):
    """Each cell of a row and of a column; the pixels that change it are found by changing them."""
    image = keras.Input((None, None, 2))
    x = layers.Conv2D(2, (3, 2), strides=(2, 1), activation="tanh")(image)
    fcn = randomize(keras.Model(image, layers.Conv2D(2, 2)(UP[name]()(x))))
    size = (9, 7)
    places = km.convert.geometry(fcn, window=(9, 7))
    rows, columns = array(fcn(np.zeros((1, *size, 2), "float32"))).shape[1:3]
    seen = changed_cells(fcn, size, array)
    for cell in [(i, columns // 2) for i in range(rows)] + [(rows // 2, j) for j in range(columns)]:
        pixels = np.argwhere(seen[:, :, cell[0], cell[1]])
        if len(pixels):
            (top, left), (bottom, right) = pixels.min(0), pixels.max(0) + 1
            assert places.receptive_box(*cell) == (left, top, right, bottom)


def changed_cells(fcn, size, array):
    """`(height, width, rows, columns)`: whether a pixel changes a cell."""
    image = np.random.default_rng(0).standard_normal((1, *size, 2)).astype("float32")
    batch = np.repeat(image, size[0] * size[1], axis=0)
    for k, (i, j) in enumerate(np.ndindex(*size)):
        batch[k, i, j] += 1
    apart = np.abs(array(fcn(batch)) - array(fcn(image))).max(-1)
    return apart.reshape(*size, *apart.shape[1:]) > 1e-5


def test_strides_windows_and_boxes(net, trunk):
    fcn = km.convert.to_fully_convolutional(net(lambda x: head(trunk(x)), (15, 12, 3)))
    places = km.convert.geometry(fcn, size=(20, 20))
    assert places.window == (15, 12)
    assert places.stride == (2, 2)
    assert places.receptive_field == (14, 12)
    assert places.window_box(1, 3) == (6, 2, 18, 17)
    assert places.receptive_box(1, 3) == (6, 2, 18, 16)
    np.testing.assert_array_equal(places.window_boxes(2, 4)[1, 3], (6, 2, 18, 17))
    assert places.keeps_phase(16, 21)


def test_phase_of_strided_same_layers(net):
    def build(x):
        for _ in range(2):
            x = layers.Conv2D(3, 3, 2, padding="same")(x)
        return D(2)(layers.GlobalAveragePooling2D()(x))

    fcn = km.convert.to_fully_convolutional(net(build, (16, 16, 2)))
    places = km.convert.geometry(fcn)
    assert places.size_step == (4, 4)
    assert places.keeps_phase(24, 20)
    assert not places.keeps_phase(25, 20)
    assert places.fitting_size(17, 16) == (20, 16)
    moved = km.convert.geometry(fcn, size=(17, 16))
    assert moved.start == (-3, 0)  # one zero more in front at each stage: 1 + 2 pixels
    assert moved.window_box(0, 0) == (0, -3, 16, 13)


def test_a_whole_image_gate_reads_everything(net):
    def build(x):
        gate = D(2)(layers.GlobalAveragePooling2D()(x))
        return D(2)(layers.GlobalAveragePooling2D()(x * layers.Reshape((1, 1, 2))(gate)))

    places = km.convert.geometry(km.convert.to_fully_convolutional(net(build, (8, 8, 2))))
    assert places.receptive_field == (np.inf, np.inf)
    assert places.receptive_box(0, 0) == (0, 0, 8, 8)


def test_branches_of_different_strides_have_no_box():
    image = keras.Input((None, None, 2))
    fine, coarse = layers.Conv2D(2, 3)(image), layers.Conv2D(2, 3, 2)(image)
    fcn = keras.Model(image, layers.Add(name="join")([fine, coarse]))
    with pytest.raises(km.convert.ConversionError, match="'join' joins maps"):
        km.convert.geometry(fcn, window=(3, 3))


def test_window_of_a_network_that_was_never_converted(trunk):
    image = keras.Input((None, None, 3))
    fcn = keras.Model(image, layers.Conv2D(2, (4, 3))(trunk(image)))
    assert km.convert.geometry(fcn).window == (14, 12)
    assert km.convert.geometry(fcn, window=(15, 12)).window == (15, 12)


def test_cells_of_a_map_lie_in_the_middle_of_their_windows(net):
    """One position of the map, and the window around it: of the same middle."""
    model = net(
        lambda x: D(2)(layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3, 2)(x))), (9, 7, 2)
    )
    places = km.convert.geometry(km.convert.to_fully_convolutional(model, pooling="map"))
    assert places.receptive_box(1, 1) == (2, 2, 5, 5)
    assert places.window_box(1, 1) == (0, -1, 7, 8)
    windows = km.convert.geometry(km.convert.to_fully_convolutional(model))
    assert windows.window_box(1, 1) == (2, 2, 9, 11)


def test_output_without_positions():
    image = keras.Input((None, None, 2))
    fcn = keras.Model(image, layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(image)))
    with pytest.raises(ValueError, match="no positions"):
        km.convert.geometry(fcn, window=(5, 5))


def padded():
    """Written by hand, never converted: cells at the border read nothing but zeros."""
    return keras.Sequential(
        [keras.Input((None, None, 1)), layers.ZeroPadding2D(3), layers.Conv2D(2, 2)]
    )


def test_a_sequential_network_written_by_hand(rng):
    found = km.convert.geometry(padded(), window=(8, 8))
    assert (found.stride, found.receptive_field) == ((1, 1), (2, 2))
    assert found.receptive_box(4, 5) == (2, 1, 4, 3)
    image = rng.normal(size=(20, 24, 1)).astype("float32")
    whole = padded()
    scores = km.convert.scan(whole, image, window=(8, 8)).scores
    np.testing.assert_allclose(scores, whole.predict(image[None], verbose=0)[0], atol=1e-6)


def test_a_cell_that_reads_nothing_has_an_empty_box():
    found = km.convert.geometry(padded(), window=(8, 8), size=(8, 8))
    assert [found.receptive_box(i, i) for i in (0, 2, 12)] == [
        (0, 0, 0, 0),
        (0, 0, 1, 1),
        (8, 8, 8, 8),
    ]
    assert found.receptive_box(-4, 20) == (8, 0, 8, 0)


def test_a_network_for_one_size_is_refused():
    fixed = keras.Sequential([keras.Input((8, 8, 1)), layers.Conv2D(2, 2)])
    with pytest.raises(ValueError, match="images of one size. Expected: .* Received: an input of"):
        km.convert.geometry(fixed)
