"""Drawings in frames: the window by a plain loop, pixels by the areas they cover."""

import keras
import numpy as np
import pytest
from keras import ops

from zoo.encoders.ink_frame import InkFrame

pytestmark = pytest.mark.every_backend


def by_loops(image, side, strength, margin):
    """The same, one new pixel after another: what they cover of each old one."""
    rows, columns = (np.flatnonzero((image > 127).any(axis)) for axis in ((1, 2), (0, 2)))
    if not len(rows):
        rows, columns = np.arange(image.shape[0]), np.arange(image.shape[1])
    top, bottom, left, right = rows[0], rows[-1] + 1, columns[0], columns[-1] + 1
    paper = min(image.shape[:2])
    longer = max(bottom - top, right - left, 0.19 * paper)
    window = margin * longer**strength * (0.52 * paper) ** (1 - strength)
    step, new = window / side, np.zeros((side, side, image.shape[2]))
    for i, j in np.ndindex(side, side):
        low = (top + bottom - window) / 2 + i * step, (left + right - window) / 2 + j * step
        for h, w in np.ndindex(image.shape[:2]):
            down = min(low[0] + step, h + 1) - max(low[0], h)
            across = min(low[1] + step, w + 1) - max(low[1], w)
            new[i, j] += image[h, w] * max(down, 0) * max(across, 0) / step**2
    return new


def drawings(rng):
    """Ink in a corner, wide ink, one dot, none, all over."""
    images = np.zeros((5, 17, 21, 2), "float32")
    images[0, 1:6, 2:5] = rng.uniform(128, 255, (5, 3, 2))
    images[1, 8:10, 1:20, 0] = 200
    images[2, 4, 4] = 255
    images[4] = rng.uniform(0, 255, (17, 21, 2))
    return images


@pytest.mark.parametrize("strength", [0, 0.6, 1])
def test_every_new_pixel_is_the_mean_of_its_area(rng, strength):
    images = drawings(rng)
    found = ops.convert_to_numpy(InkFrame(7, strength=strength, margin=1.3)(images))
    expected = np.stack([by_loops(image, 7, strength, 1.3) for image in images])
    np.testing.assert_allclose(found, expected, atol=2e-2)


def test_ink_of_any_size_and_place_looks_alike_at_full_strength(rng):
    small = np.zeros((1, 40, 40, 1), "float32")
    shape = rng.integers(0, 2, (10, 10)) * 255
    shape[0] = shape[:, 0] = shape[-1] = shape[:, -1] = 255
    large, moved = small.copy(), small.copy()
    small[0, 15:25, 15:25, 0] = shape
    moved[0, 2:12, 28:38, 0] = shape
    large[0, 10:30, 10:30, 0] = shape.repeat(2, 0).repeat(2, 1)
    frame = InkFrame(12, strength=1)
    seen = [ops.convert_to_numpy(frame(x)) for x in (small, moved, large)]
    np.testing.assert_allclose(seen[1], seen[0], atol=1e-2)
    np.testing.assert_allclose(seen[2], seen[0], atol=1e-2)


def test_it_is_saved_with_its_values(tmp_path, rng):
    layers = [keras.Input((17, 21, 2)), InkFrame(6, strength=0.3, margin=1.2)]
    model = keras.Sequential(layers)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    images = drawings(rng)
    np.testing.assert_array_equal(
        model.predict(images, verbose=0), again.predict(images, verbose=0)
    )


@pytest.mark.parametrize("bad", [{"side": 0}, {"strength": 1.1}, {"margin": 0}])
def test_values_out_of_range_are_refused(bad):
    with pytest.raises(ValueError, match=r"Expected[\s\S]*Received"):
        InkFrame(**bad)


@pytest.mark.parametrize("shape", [(2, 5, 5), (2, 0, 5, 1), (2, None, 5, 1)])
def test_what_has_no_size_is_refused(shape):
    with pytest.raises(ValueError, match=r"no fixed size[\s\S]*Expected[\s\S]*Received: \(2, "):
        InkFrame(28).build(shape)
