"""Warps against a plain loop over pixels, and their promises."""

import numpy as np
import pytest

from zoo.datasets import Images
from zoo.datasets.augmentation.warp import Warp, _spline, read, rotations_as_classes

STILL = {"rotation": 0, "scale": 0, "shear": 0, "translation": 0}


def loops(image, places, fill):
    """Bilinear interpolation, one pixel after another; the image goes on with `fill`."""
    height, width = image.shape[:2]

    def at(row, column):
        inside = 0 <= row < height and 0 <= column < width
        return image[row, column].astype(float) if inside else np.full(image.shape[2:], float(fill))

    new = np.zeros((height * width, *image.shape[2:]))
    for pixel, (row, column) in enumerate(places.T.astype(float)):
        i, j = int(np.floor(row)), int(np.floor(column))
        a, b = row - i, column - j
        upper = (1 - b) * at(i, j) + b * at(i, j + 1)
        lower = (1 - b) * at(i + 1, j) + b * at(i + 1, j + 1)
        new[pixel] = (1 - a) * upper + a * lower
    return new.reshape(image.shape)


@pytest.mark.parametrize("channels", [(), (1,), (3,)])
def testreading_equals_loops(rng, channels):
    images = rng.uniform(0, 255, (3, 5, 7, *channels)).astype(np.float32)
    places = rng.uniform(-3, 9, (3, 2, 35)).astype(np.float32)
    expected = np.stack([loops(i, p, 9) for i, p in zip(images, places, strict=True)])
    np.testing.assert_allclose(read(images, places, 9), expected, atol=1e-3)


@pytest.mark.parametrize("dtype", [np.uint8, np.float32])
def test_a_warp_of_zero_is_the_identity(rng, dtype):
    images = rng.integers(0, 256, (4, 6, 9, 2)).astype(dtype)
    got = Warp(**STILL)(rng, images)
    assert got.dtype == dtype
    np.testing.assert_allclose(got, images, atol=1e-3)


def test_a_batch_may_be_empty(rng):
    assert Warp(elastic=0.1)(rng, np.zeros((0, 4, 4, 1), np.uint8)).shape == (0, 4, 4, 1)


def test_mirror_flips_left_and_right_of_some(rng):
    images = rng.integers(0, 256, (40, 5, 6), dtype=np.uint8)
    got = Warp(**STILL, mirror=True)(rng, images)
    flipped = [np.array_equal(new, old[:, ::-1]) for new, old in zip(got, images, strict=True)]
    same = [np.array_equal(new, old) for new, old in zip(got, images, strict=True)]
    assert all(a != b for a, b in zip(flipped, same, strict=True))
    assert 8 < sum(flipped) < 32


def affine_of(options, rng, count=2000):
    """Matrices and shifts of many draws, from where the pixels of a 3 x 3 image come."""
    places = Warp(**{**STILL, **options})._affine(count, (3, 3), rng).reshape(count, 2, 3, 3)
    rows, columns = (
        (places[:, :, 2, 1] - places[:, :, 0, 1]) / 2,
        (places[:, :, 1, 2] - places[:, :, 1, 0]) / 2,
    )
    return np.stack([rows, columns], -1), places[:, :, 1, 1] - 1


def test_rotation_is_orthogonal_and_spans_its_angles(rng):
    matrix, shift = affine_of({"rotation": 30}, rng)
    np.testing.assert_allclose(
        matrix @ matrix.swapaxes(1, 2), np.eye(2)[None].repeat(2000, 0), atol=1e-5
    )
    np.testing.assert_allclose(np.linalg.det(matrix), 1, atol=1e-5)
    angles = np.degrees(np.arctan2(matrix[:, 1, 0], matrix[:, 0, 0]))
    assert -30.01 < angles.min() < -28
    assert 28 < angles.max() < 30.01
    np.testing.assert_allclose(shift, 0, atol=1e-6)


def test_scale_shear_and_translation_span_their_ranges(rng):
    matrix, _ = affine_of({"scale": 0.25}, rng)
    for axis in (0, 1):
        factors = 1 / matrix[:, axis, axis]
        assert 0.749 < factors.min() < 0.78
        assert 1.22 < factors.max() < 1.251
    np.testing.assert_allclose(matrix[:, 0, 1], 0, atol=1e-6)
    matrix, _ = affine_of({"shear": 0.5}, rng)
    assert 0.48 < np.abs(matrix[:, 1, 0]).max() < 0.501
    np.testing.assert_allclose(np.linalg.det(matrix), 1, atol=1e-5)
    _, shift = affine_of({"translation": 0.2}, rng)
    assert 0.58 < np.abs(shift).max() < 0.601
    assert abs(np.corrcoef(shift.T)[0, 1]) < 0.1


def test_spline_weights_sum_to_one_and_are_smooth():
    weights = _spline(28, 4)
    assert weights.shape == (28, 7)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    line = weights @ (np.arange(7) - 1)
    np.testing.assert_allclose(line, (np.arange(28) + 0.5) / 28 * 4, atol=1e-5)


def test_elastic_fields_have_the_size_asked_for_and_are_smooth(rng):
    field = Warp(**STILL, elastic=0.1)._elastic(500, (28, 28), rng).reshape(500, 2, 28, 28)
    assert 0.3 * 2.8 < field.std() < 2.8
    assert np.abs(np.diff(field, axis=-1)).max() < 2.8
    assert abs(field.mean()) < 0.2


def test_the_generator_decides(rng):
    images = rng.integers(0, 256, (8, 9, 9, 1), dtype=np.uint8)
    warp = Warp(elastic=0.05)
    first, again, other = (warp(np.random.default_rng(seed), images) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first, again)
    assert not np.array_equal(first, other)
    assert not np.array_equal(first[0], warp(rng, images[:1].repeat(2, 0))[1])


def test_what_comes_from_outside_is_fill(rng):
    images = np.full((50, 8, 8), 200, np.uint8)
    got = Warp(**{**STILL, "translation": 0.5}, fill=7)(rng, images)
    assert got.min() == 7
    assert got.max() == 200


@pytest.mark.parametrize("bad", [{"rotation": -1}, {"scale": 1.0}, {"grid": 0}, {"elastic": -0.1}])
def test_values_out_of_range_are_refused(bad):
    with pytest.raises(ValueError, match="Expected: spans >= 0, scale < 1 and grid >= 1"):
        Warp(**bad)


def test_a_single_image_is_refused(rng):
    with pytest.raises(ValueError, match=r"Expected: \(B, H, W\) .* Received: \(5, 5\)"):
        Warp()(rng, np.zeros((5, 5)))


def test_rotations_become_classes_of_their_own(rng):
    pictures = rng.integers(0, 256, (3, 4, 4, 1), dtype=np.uint8)
    images = Images(pictures, [0, 1, 0], ("a", "b"), [0, 0, 0], ("x",), [1, 2, 3])
    turned = rotations_as_classes(images)
    assert turned.labels.tolist() == [0, 1, 0, 2, 3, 2, 4, 5, 4, 6, 7, 6]
    assert turned.names[5] == "b turned 180"
    assert turned.drawers.tolist() == [1, 2, 3] * 4
    assert turned.groups.tolist() == [0] * 12
    for position, (picture, turns) in enumerate((p, t) for t in range(4) for p in pictures):
        np.testing.assert_array_equal(turned.images[position], np.rot90(picture, turns))


def test_mirror_images_of_all_turns_become_classes(rng):
    picture = rng.integers(0, 256, (5, 5, 1), np.uint8)
    turned = rotations_as_classes(Images(picture[None], [0], ("a",)), mirrored=True)
    assert turned.labels.tolist() == list(range(8))
    assert turned.names[:6:2] == ("a", "a turned 180", "a mirrored")
    assert turned.names[7] == "a mirrored turned 270"
    for way, image in enumerate(turned.images):
        mirrored = picture[:, ::-1] if way >= 4 else picture
        np.testing.assert_array_equal(image, np.rot90(mirrored, way % 4))


def test_oblong_images_cannot_be_turned():
    images = Images(np.zeros((1, 2, 3, 1), np.uint8), [0], ("a",))
    with pytest.raises(ValueError, match="Received: 2 x 3"):
        rotations_as_classes(images)
