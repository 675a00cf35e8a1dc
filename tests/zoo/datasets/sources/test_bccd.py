"""BCCD from made-up pictures, and the published ones."""

import io
import zipfile

import numpy as np
import pytest

from zoo.datasets.sources import bccd

Image = pytest.importorskip("PIL.Image")


def picture(shade):
    buffer = io.BytesIO()
    Image.new("RGB", (640, 480), (shade, 0, 0)).save(buffer, "JPEG")
    return buffer.getvalue()


def annotation(name, *corners):
    sides = zip(("xmin", "ymin", "xmax", "ymax"), corners, strict=True)
    box = "".join(f"<{side}>{value}</{side}>" for side, value in sides)
    size = "<size><width>640</width><height>480</height></size>"
    thing = f"<object><name>{name}</name><bndbox>{box}</bndbox></object>"
    return f"<annotation>{size}{thing}</annotation>".encode()


CONTENTS = {
    "BloodImage_00001.jpg": picture(40),
    "BloodImage_00001.xml": annotation("WBC", 9, 17, 120, 200),
    "BloodImage_00002.jpg": picture(200),
    "BloodImage_00002.xml": annotation("Platelets", 1, 1, 8, 8),
}


@pytest.fixture
def published(monkeypatch, tmp_path):
    """Two made-up pictures as if they were the data set."""
    monkeypatch.setattr(bccd, "_NUMBERS", {"train": "001", "validation": "002"})
    monkeypatch.setattr(bccd, "_SHA256", bccd._digest(CONTENTS[name] for name in sorted(CONTENTS)))
    monkeypatch.delenv("KERAS_METRIC_DATA", raising=False)
    monkeypatch.setenv("KERAS_METRIC_CACHE", str(tmp_path / "cache"))


def fill(folder, contents=CONTENTS):
    for name, content in contents.items():
        part = "Annotations" if name.endswith(".xml") else "JPEGImages"
        (folder / part).mkdir(parents=True, exist_ok=True)
        (folder / part / name).write_bytes(content)
    return folder


@pytest.fixture
def archive(tmp_path, monkeypatch):
    path = tmp_path / "home.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name, content in CONTENTS.items():
            part = "Annotations" if name.endswith(".xml") else "JPEGImages"
            file.writestr(f"BCCD_Dataset-1/BCCD/{part}/{name}", content)
        file.writestr("BCCD_Dataset-1/example.jpg", b"not read")
    monkeypatch.setattr(bccd, "_HOME", path.as_uri())
    return path


@pytest.mark.parametrize("below", [".", "bccd", "BCCD"])
@pytest.mark.parametrize("given", ["argument", "environment"])
@pytest.mark.usefixtures("published")
def test_pictures_and_boxes_of_a_folder(tmp_path, monkeypatch, below, given):
    fill(tmp_path / "data" / below)
    if given == "argument":
        cells = bccd.load("train", tmp_path / "data", shrink=4)
    else:
        monkeypatch.setenv("KERAS_METRIC_DATA", str(tmp_path / "data"))
        cells = bccd.load("train", shrink=4)
    assert cells.images.shape == (1, 120, 160, 3)
    assert abs(int(cells.images[0, 0, 0, 0]) - 40) < 3
    np.testing.assert_array_equal(cells.boxes[0], [[2, 4, 30, 50]])
    assert [cells.names[label] for label in cells.labels[0]] == ["WBC"]


@pytest.mark.usefixtures("published")
def test_the_download_is_kept_in_the_cache(archive, tmp_path):
    assert bccd.load("validation").names[bccd.load("validation").labels[0][0]] == "Platelets"
    archive.unlink()
    assert len(bccd.load("train")) == 1
    assert len(list((tmp_path / "cache" / "bccd").iterdir())) == 1


@pytest.mark.usefixtures("published")
def test_other_files_are_refused_and_not_kept(archive, tmp_path):
    folder = fill(tmp_path / "data", {**CONTENTS, "BloodImage_00002.jpg": picture(90)})
    with pytest.raises(ValueError, match="not the published BCCD. Expected: 4 files"):
        bccd.load("train", folder)
    (folder / "JPEGImages" / "BloodImage_00002.jpg").unlink()
    with pytest.raises(ValueError, match=r"1 missing \(BloodImage_00002.jpg, ...\)"):
        bccd.load("train", folder)
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("BCCD_Dataset-1/example.jpg", b"other")
    with pytest.raises(ValueError, match="4 missing"):
        bccd.load("train")
    assert list((tmp_path / "cache" / "bccd").iterdir()) == []


@pytest.mark.usefixtures("published")
def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="The folder has no BCCD"):
        bccd.load("train", tmp_path)
    for wrong in (("test", 1), ("train", 7), ("train", 0)):
        with pytest.raises(ValueError, match="Unknown split or shrink"):
            bccd.load(wrong[0], tmp_path, shrink=wrong[1])


def test_the_published_pictures(real_data):
    train, validation = (bccd.load(part, real_data, shrink=4) for part in ("train", "validation"))
    assert (len(train), len(validation)) == (205, 87)
    counts = [np.bincount(np.concatenate(part.labels)).tolist() for part in (train, validation)]
    assert counts == [[2381, 214, 209], [967, 87, 83]]
    every = np.concatenate([*train.boxes, *validation.boxes])
    assert every.min() == 0
    assert every[:, 2].max() == 160
    assert every[:, 3].max() == 120
