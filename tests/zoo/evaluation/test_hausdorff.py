"""The modified Hausdorff distance against plain loops."""

import math

import numpy as np
import pytest

from zoo.evaluation.one_shot_trials import modified_hausdorff


def centred(image):
    points = [(r, c) for r in range(len(image)) for c in range(len(image[0])) if image[r][c] > 127]
    middle = [sum(axis) / len(points) for axis in zip(*points, strict=True)]
    return [(r - middle[0], c - middle[1]) for r, c in points]


def mean_of_nearest(points, others):
    return sum(min(math.dist(p, q) for q in others) for p in points) / len(points)


def drawings(rng, count, side=9):
    images = np.where(rng.random((count, side, side, 1)) < 0.2, 255, 0).astype(np.uint8)
    images[:, 0, 0] = 128
    images[:, 1, 1] = 127
    return images


def test_it_is_the_greater_mean_of_nearest_distances(rng):
    first, second = drawings(rng, 4), drawings(rng, 3)
    found = modified_hausdorff(first, second)
    for a in range(4):
        for c in range(3):
            p, q = centred(first[a, ..., 0].tolist()), centred(second[c, ..., 0].tolist())
            expected = max(mean_of_nearest(p, q), mean_of_nearest(q, p))
            assert found[a, c] == pytest.approx(expected, abs=1e-9)


def test_a_moved_drawing_is_at_no_distance(rng):
    images = np.zeros((2, 20, 20, 1), np.uint8)
    images[0, :9, :9] = drawings(rng, 1)
    images[1, 5:14, 11:20] = images[0, :9, :9]
    assert modified_hausdorff(images[:1], images[1:])[0, 0] == pytest.approx(0, abs=1e-6)


def test_no_ink_is_infinitely_far(rng):
    images = np.concatenate([drawings(rng, 1), np.zeros((1, 9, 9, 1), np.uint8)])
    found = modified_hausdorff(images, images)
    assert np.isinf(found).tolist() == [[False, True], [True, True]]
    assert np.isinf(modified_hausdorff(images[:1], images[1:])).all()


def test_pictures_of_another_form_are_refused():
    with pytest.raises(ValueError, match=r"Expected: grey pictures .*float64 \(1, 4, 4, 1\)"):
        modified_hausdorff(np.zeros((1, 4, 4, 1)), np.zeros((1, 4, 4, 1), np.uint8))
    with pytest.raises(ValueError, match="uint8"):
        modified_hausdorff(np.zeros((1, 4, 4, 1), np.uint8), np.zeros((1, 4, 4), np.uint8))
