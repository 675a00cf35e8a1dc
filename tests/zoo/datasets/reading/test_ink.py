"""Decoding, centring and area resampling of drawings, against plain loops."""

import io

import numpy as np
import pytest

from zoo.datasets import Images
from zoo.datasets.reading.ink import decode, prepare

Image = pytest.importorskip("PIL.Image")


def png(array):
    buffer = io.BytesIO()
    Image.fromarray(array).save(buffer, "PNG")
    return buffer.getvalue()


def loops(image, size, centre):
    """Each new pixel: the mean over 40 x 40 points of the area it covers, moved by the centroid."""
    side = len(image)
    rows, columns = np.indices(image.shape) + 0.5
    mass = image.sum()
    off_row = (rows * image).sum() / mass - side / 2 if centre and mass else 0
    off_column = (columns * image).sum() / mass - side / 2 if centre and mass else 0
    new = np.zeros((size, size))
    for i in range(size):
        for j in range(size):
            for a in (np.arange(40) + 0.5) / 40:
                row = int(np.floor((i + a) * side / size + off_row))
                at = np.floor((j + (np.arange(40) + 0.5) / 40) * side / size + off_column).astype(
                    int
                )
                inside = at[(at >= 0) & (at < side)]
                if 0 <= row < side:
                    new[i, j] += image[row, inside].sum() / 1600
    return new


@pytest.mark.parametrize("centre", [True, False])
@pytest.mark.parametrize("size", [3, 7, 10])
def test_equals_loops(rng, size, centre):
    images = rng.integers(0, 256, (3, 10, 10), dtype=np.uint8) * (rng.random((3, 10, 10)) < 0.3)
    images[2] = 0
    expected = np.stack([loops(image.astype(float), size, centre) for image in images])
    got = prepare(images.astype(np.uint8), size, centre=centre)
    assert got.dtype == np.uint8
    np.testing.assert_allclose(got, expected, atol=6)
    assert got.any()


def test_the_centroid_ends_in_the_middle(rng):
    images = np.zeros((5, 105, 105), np.uint8)
    for image in images:
        top, left = rng.integers(20, 60, 2)
        image[top : top + 20, left : left + 9] = 255
    small = prepare(images, 35).astype(float)
    middles = np.arange(35) + 0.5
    for axis in (1, 2):
        profile = small.sum(axis)
        np.testing.assert_allclose(profile @ middles / profile.sum(1), 17.5, atol=0.02)
    np.testing.assert_allclose(small.sum((1, 2)) * 9, images.sum((1, 2), dtype=float), rtol=0.01)


def test_images_stay_images_and_rank_is_kept(rng):
    array = rng.integers(0, 256, (300, 12, 12, 2), dtype=np.uint8)
    images = prepare(Images(array, np.zeros(300, int), ("a",)), 6)
    assert images.shape == (6, 6, 2)
    np.testing.assert_array_equal(images.images[290:], prepare(array[290:], 6))
    assert prepare(array[:0], 6).shape == (0, 6, 6, 2)


@pytest.mark.parametrize("bad", [np.zeros((2, 5, 5)), np.zeros((5, 5), np.uint8)])
def test_what_is_no_drawing_is_refused(bad):
    with pytest.raises(ValueError, match=r"Expected: uint8 \(N, H, W\)"):
        prepare(bad, 3)


def test_decoded_ink_is_white():
    page = np.full((105, 105), 255, np.uint8)
    page[3, 4] = 0
    for array in (page, page > 0):
        drawing = decode(png(array), "x")
        assert drawing.shape == (105, 105, 1)
        assert np.argwhere(drawing).tolist() == [[3, 4, 0]]
        assert drawing.max() == 255


@pytest.mark.parametrize(
    ("content", "received"),
    [
        (png(np.zeros((9, 105), np.uint8)), "105 x 9"),
        (b"no image", "UnidentifiedImageError"),
        (png(np.eye(105, dtype=np.uint8))[:100], "OSError|SyntaxError|ValueError"),
    ],
    ids=["size", "text", "partial"],
)
def test_another_file_is_named_in_the_error(content, received):
    with pytest.raises(ValueError, match=f"x.zip:a.png cannot be read.*Received: ({received})"):
        decode(content, "x.zip:a.png")
