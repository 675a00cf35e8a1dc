"""Grids of positions: which activations have one, and the way there and back."""

import itertools

import numpy as np
import pytest
from keras import ops

from keras_metric.cam.network.positions import (
    Image,
    Positions,
    layouts,
    possible_axes,
    spatial_inputs,
)


def over(size):
    return Image(0, tuple(range(1, 1 + len(size))), size)


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((2, 6, 5, 8), (12, 10), Positions((6, 5), (1, 2))),
        ((2, 7, 8), (20,), Positions((7,), (1,))),
        ((2, 3, 4, 5, 8), (6, 8, 10), Positions((3, 4, 5), (1, 2, 3))),
        ((2, 30, 8), (12, 10), Positions((6, 5), (1,))),
        ((2, 197, 8), (224, 224), Positions((14, 14), (1,), skip=1)),
        ((2, 201, 8), (224, 224), Positions((14, 14), (1,), skip=5)),
    ],
)
def test_the_usual_grid_comes_first(shape, size, expected):
    assert next(layouts(np.zeros(shape, "float32"), over(size))) == expected


@pytest.mark.parametrize("shape", [(2, 1, 1, 1), (2, 8), (2, 2, 3, 4, 5)])
def test_shapes_without_a_grid(shape):
    assert not list(layouts(np.zeros(shape, "float32"), over((12, 10))))


def test_pooled_activations_have_no_usual_grid():
    found = layouts(np.zeros((2, 1, 1, 8), "float32"), over((12, 10)))
    assert (1, 2) not in [layout.axes for layout in found]


def test_axes_that_may_be_places():
    assert possible_axes(2) == [(1,)]
    assert possible_axes(3) == [(1,), (1, 2), (2,)]
    assert possible_axes(4) == [(1, 2), (1, 3), (2, 3)]


@pytest.mark.parametrize("layout", [
    Positions((4, 5), (2, 3)), Positions((5, 4), (3, 2)), Positions((4, 3), (2, 1)),
    Positions((3, 4), (1, 2)),
])  # fmt: skip
def test_every_order_of_axes_goes_there_and_back(layout, rng):
    activation = rng.normal(size=(2, 3, 4, 5)).astype("float32")
    flat = ops.convert_to_numpy(layout.flatten(ops.convert_to_tensor(activation)))
    (channel,) = {1, 2, 3} - set(layout.axes)
    for cell, place in enumerate(itertools.product(*map(range, layout.grid))):
        here = [slice(None)] * 4
        for axis, at in zip(layout.axes, place, strict=True):
            here[axis] = at
        np.testing.assert_array_equal(flat[:, cell], activation[tuple(here)])
    assert flat.shape[-1] == activation.shape[channel]
    back = layout.restore(ops.convert_to_tensor(flat), ops.convert_to_tensor(activation))
    np.testing.assert_array_equal(back, activation)


@pytest.mark.parametrize("layout", [
    Positions((2, 3), (1,), skip=1), Positions((2, 3), (1,), skip=1, order=(1, 0)),
    Positions((2, 3), (2,), skip=1),
])  # fmt: skip
def test_tokens_without_a_place_are_left_out_and_put_back(layout, rng):
    tokens = rng.normal(size=(2, 7, 7)).astype("float32")
    flat = ops.convert_to_numpy(layout.flatten(ops.convert_to_tensor(tokens)))
    rows = tokens if layout.axes == (1,) else tokens.swapaxes(1, 2)
    for y, x in itertools.product(range(2), range(3)):
        token = x * 2 + y if layout.order else y * 3 + x
        np.testing.assert_array_equal(flat[:, y * 3 + x], rows[:, 1 + token])
    back = layout.restore(ops.convert_to_tensor(2 * flat), ops.convert_to_tensor(tokens))
    back = ops.convert_to_numpy(back) if layout.axes == (1,) else np.swapaxes(back, 1, 2)
    np.testing.assert_array_equal(back[:, 1:], 2 * rows[:, 1:])
    np.testing.assert_array_equal(back[:, :1], rows[:, :1])


def test_tokens_in_any_order_are_put_in_order_and_back(rng):
    layout = Positions((2, 3), (1,), skip=2, places=(7, 1, 5, 2, 0, 4))
    tokens = rng.normal(size=(2, 8, 5)).astype("float32")
    flat = ops.convert_to_numpy(layout.flatten(ops.convert_to_tensor(tokens)))
    for cell, token in enumerate(layout.places):
        np.testing.assert_array_equal(flat[:, cell], tokens[:, token])
    back = layout.restore(ops.convert_to_tensor(2 * flat), ops.convert_to_tensor(tokens))
    for token in range(8):
        factor = 2 if token in layout.places else 1
        np.testing.assert_array_equal(back[:, token], factor * tokens[:, token])


def test_images_are_told_from_other_inputs():
    photo, vector, numbers = np.zeros((2, 8, 8, 3)), np.zeros((2, 4)), np.zeros((2, 9), "int32")
    assert spatial_inputs([vector, photo]) == [1]
    assert spatial_inputs([photo, photo]) == [0, 1]
    assert spatial_inputs(numbers) == [0]
