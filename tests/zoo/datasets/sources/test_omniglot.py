"""Omniglot from small made-up archives, and from the real one."""

import dataclasses
import io
import zipfile

import numpy as np
import pytest

from zoo.datasets.reading.archives import sha256
from zoo.datasets.sources import omniglot

Image = pytest.importorskip("PIL.Image")


def page(row, column):
    """A PNG of 105 x 105 with one dark pixel."""
    picture = Image.new("1", (105, 105), 1)
    picture.putpixel((column, row), 0)
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture
def archive(tmp_path):
    """Two alphabets with the same character numbers; the pixel of a drawing tells what it is."""
    path = tmp_path / "own.zip"
    with zipfile.ZipFile(path, "w") as file:
        for alphabet, name in enumerate(["Beta", "Alpha"]):
            for character in (1, 2):
                for drawer in (3, 1):
                    place = f"own/{name}/character{character:02d}/0009_{drawer:02d}.png"
                    file.writestr(place, page(10 * alphabet + character, drawer))
        file.writestr("own/readme.txt", "text")
    return path


@pytest.mark.parametrize("below", ["own", "."])
def test_an_unpacked_archive_is_the_same(archive, tmp_path, below):
    with zipfile.ZipFile(archive) as file:
        file.extractall(tmp_path)
    (tmp_path / "own" / ".hidden.png").write_bytes(b"no picture")
    folder, zipped = omniglot.load(tmp_path / below), omniglot.load(archive)
    assert folder.names == zipped.names
    np.testing.assert_array_equal(folder.images, zipped.images)
    np.testing.assert_array_equal(folder.drawers, zipped.drawers)


@pytest.fixture
def published(archive, monkeypatch):
    """The made-up archive in the place of small1."""
    part = omniglot.SOURCES["small1"]
    own = dataclasses.replace(part, sha256=sha256(archive), size=archive.stat().st_size)
    monkeypatch.setitem(omniglot.SOURCES, "small1", own)
    monkeypatch.delenv("KERAS_METRIC_DATA", raising=False)
    monkeypatch.setenv("KERAS_METRIC_CACHE", str(archive.parent / "cache"))
    return archive.rename(archive.with_name(part.file))


def test_alphabets_characters_and_drawers_are_read_from_the_names(archive):
    images = omniglot.load(archive)
    assert omniglot.alphabets(images) == ("Alpha", "Beta")
    assert images.names == tuple(f"{a}/character0{i}" for a in ("Alpha", "Beta") for i in (1, 2))
    assert len(images) == 8
    for picture, label, group, drawer in zip(
        images.images, images.labels, images.groups, images.drawers, strict=True
    ):
        row, column, _ = np.argwhere(picture)[0]
        name = images.names[label]
        assert images.group_names[group] == name.split("/")[0]
        assert drawer == column
        assert row == 10 * (images.group_names[group] == "Alpha") + int(name[-1])


@pytest.mark.parametrize("below", [".", "omniglot"])
@pytest.mark.parametrize("given", ["argument", "environment"])
def test_a_folder_is_searched_before_the_download(published, tmp_path, monkeypatch, below, given):
    folder = tmp_path / "data"
    (folder / below).mkdir(parents=True)
    published.rename(folder / below / published.name)
    if given == "argument":
        assert len(omniglot.load("small1", folder)) == 8
    else:
        monkeypatch.setenv("KERAS_METRIC_DATA", str(folder))
        assert len(omniglot.load("small1")) == 8


def test_the_download_is_kept_in_the_cache(published, tmp_path, monkeypatch):
    monkeypatch.setattr(omniglot, "_HOME", published.parent.as_uri() + "/")
    assert len(omniglot.load()) == 8
    assert (tmp_path / "cache" / "omniglot" / published.name).exists()
    published.unlink()
    assert len(omniglot.load()) == 8


def test_a_partial_archive_is_refused(published, tmp_path):
    published.write_bytes(published.read_bytes()[:-100])
    with pytest.raises(ValueError, match="damaged, partial or another version"):
        omniglot.load("small1", tmp_path)


def test_a_folder_without_the_archive_is_an_error(published, tmp_path):
    with pytest.raises(
        FileNotFoundError, match=r"Expected: images_background_small1.zip in .*empty"
    ):
        omniglot.load("small1", tmp_path / "empty")


def test_an_unknown_part_is_refused():
    with pytest.raises(ValueError, match=r"Expected: one of small1, small2.*Received: 'small3'"):
        omniglot.load("small3")


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"a/b/c.txt": b""}, "no characters in .*Received: no PNG file"),
        ({"b/0001_01.png": page(1, 1)}, "is not Omniglot.*Received: 'b/0001_01.png'"),
        ({"s/a/b/x.png": page(1, 1)}, "is not Omniglot.*Received: 's/a/b/x.png'"),
        ({"s/a/b/1_01.png": b"text"}, "own.zip:s/a/b/1_01.png cannot be read"),
    ],
)
def test_archives_of_another_kind_are_refused(tmp_path, members, message):
    path = tmp_path / "own.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in members.items():
            file.writestr(name, content)
    with pytest.raises(ValueError, match=message):
        omniglot.load(path)


def test_the_published_archive(real_data):
    images = omniglot.load("small1", real_data)
    assert images.images.shape == (2720, 105, 105, 1)
    assert omniglot.alphabets(images) == ("Balinese", "Early_Aramaic", "Greek", "Korean", "Latin")
    assert len(images.classes) == 136
    assert np.bincount(images.labels).tolist() == [20] * 136
    assert set(images.drawers) == set(range(1, 21))
    assert set(np.unique(images.images)) == {0, 255}
    assert 0.02 < (images.images > 0).mean() < 0.1
