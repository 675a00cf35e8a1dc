"""Images of a class move together, and what they move by is the sum of both warps."""

import numpy as np
import pytest

from zoo.datasets.augmentation.new_classes import ClassWarp
from zoo.datasets.augmentation.warp import Warp, read

STILL = Warp(rotation=0, scale=0, shear=0, translation=0)
STRONG = Warp(rotation=15, scale=0.3, shear=0.4, translation=0, elastic=0.05)


def copies(rng, classes=6, each=4):
    return rng.integers(0, 256, (classes, 9, 9, 1), np.uint8).repeat(each, axis=0)


def test_images_of_a_class_are_distorted_alike_and_classes_each_their_own_way(rng):
    images = np.tile(copies(rng, classes=1), (6, 1, 1, 1))
    got = ClassWarp(STILL, STRONG, 1.0, 4)(rng, images).reshape(6, 4, -1)
    assert (got == got[:, :1]).all()
    assert len({one.tobytes() for one in got[:, 0]}) == 6


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_classes_is_distorted(rng, share):
    images = copies(rng, classes=200)
    got = ClassWarp(STILL, STRONG, share, 4)(rng, images)
    moved = (got != images).reshape(200, -1).any(1)
    assert abs(moved.mean() - share) < 0.15
    assert share in (0.5, moved.mean())


def test_displacements_of_image_and_class_add_up():
    images = np.random.default_rng(0).uniform(0, 255, (8, 9, 9, 1)).astype(np.float32)
    each = Warp(elastic=0.02, fill=7)
    got = ClassWarp(each, STRONG, 1.0, 4)(np.random.default_rng(1), images)
    rng = np.random.default_rng(1)
    places, alike = each.places(rng, 8, (9, 9)), STRONG.places(rng, 2, (9, 9))
    for image in range(8):
        for pixel in range(81):
            places[image, :, pixel] += alike[image // 4, :, pixel] - divmod(pixel, 9)
    np.testing.assert_allclose(got, read(images, places, 7), atol=0.05)


@pytest.mark.parametrize(("share", "each"), [(-0.1, 4), (1.1, 4), (0.5, 0)])
def test_values_out_of_range_are_refused(share, each):
    with pytest.raises(ValueError, match=r"Expected: share from 0 to 1[\s\S]*Received"):
        ClassWarp(STILL, STRONG, share, each)


def test_part_of_a_class_is_refused(rng):
    with pytest.raises(ValueError, match=r"whole classes[\s\S]*multiple of 4[\s\S]*Received: 7"):
        ClassWarp(STILL, STRONG, 0.5, 4)(rng, np.zeros((7, 9, 9, 1), np.uint8))


def test_what_is_no_image_is_refused(rng):
    with pytest.raises(ValueError, match=r"not images[\s\S]*Expected[\s\S]*Received: \(8, 5\)"):
        ClassWarp(STILL, STRONG, 0.5, 4)(rng, np.zeros((8, 5)))
