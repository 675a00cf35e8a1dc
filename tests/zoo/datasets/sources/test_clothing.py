"""Photos of clothes: made-up ones, and the published ones."""

import io
import zipfile

import numpy as np
import pytest

from zoo.datasets.sources import clothing

Image = pytest.importorskip("PIL.Image")


def photo(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (120, 160), (shade, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


PHOTOS = {
    "train/hat/a.jpg": photo(40),
    "train/shoes/b.jpg": photo(120),
    "validation/skirt/c.jpg": photo(200),
}


@pytest.fixture
def published(monkeypatch, tmp_path):
    """Three made-up photos as if they were the data set."""
    monkeypatch.setattr(clothing, "_COUNT", len(PHOTOS))
    monkeypatch.setattr(clothing, "_SHA256", clothing._digest(PHOTOS))
    monkeypatch.delenv("KERAS_METRIC_DATA", raising=False)
    monkeypatch.setenv("KERAS_METRIC_CACHE", str(tmp_path / "cache"))


def fill(folder, photos=PHOTOS):
    for name, content in photos.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def archive(tmp_path, monkeypatch):
    path = tmp_path / "home.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in PHOTOS.items():
            file.writestr(f"clothing-dataset-small-1/{name}", content)
        file.writestr("clothing-dataset-small-1/test/hat/d.jpg", b"not read")
    monkeypatch.setattr(clothing, "_HOME", path.as_uri())
    return path


@pytest.mark.parametrize("below", [".", "clothing", "clothing-dataset-small"])
@pytest.mark.parametrize("given", ["argument", "environment"])
@pytest.mark.usefixtures("published")
def test_photos_of_a_folder(tmp_path, monkeypatch, below, given):
    fill(tmp_path / "data" / below)
    if given == "argument":
        photos = clothing.load("train", tmp_path / "data", size=16, resize="letterbox")
    else:
        monkeypatch.setenv("KERAS_METRIC_DATA", str(tmp_path / "data"))
        photos = clothing.load("train", size=16, resize="letterbox")
    assert [photos.names[label] for label in photos.labels] == ["hat", "shoes"]
    assert photos.shape == (16, 16, 3)
    assert photos.images[0, 8, 0].tolist() == [255, 255, 255]  # the margin
    assert abs(int(photos.images[0, 8, 8, 0]) - 40) < 4


@pytest.mark.usefixtures("published")
def test_the_download_is_kept_in_the_cache(archive, tmp_path):
    assert len(clothing.load("validation", size=8)) == 1
    archive.unlink()
    assert len(clothing.load("train", size=(8, 6))) == 2
    assert len(list((tmp_path / "cache" / "clothing").iterdir())) == 1


@pytest.mark.usefixtures("published")
def test_other_files_are_refused_and_not_kept(archive, tmp_path):
    folder = fill(tmp_path / "data", {**PHOTOS, "train/hat/e.jpg": photo(9)})
    with pytest.raises(ValueError, match="Expected: 3 photos .* Received: 4 photos"):
        clothing.load("train", folder)
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("clothing-dataset-small-1/train/hat/a.jpg", PHOTOS["train/hat/a.jpg"])
    with pytest.raises(ValueError, match="Received: 1 photos"):
        clothing.load("train")
    assert list((tmp_path / "cache" / "clothing").iterdir()) == []


@pytest.mark.usefixtures("published")
def test_a_damaged_photo_is_named(tmp_path):
    damaged = PHOTOS["train/hat/a.jpg"][:300]
    fill(tmp_path, {**PHOTOS, "train/hat/a.jpg": damaged})
    with pytest.raises(ValueError, match="picture train/hat/a.jpg is damaged"):
        clothing.load("train", tmp_path, size=8)


@pytest.mark.usefixtures("published")
def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="no photos of clothes. Expected: train and"):
        clothing.load("train", tmp_path)
    with pytest.raises(ValueError, match="Expected: one of train, validation. Received: 'test'"):
        clothing.load("test")


def test_the_published_photos(real_data):
    photos = clothing.load("validation", real_data, size=24)
    counts = np.bincount(photos.labels).tolist()
    assert counts == [32, 14, 49, 24, 49, 29, 26, 25, 12, 81]
    assert photos.images.std() > 30
