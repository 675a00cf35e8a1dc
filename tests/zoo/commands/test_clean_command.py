"""`keras-metric clean` on a folder with one fault of each kind."""

import csv
import json
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers
from PIL import Image, ImageOps

from zoo.cli import main

pytestmark = pytest.mark.tensorflow
pytest.importorskip("pyarrow")

COLORS = {"jay": (30, 60, 200), "owl": (190, 120, 40)}
SIDE = 48


def picture(rng, color):
    """A bird of one color: a bright blob at a place of its own on a textured ground."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    cy, cx = rng.uniform(0.2, 0.8, 2)
    blob = np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / rng.uniform(0.02, 0.1))[..., None]
    ground = keras.utils.array_to_img(rng.random((6, 6, 1)) * 255, scale=False).resize((SIDE, SIDE))
    ground = np.asarray(ground)[..., None] / 4
    return Image.fromarray(np.uint8(np.clip(ground + blob * np.array(color), 0, 255)))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    """Mean colors of four bands: pictures of one kind are near, copies nearer, mirrored or not."""
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Rescaling(1 / 255),
            layers.AveragePooling2D((SIDE // 4, SIDE)),
            layers.Flatten(),
        ]
    )
    path = tmp_path_factory.mktemp("models") / "colors.keras"
    model.save(path)
    return path


@pytest.fixture
def birds(tmp_path, rng):
    """Sixteen photographs of each kind."""
    folder = tmp_path / "birds"
    for kind, color in COLORS.items():
        (folder / kind).mkdir(parents=True)
        for number in range(16):
            picture(rng, color).save(folder / kind / f"{number:02}.png")
    return folder


def clean(*arguments) -> int:
    return main(["clean", *map(str, arguments)])


def rows(out):
    with (out / "clean.csv").open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def names(found, kind):
    return {tuple(row["file"].split("/")[-2:]) for row in found if row["kind"] == kind}


def test_every_kind_of_fault_is_found(birds, encoder, tmp_path, rng, capsys):
    with Image.open(birds / "jay" / "03.png") as image:
        ImageOps.mirror(image).save(birds / "jay" / "copy.png")
    (birds / "owl" / "same.png").write_bytes((birds / "owl" / "04.png").read_bytes())
    picture(rng, COLORS["jay"]).save(birds / "owl" / "wrong.png")
    Image.new("RGB", (SIDE, SIDE), (20, 20, 20)).save(birds / "owl" / "blank.png")
    (birds / "jay" / "torn.png").write_bytes((birds / "jay" / "00.png").read_bytes()[:200])
    out = tmp_path / "out"
    assert clean(birds, "--model", encoder, "-o", out, "--json") == 3
    content = json.loads(capsys.readouterr().out)
    found = rows(out)
    assert names(found, "duplicate") == {
        ("jay", "03.png"), ("jay", "copy.png"), ("owl", "04.png"), ("owl", "same.png")
    }  # fmt: skip
    assert names(found, "label") == {("owl", "wrong.png")}
    assert [row["suggestion"] for row in found if row["kind"] == "label"] == ["jay"]
    assert names(found, "blank") == {("owl", "blank.png")}
    assert names(found, "broken") == {("jay", "torn.png")}
    assert all(Path(row["file"]).is_file() for row in found)
    assert content["counts"]["duplicates"] == 2
    assert content["counts"]["photographs"] == 36
    assert [row["file"] for row in content["rows"]] == [row["file"] for row in found]
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "Duplicates: 2" in page
    assert "Leakage: one picture in several parts: none" in page
    assert page.count("<img") == 4 + 1 + 1 + content["counts"]["outliers"]


def test_copies_in_two_places_are_leakage_and_shards_are_used_again(
    birds, encoder, tmp_path, rng, capsys
):
    other = tmp_path / "other"
    (other / "jay").mkdir(parents=True)
    picture(rng, COLORS["jay"]).save(other / "jay" / "new.png")
    (other / "jay" / "seen.png").write_bytes((birds / "jay" / "05.png").read_bytes())
    out = tmp_path / "out"
    assert clean(birds, other, "--model", encoder, "-o", out) == 3
    found = [row for row in rows(out) if row["kind"] == "leakage"]
    assert {row["part"] for row in found} == {"birds", "other"}
    assert {row["file"].split("/")[-1] for row in found} == {"05.png", "seen.png"}
    assert "1 duplicates in 1 groups, 1 across parts" in capsys.readouterr().out
    shards = {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}
    assert clean(birds, other, "--model", encoder, "-o", out) == 3
    assert shards == {path: path.stat().st_mtime_ns for path in out.rglob("*.parquet")}


def test_splits_inside_one_folder_are_parts_and_their_folders_the_classes(birds, encoder, tmp_path):
    data = tmp_path / "data"
    data.mkdir()
    birds.rename(data / "train")
    (data / "test" / "owl").mkdir(parents=True)
    (data / "test" / "owl" / "x.png").write_bytes((data / "train/owl/07.png").read_bytes())
    out = tmp_path / "out"
    assert clean(data, "--model", encoder, "-o", out) == 3
    found = [row for row in rows(out) if row["kind"] == "leakage"]
    assert {(row["part"], row["label"]) for row in found} == {("train", "owl"), ("test", "owl")}


def test_a_set_without_faults_says_so(birds, encoder, tmp_path, capsys):
    out = tmp_path / "out"
    assert clean(birds, "--model", encoder, "-o", out) == 0
    assert rows(out) == []
    assert "32 photographs, 0 unreadable, 0 blank" in capsys.readouterr().out


def test_without_classes_labels_are_not_judged(birds, encoder, tmp_path, capsys):
    assert clean(birds / "jay", "--model", encoder, "-o", tmp_path / "out") == 0
    assert "labels were not judged" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["BIRDS", "none"], "There is nothing at none. Expected: a folder"),
        (["BIRDS", "BIRDS"], "A place is named twice"),
        (["BIRDS", "--correlation", "1.5"], "least is out of range"),
        (["BIRDS", "--model", "none.keras"], "There is nothing at none.keras"),
    ],
)
def test_bad_input_is_refused_before_work(arguments, words, birds, encoder, tmp_path, capsys):
    given = [birds if word == "BIRDS" else word for word in arguments]
    model = [] if "--model" in arguments else ["--model", encoder]
    assert clean(*given, *model, "-o", tmp_path / "out") == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
