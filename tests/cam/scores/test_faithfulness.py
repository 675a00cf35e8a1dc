"""Faithfulness scores on a score whose true map is known, and imputation against a solver."""

import numpy as np
import pytest

from keras_metric.cam.scores import (
    average_drop,
    average_increase,
    deletion,
    insertion,
    road,
)
from keras_metric.cam.scores.imputation import WEIGHTS, blurred, imputed

SHAPE = (9, 8)


def score(images):
    """The brightness of the upper left quarter."""
    return images[:, :4, :4].mean((1, 2, 3))


@pytest.fixture
def images(rng):
    return 1 + rng.random((2, *SHAPE, 3))


@pytest.fixture
def right():
    heat = np.zeros((2, *SHAPE))
    heat[:, :4, :4] = 1
    return heat


def test_drop_and_increase(images, right):
    assert average_drop(score, images, right) == pytest.approx(0, abs=1e-6)
    assert average_drop(score, images, 1 - right) == pytest.approx(1)
    assert average_drop(score, images, 0.25 * right) == pytest.approx(0.75, abs=1e-6)
    assert average_increase(score, images, right) == 0
    assert average_increase(score, images, 1.5 * right) == 1


def test_deletion_equals_loops(images, rng):
    maps = rng.random((2, *SHAPE))
    found = deletion(score, images, maps, steps=4)
    for n in range(2):
        changed, values = images[n].copy(), [score(images[n : n + 1])[0]]
        order = np.argsort(-maps[n].ravel(), kind="stable")
        for part in np.split(order, 4):
            changed.reshape(-1, 3)[part] = images[n].mean((0, 1))
            values.append(score(changed[None])[0])
        area = (sum(values) - (values[0] + values[-1]) / 2) / 4
        np.testing.assert_allclose(found[n], area, rtol=1e-5)


def test_the_right_map_wins(images, right):
    images[:, :4, :4] += 3
    better = [deletion, insertion]
    for function, sign in zip(better, (-1, 1), strict=True):
        gain = function(score, images, right) - function(score, images, 1 - right)
        assert (sign * gain > 0).all()
    good, bad = (road(score, images, m) for m in (right, 1 - right))
    assert (good.combined > 0).all()
    assert (bad.combined < 0).all()
    np.testing.assert_allclose(good.combined, (good.least - good.most) / 2)
    np.testing.assert_array_equal(good.most, road(score, images, right).most)


def test_imputation_solves_the_neighbour_equations(images, rng):
    removed = rng.random((2, *SHAPE)) < 0.6
    found = imputed(images, removed, np.zeros(images.shape))
    np.testing.assert_array_equal(found[~removed], images[~removed])
    steps = {**WEIGHTS, **{(-y, -x): w for (y, x), w in WEIGHTS.items()}}
    for n, y, x in np.argwhere(removed):
        total, weight = 0.0, 0.0
        for (dy, dx), w in steps.items():
            if 0 <= y + dy < SHAPE[0] and 0 <= x + dx < SHAPE[1]:
                total, weight = total + w * found[n, y + dy, x + dx], weight + w
        np.testing.assert_allclose(found[n, y, x], total / weight, atol=1e-5)


def test_blur_keeps_flat_pictures_and_spreads_points():
    flat = np.full((1, 7, 9, 1), 2.0)
    np.testing.assert_allclose(blurred(flat, 2.0), flat)
    point = np.zeros((1, 21, 21, 1))
    point[0, 10, 10] = 1
    found = blurred(point, 1.5)[0, ..., 0]
    y, x = np.mgrid[-10:11, -10:11]
    expected = np.exp(-(y**2 + x**2) / (2 * 1.5**2))
    np.testing.assert_allclose(found, expected / expected.sum(), atol=1e-3)


def test_bad_requests_are_refused(images, right):
    with pytest.raises(ValueError, match="do not match"):
        deletion(score, images, right[:, :3])
    with pytest.raises(ValueError, match="No score for each image"):
        average_drop(lambda x: x, images, right)
    with pytest.raises(ValueError, match="percentiles between"):
        road(score, images, right, percentiles=(0,))
