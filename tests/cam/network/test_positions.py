"""Grids of positions: which activations have one, and the way there and back."""

import numpy as np
import pytest
from keras import ops

from keras_metric.cam.network.positions import Positions, positions_of, spatial_inputs


@pytest.mark.parametrize(
    ("shape", "size", "expected"),
    [
        ((2, 6, 5, 8), (12, 10), Positions((6, 5))),
        ((2, 7, 8), (20,), Positions((7,))),
        ((2, 3, 4, 5, 8), (6, 8, 10), Positions((3, 4, 5))),
        ((2, 30, 8), (12, 10), Positions((6, 5))),
        ((2, 197, 8), (224, 224), Positions((14, 14), skip=1)),
        ((2, 201, 8), (224, 224), Positions((14, 14), skip=5)),
        ((2, 1, 1, 8), (12, 10), None),
        ((2, 8), (12, 10), None),
        ((2, 23, 8), (12, 10), None),
    ],
)
def test_grids_by_shape(shape, size, expected):
    assert positions_of(np.zeros(shape, "float32"), size) == expected


def test_tokens_without_a_place_are_left_out_and_put_back(rng):
    tokens = rng.normal(size=(2, 7, 3)).astype("float32")
    layout = Positions((2, 3), skip=1)
    flat = ops.convert_to_numpy(layout.flatten(ops.convert_to_tensor(tokens)))
    np.testing.assert_array_equal(flat, tokens[:, 1:])
    back = layout.restore(ops.convert_to_tensor(2 * flat), ops.convert_to_tensor(tokens))
    np.testing.assert_array_equal(back[:, 1:], 2 * tokens[:, 1:])
    np.testing.assert_array_equal(back[:, :1], tokens[:, :1])


def test_channels_first_goes_there_and_back(rng):
    activation = rng.normal(size=(2, 3, 4, 5)).astype("float32")
    layout = Positions((4, 5), channels_first=True)
    flat = layout.flatten(ops.convert_to_tensor(activation))
    assert tuple(flat.shape) == (2, 20, 3)
    np.testing.assert_array_equal(flat[0, 7], activation[0, :, 1, 2])
    back = layout.restore(flat, ops.convert_to_tensor(activation))
    np.testing.assert_array_equal(back, activation)


def test_images_are_told_from_other_inputs():
    photo, vector, numbers = np.zeros((2, 8, 8, 3)), np.zeros((2, 4)), np.zeros((2, 9), "int32")
    assert spatial_inputs([vector, photo]) == [1]
    assert spatial_inputs([photo, photo]) == [0, 1]
    assert spatial_inputs(numbers) == [0]
