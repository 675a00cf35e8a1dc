"""Emoji from made-up drawings, as an archive and unpacked."""

import io
import zipfile

import numpy as np
import pytest

from zoo.datasets.sources import emoji

Image = pytest.importorskip("PIL.Image")

TABLE = """code\tname\tcategory\tsubcategory\tsplit
1f600\tgrin\tSmileys\tface\ttrain
1f408\tcat\tAnimals\tmammal\ttrain
1f415\tdog\tAnimals\tmammal\tvalidation
"""
SHADES = {"1f600": 30, "1f408": 90, "1f415": 150}


def drawing(red, green):
    buffer = io.BytesIO()
    Image.new("RGB", (64, 64), (red, green, 0)).save(buffer, "WEBP", lossless=True)
    return buffer.getvalue()


def contents(table=TABLE):
    files = {"emoji/classes.tsv": table.encode()}
    for code, shade in SHADES.items():
        for number, style in enumerate(emoji.STYLES):
            files[f"emoji/{style}/{code}.webp"] = drawing(shade, 10 * number)
    return files


def archive(folder, files):
    with zipfile.ZipFile(folder / "emoji.zip", "w") as written:
        for name, content in files.items():
            written.writestr(name, content)
    return folder


def test_every_style_of_every_emoji_of_the_split(tmp_path):
    images = emoji.load("train", archive(tmp_path, contents()), size=8)
    assert images.shape == (8, 8, 3)
    assert images.names == ("grin 1f600", "cat 1f408")
    assert images.labels.tolist() == [0, 0, 0, 1, 1, 1]
    assert images.drawers.tolist() == [1, 2, 3] * 2
    assert [images.group_names[group] for group in images.groups] == ["Smileys"] * 3 + [
        "Animals"
    ] * 3
    pixels = images.images[:, 0, 0]
    np.testing.assert_array_equal(pixels, [(r, g, 0) for r in (30, 90) for g in (0, 10, 20)])


def test_all_that_is_not_for_learning_is_unseen(tmp_path):
    place = archive(tmp_path, contents()) / "emoji.zip"
    assert emoji.load("unseen", place, size=8).names == ("dog 1f415",)
    exam = archive(tmp_path, contents(TABLE.replace("train", "exam")))
    assert len(emoji.load("unseen", exam, size=8)) == 9
    assert len(emoji.load("train", exam, size=8)) == 0


def test_an_unpacked_archive_is_the_same(tmp_path):
    for name, content in contents().items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(content)
    assert len(emoji.load("train", tmp_path, size=8)) == 6


def test_what_is_wrong_is_told(tmp_path, monkeypatch):
    monkeypatch.delenv("KERAS_METRIC_DATA", raising=False)
    with pytest.raises(FileNotFoundError, match="Expected: emoji.zip.*Received: no folder"):
        emoji.load()
    with pytest.raises(FileNotFoundError, match="nothing of that kind"):
        emoji.load(data=tmp_path)
    with pytest.raises(ValueError, match="'train' or 'unseen'. Received: 'test'"):
        emoji.load("test")
    files = contents()
    del files["emoji/fluent/1f408.webp"]
    with pytest.raises(ValueError, match="missing.*fluent/1f408.webp.*8 drawings"):
        emoji.load(data=archive(tmp_path, files), size=8)
    other = archive(tmp_path, contents(TABLE.replace("category", "kind", 1)))
    with pytest.raises(ValueError, match="no table.*columns code, name.*Received: 3 rows"):
        emoji.load(data=other, size=8)


def test_the_measurements_names_rely_on(real_data):
    if not (real_data / "emoji" / "emoji.zip").is_file():
        pytest.skip(f"no emoji.zip in {real_data}")
    unseen = emoji.load("unseen", real_data)
    assert (len(unseen), len(unseen.classes)) == (525, 175)
