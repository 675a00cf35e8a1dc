"""Photographs of folders and tables are listed with what is known of them; the rest is named."""

import numpy as np
import pytest
from PIL import Image

from zoo.datasets.reading.paths import Paths
from zoo.datasets.reading.photographs import MISSING, NO_LABEL, TWICE, listed
from zoo.datasets.reading.tables import Columns


def draw(*files):
    for file in files:
        file.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (4, 4)).save(file)


def named(listing):
    return [(path.rpartition("/")[2], listing.names[label])
            for path, label in zip(listing.paths, listing.labels, strict=True)]  # fmt: skip


def test_a_folder_of_classes(tmp_path):
    draw(tmp_path / "b" / "1.png", tmp_path / "a" / "deep" / "2.png", tmp_path / "a" / "0.png")
    (tmp_path / "a" / "notes.txt").write_text("no")
    (tmp_path / "stray.png").write_bytes(b"")
    (tmp_path / "b" / "broken.png").write_bytes(b"no picture")
    found = listed([tmp_path])
    assert named(found) == [("0.png", "a"), ("2.png", "a"), ("1.png", "b")]
    assert (found.parts == -1).all()
    assert found.groups is None
    reasons = {path.rpartition("/")[2]: reason for path, reason in found.skipped}
    assert reasons["notes.txt"] == "not an image by its name"
    assert reasons["stray.png"] == "not in the folder of a class"
    assert reasons["broken.png"].startswith("unreadable")


def test_sub_folders_of_parts_say_the_split(tmp_path):
    draw(tmp_path / "train" / "a" / "1.png", tmp_path / "val" / "a" / "2.png")
    draw(tmp_path / "test" / "b" / "3.png")
    found = listed([tmp_path])
    assert found.names == ("a", "b")
    assert dict(zip((n for n, _ in named(found)), found.parts.tolist(), strict=True)) == {
        "1.png": 0,
        "2.png": 1,
        "3.png": 2,
    }


def test_classes_that_are_called_train_alone_are_classes(tmp_path):
    draw(tmp_path / "train" / "1.png", tmp_path / "test" / "2.png")
    assert listed([tmp_path]).names == ("test", "train")


def test_a_table_beside_a_folder(tmp_path):
    draw(tmp_path / "photos" / "a" / "1.png", tmp_path / "more" / "2.png", tmp_path / "3.png")
    table = tmp_path / "more" / "list.csv"
    table.write_text(
        "path,label,split,order\n2.png,a,train,x\n../3.png,c,test,x\n2.png,a,,\nlost.png,a,,\n"
        f"{tmp_path}/photos/a/1.png,a,,\n,a,,\n3.png,,,\n"
    )
    columns = Columns(split="split", group="order")
    found = listed([tmp_path / "photos", table], columns)
    assert named(found) == [("1.png", "a"), ("2.png", "a"), ("3.png", "c")]
    assert found.parts.tolist() == [-1, 0, 2]
    assert found.groups[1] == found.groups[2] != found.groups[0]
    reasons = [reason for _, reason in found.skipped]
    assert reasons == [TWICE, MISSING, TWICE, MISSING, NO_LABEL]
    assert f"line 5 of {table}" in found.skipped[1][0]
    assert found.categories is None
    assert listed([table], Columns(category="order")).categories == ("x", "x")


def test_an_unknown_part_and_nothing_there(tmp_path):
    draw(tmp_path / "1.png")
    table = tmp_path / "list.csv"
    table.write_text("path,label,split\n1.png,a,holdout\n")
    with pytest.raises(ValueError, match="Line 2.*unknown part.*'holdout'"):
        listed([table], Columns(split="split"))
    table.write_text("path,label\nnone.png,a\n")
    with pytest.raises(FileNotFoundError, match="Not one photograph.*none.png"):
        listed([table])
    with pytest.raises(FileNotFoundError, match="nothing of that name"):
        listed([tmp_path / "no"])
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="no photographs to learn from"):
        listed([tmp_path / "empty"])


def test_the_digest_changes_with_what_is_known(tmp_path):
    draw(tmp_path / "a" / "1.png", tmp_path / "b" / "2.png")
    before = listed([tmp_path]).digest
    assert listed([tmp_path]).digest == before
    (tmp_path / "b" / "2.png").rename(tmp_path / "a" / "2.png")
    draw(tmp_path / "b" / "3.png")
    assert listed([tmp_path]).digest != before


def test_paths_in_one_block():
    paths = Paths.of(["a/ä.png", "", "b\udcff.png"])
    assert list(paths) == ["a/ä.png", "", "b\udcff.png"]
    assert paths[-1] == "b\udcff.png"
    assert list(paths.of_rows(np.array([2, 0]))) == ["b\udcff.png", "a/ä.png"]
    with pytest.raises(IndexError):
        paths[3]
