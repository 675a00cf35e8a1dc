"""Large pictures: upright, refused by their header, and arrays that stay on the disk."""

import numpy as np
import pytest
from PIL import Image

from zoo.datasets.reading import photos


def test_pictures_keep_their_size_and_are_upright(tmp_path, rng):
    pixels = rng.integers(0, 255, (12, 20, 3)).astype("uint8")
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    Image.fromarray(pixels).save(tmp_path / "turned.png", exif=exif)
    np.testing.assert_array_equal(photos.read(tmp_path / "turned.png", 3), np.rot90(pixels, -1))
    assert photos.read(tmp_path / "turned.png", 1).shape == (20, 12, 1)


def test_too_many_pixels_are_refused_before_they_are_decoded(tmp_path):
    path = tmp_path / "bomb.png"
    Image.new("1", (30_000, 30_000)).save(path)
    with pytest.raises(ValueError, match="at most 400,000,000 pixels.*Received: 30000 x 30000"):
        photos.read(path, 3)
    kept = Image.MAX_IMAGE_PIXELS
    Image.new("L", (20, 10)).save(path)
    assert photos.read(path, 1, most=200).shape == (10, 20, 1)
    with pytest.raises(ValueError, match="Received: 20 x 10"):
        photos.read(path, 1, most=199)
    assert kept == Image.MAX_IMAGE_PIXELS


def test_what_is_no_picture_is_refused_by_name(tmp_path, rng):
    Image.fromarray(rng.integers(0, 255, (90, 90, 3)).astype("uint8")).save(tmp_path / "cut.jpg")
    whole = (tmp_path / "cut.jpg").read_bytes()
    (tmp_path / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "text.png").write_text("no picture")
    (tmp_path / "text.npy").write_text("no array")
    np.save(tmp_path / "code.npy", np.array([[{}]]), allow_pickle=True)
    np.save(tmp_path / "flat.npy", np.zeros((4, 4)))
    expected = {
        "cut.jpg": "is damaged",
        "text.png": "is damaged",
        "text.npy": "cannot be read",
        "code.npy": "cannot be read",
        "flat.npy": r"Expected: numbers \(H, W, 3\). Received: float64 \(4, 4\)",
    }
    for name, message in expected.items():
        with pytest.raises(ValueError, match=message):
            photos.read(tmp_path / name, 3)
    with pytest.raises(ValueError, match=r"\(H, W, 5\)"):
        photos.read(tmp_path / "cut.jpg", 5)


def test_arrays_stay_on_the_disk_and_are_reduced_by_means(tmp_path, rng):
    pixels = rng.standard_normal((11, 7, 5)).astype("float32")
    np.save(tmp_path / "array.npy", pixels)
    mapped = photos.read(tmp_path / "array.npy", 5)
    assert isinstance(mapped, np.memmap)
    small = photos.reduced(mapped, 3)
    assert small.shape == (3, 2, 5)
    np.testing.assert_allclose(small[1, 0], pixels[3:6, :3].mean((0, 1)), rtol=1e-5)
    bytes_ = rng.integers(0, 255, (4, 4, 1)).astype("uint8")
    assert photos.reduced(bytes_, 2)[0, 0, 0] == round(float(bytes_[:2, :2].mean()))
    assert photos.reduced(bytes_, 1).shape == (4, 4, 1)
