"""Heat lies where the windows of its cells have their middles."""

import numpy as np
import pytest

import keras_metric as km
from keras_metric.convert import Geometry

PLACES = Geometry(
    window=(8, 6), stride=(4, 2), start=(0, 1), receptive_field=(8, 6), offset=(0, 1),
    size_step=(1, 1), size=(20, 17),
)  # fmt: skip


def middles(count, axis):
    return [
        PLACES.start[axis] + PLACES.window[axis] / 2 + i * PLACES.stride[axis] for i in range(count)
    ]


def test_a_plane_that_rises_evenly_rises_evenly_over_the_pixels():
    """Scores equal to the coordinate of their window's middle give every pixel its own."""
    rows, columns = np.array(middles(4, 0)), np.array(middles(6, 1))
    heat = km.convert.heat(rows[:, None] * 100 + columns, PLACES)
    assert heat.shape == (20, 17)
    for y in range(20):
        for x in range(17):
            centre = (y + 0.5, x + 0.5)
            near = [
                ends[0] - step / 2 <= c <= ends[-1] + step / 2
                for c, ends, step in zip(centre, (rows, columns), PLACES.stride, strict=True)
            ]
            clipped = [
                np.clip(c, e[0], e[-1]) for c, e in zip(centre, (rows, columns), strict=True)
            ]
            expected = clipped[0] * 100 + clipped[1] if all(near) else np.nan
            np.testing.assert_allclose(heat[y, x], expected, rtol=1e-5)


def test_smaller_pictures_and_one_cell():
    heat = km.convert.heat(np.full((4, 6), 3.0), PLACES, (10, 9))
    assert heat.shape == (10, 9)
    assert set(heat[~np.isnan(heat)]) == {3.0}
    one = km.convert.heat(np.array([[2.0]]), PLACES)
    assert np.argwhere(~np.isnan(one)).min(0).tolist() == [2, 3]
    assert np.argwhere(~np.isnan(one)).max(0).tolist() == [5, 4]


def test_one_label_at_a_time():
    with pytest.raises(ValueError, match="scores of one label"):
        km.convert.heat(np.zeros((4, 6, 2)), PLACES)
