"""Trained models in the package: whole, small, opened by name, worth what their cards say."""

import hashlib
import json
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
from PIL import Image

import zoo
from zoo import cli, pretrained
from zoo.pretrained import catalog
from zoo.runs.runs import Run

pytestmark = pytest.mark.tensorflow

MODELS = zoo.trained()
IDS = [one.name for one in MODELS]
QUICK = ("digits-triplet",)  # to measure, and their data come with scikit-learn
MOST = 15_000_000  # bytes of all of them

each_model = pytest.mark.parametrize("model", MODELS, ids=IDS)


def test_they_are_small_and_nothing_else_lies_beside_them():
    files = [path for path in catalog.FOLDER.rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < MOST
    expected = {f"{one.name}/{name}" for one in MODELS for name in
                ("model.keras", "metrics.json", "README.md")}  # fmt: skip
    assert {str(path.relative_to(catalog.FOLDER)) for path in files} == expected


@each_model
def test_it_opens_and_is_as_it_is_listed(model):
    file = catalog.FOLDER / model.name / "model.keras"
    assert hashlib.sha256(file.read_bytes()).hexdigest() == model.sha256
    assert file.stat().st_size == model.bytes
    opened = zoo.load(model.name)
    assert opened.input_shape[1:] == model.input
    assert opened.output_shape[1:] == model.output
    assert opened.count_params() == model.parameters
    image = np.zeros((1, *(side or 64 for side in model.input)), "float32")
    assert np.isfinite(opened.predict(image, verbose=0)).all()


@each_model
def test_its_card_says_what_was_measured_and_of_which_license_the_data_are(model):
    card = (catalog.FOLDER / model.name / "README.md").read_text(encoding="utf-8")
    report = Run(catalog.FOLDER / model.name).report()
    assert model.results == report["results"]
    for name, value in model.results.items():
        (row,) = re.findall(rf"^\| {re.escape(name)} \| ([^|]+) \|", card, re.MULTILINE)[:1]
        assert float(row) == pytest.approx(value, rel=1e-3, abs=6e-5)
    assert f"- License of the data: {model.license}" in card
    assert f"    {model.command}\n" in card
    assert f"sha256 {model.sha256}" in card
    assert f"{model.bytes:,} bytes" in card
    assert re.match(r"(digits: )?(MIT|CC BY 4\.0|CC0) \(", model.license)


def compared(name, data, capsys):
    arguments = ["evaluate", name, *(["--data", str(data)] if data else [])]
    assert cli.main(arguments) == 0
    told = capsys.readouterr().out
    assert re.search(r"equal to the card: \d+ results", told), told


@pytest.mark.parametrize("name", QUICK)
def test_a_quick_one_is_worth_what_its_card_says(name, capsys):
    compared(name, None, capsys)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(set(IDS) - set(QUICK)))
def test_it_is_worth_what_its_card_says(name, real_data, capsys):
    compared(name, real_data, capsys)


def test_a_result_that_differs_is_told(monkeypatch, capsys, rng):
    import zoo.evaluation.evaluation as evaluation

    monkeypatch.setattr(evaluation, "load", lambda name: damaged(zoo.load(name), rng))
    assert cli.main(["evaluate", "digits-triplet"]) == 0
    told = capsys.readouterr().out
    assert re.search(r"recall@1: 0\.\d+, on the card 0\.99", told)
    assert "equal to the card" not in told


def damaged(model, rng):
    model.set_weights([rng.permutation(w.ravel()).reshape(w.shape) for w in model.get_weights()])
    return model


def test_a_file_that_was_replaced_is_refused(tmp_path, monkeypatch):
    shutil.copytree(catalog.FOLDER / "digits-triplet", tmp_path / "digits-triplet")
    monkeypatch.setattr(catalog, "FOLDER", tmp_path)
    with (tmp_path / "digits-triplet" / "model.keras").open("ab") as file:
        file.write(b"\0")
    expected = zoo.trained("digits-triplet")[0].sha256
    with pytest.raises(
        ValueError, match=f"damaged.*Expected: sha256 {expected}. Received: [0-9a-f]{{64}}"
    ):
        zoo.load("digits-triplet")


def test_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert pretrained.is_trained("digits-triplet")
    (tmp_path / "digits-triplet").mkdir()
    mine = keras.Sequential([keras.Input((4, 4, 1)), keras.layers.Flatten()])
    mine.save("digits-triplet/model.keras")
    assert not pretrained.is_trained("digits-triplet")
    assert zoo.load("digits-triplet").input_shape == (None, 4, 4, 1)


def test_what_belongs_to_it_is_not_in_the_run_of_its_name():
    assert str(pretrained.written_to("digits-triplet")) == "out/trained/digits-triplet"
    assert str(pretrained.written_to("efficientnet_lite0")) == "out/efficientnet_lite0"
    assert str(pretrained.written_to("out/digits-triplet")) == "out/digits-triplet"


def test_they_are_listed(capsys):
    assert [one.name for one in zoo.trained("*omniglot*")] == ["omniglot-infonce"]
    assert zoo.trained("nothing") == []
    assert cli.main(["list", "--trained", "--json"]) == 0
    listed = json.loads(capsys.readouterr().out)
    assert [one["name"] for one in listed] == IDS
    assert all(one["license"] and one["results"] and one["bytes"] for one in listed)
    assert cli.main(["list", "--trained", "digits-t*"]) == 0
    told = capsys.readouterr().out
    assert "digits-triplet" in told
    assert "8 x 8 x 1" in told
    assert "omniglot" not in told
    assert cli.main(["list", "--trained", "nothing"]) == 1
    assert "No trained model matches. Expected: a pattern for: bccd-cam" in capsys.readouterr().err


def test_a_preset_is_made_of_one(tmp_path):
    folder = zoo.save("digits-triplet", tmp_path / "digits", threshold=0.5)
    kept = zoo.preset(folder)
    assert kept.threshold == 0.5
    assert kept.facts["results"] == zoo.trained("digits-triplet")[0].results
    assert zoo.preset("digits-triplet").facts == kept.facts


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    """Ten pictures of each of three digits, one folder each."""
    from zoo.datasets.sources import digits

    folder, images = tmp_path_factory.mktemp("digits"), digits.load()
    for label in (1, 4, 7):
        (folder / str(label)).mkdir()
        for number, pixels in enumerate(images.images[images.labels == label][:10]):
            Image.fromarray(pixels[..., 0]).save(folder / str(label) / f"{number}.png")
    return folder


def answer(capsys, *arguments):
    assert cli.main([*map(str, arguments), "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def test_pictures_are_searched_with_one(digits, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    home = tmp_path / "out" / "trained" / "digits-triplet"
    found = answer(capsys, "calibrate", "digits-triplet", digits, "--far", "0.05")
    assert found["calibration"] == "out/trained/digits-triplet/calibration.json"
    assert (home / "calibration.json").is_file()
    found = answer(capsys, "index", "digits-triplet", digits)
    assert found["records"] == 30
    assert found["threshold"] is not None
    photo = digits / "4" / "3.png"
    (found,) = answer(capsys, "search", "digits-triplet", photo, "-k", 3)["searches"]
    assert [near["label"] for near in found["neighbours"]] == ["4"] * 3
    assert len(zoo.load_index("digits-triplet")) == 30
    found = answer(capsys, "embed", "digits-triplet", digits, "-o", "shards")
    assert found["rows"] == 30
    page = answer(capsys, "neighbours-report", "digits-triplet", digits, "-o", "r.html")
    assert page["report"] == "r.html"
    found = answer(capsys, "export", "digits-triplet")
    assert found["saved_model"] == "out/trained/digits-triplet/saved_model/1"


def test_a_classifier_is_explained_converted_and_scanned(tmp_path, monkeypatch, capsys, rng):
    monkeypatch.chdir(tmp_path)
    Image.fromarray(rng.integers(0, 256, (120, 160, 3), np.uint8)).save("cells.png")
    (found,) = answer(capsys, "cam", "bccd-cam", "cells.png", "-o", "cam.png", "--top", 3)["maps"]
    assert {one["label"] for one in found["classes"]} == {"RBC", "WBC", "Platelets"}
    found = answer(capsys, "convert", "bccd-cam", "-o", "fcn.keras", "--size", "40x40")
    assert found["equal"]
    options = ("cells.png", "-o", "scan.png", "--threshold", -9, "--boxes")
    by_name = answer(capsys, "scan", "bccd-cam", *options, "--window", "40x40")["scans"]
    of_file = answer(capsys, "scan", "fcn.keras", *options)["scans"]
    assert by_name[0]["detections"] == of_file[0]["detections"]
    assert by_name[0]["detections"]


def test_a_thing_is_located_with_one(tmp_path, monkeypatch, capsys, rng):
    monkeypatch.chdir(tmp_path)
    glyph = rng.integers(0, 256, (8, 8), np.uint8)
    scene = np.zeros((40, 60), np.uint8)
    scene[20:28, 32:40] = glyph
    Image.fromarray(glyph).save("glyph.png")
    Image.fromarray(scene).save("scene.png")
    arguments = ("glyph.png", "scene.png", "-o", "found.png", "--scales", "1")
    (best, *_) = answer(capsys, "locate", "digits-triplet", *arguments)["found"]
    assert np.abs(np.array(best["box"]) - (32, 20, 40, 28)).max() <= 1
    assert best["score"] > 0.7  # the window sees a border that the picture alone has not


def test_one_is_served_by_name(tmp_path, monkeypatch, capsys):
    """Exported first, once; the server is given the versions and the name of the model."""
    monkeypatch.chdir(tmp_path)
    served = []
    monkeypatch.setattr("keras_metric.serve.serve", lambda path, **how: served.append((path, how)))
    for _ in range(2):
        assert cli.main(["serve", "digits-triplet", "--rest-port", "0"]) == 0
    place = Path("out/trained/digits-triplet/saved_model")
    assert [path.name for path in place.iterdir()] == ["1"]
    assert [(path, how["name"]) for path, how in served] == [(place, "digits-triplet")] * 2
