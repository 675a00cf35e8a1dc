"""Characters on 8 x 8 cells, and the classes that digits make when they are turned."""

import numpy as np

from zoo.datasets import Images
from zoo.datasets.augmentation.coarse import coarse
from zoo.recipes import _digits


def drawn(*boxes, side=64):
    """One drawing: white boxes (top, left, bottom, right) on black."""
    image = np.zeros((1, side, side, 1), np.uint8)
    for top, left, bottom, right in boxes:
        image[0, top:bottom, left:right] = 255
    return Images(image, [0], ("x",))


def test_the_ink_fills_the_square_wherever_and_however_large_it_was():
    corner = drawn((0, 0, 2, 16), (0, 0, 16, 2))
    middle = drawn((20, 20, 24, 52), (20, 20, 52, 24))
    small = coarse(corner, 8).images.astype(int)
    np.testing.assert_allclose(small, coarse(middle, 8).images, atol=8)  # the filter's tails
    assert small[0, 0, :, 0].min() > 200
    assert small[0, :, 0, 0].min() > 200
    assert small[0, 3:, 3:].max() == 0


def test_a_thin_pen_writes_as_bright_as_a_thick_one_and_proportions_stay():
    thin = coarse(drawn((0, 30, 64, 31), (31, 0, 32, 64)), 8).images[0, ..., 0]
    thick = coarse(drawn((0, 28, 64, 36), (28, 0, 36, 64)), 8).images[0, ..., 0]
    assert thin.max() == thick.max() == 255
    tall = coarse(drawn((0, 10, 64, 26)), 8).images[0, ..., 0]
    assert tall[:, 3:5].min() == 255
    assert tall[:, [0, 1, 6, 7]].max() == 0
    assert coarse(drawn(), 28).images.shape == (1, 28, 28, 1)


def test_turned_digits_are_classes_where_they_look_different(rng):
    names = tuple("0123456789")
    images = Images(rng.integers(0, 255, (20, 8, 8, 1), np.uint8), np.arange(20) % 10, names)
    found = _digits.distinct_symmetries(images)
    shown = [found.names[label] for label in found.classes]
    count = {digit: sum(name[0] == digit for name in shown) for digit in names}
    assert count == {**dict.fromkeys("24579", 8), "0": 2, "1": 4, "3": 4, "6": 0, "8": 2}
    alone = _digits.distinct_symmetries(images.of_classes("56"))
    assert len(alone.classes) == 16
