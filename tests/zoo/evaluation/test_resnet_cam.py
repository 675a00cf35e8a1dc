"""ResNet50 without its weights says so; photographs come from the folder given."""

import os
import subprocess
import sys

import keras
import numpy as np
import pytest

import zoo
from zoo.encoders.applications import is_offline
from zoo.files import read_json

pytestmark = pytest.mark.tensorflow

OFFLINE = dict.fromkeys(("http_proxy", "https_proxy", "HTTPS_PROXY"), "http://127.0.0.1:9")


@pytest.fixture
def photos(tmp_path, rng):
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    for name in ("one.png", "deep/two.png"):
        keras.utils.array_to_img(rng.integers(0, 255, (40, 60, 3))).save(folder / name)
    return folder


@pytest.mark.slow
def test_without_the_published_weights_everything_says_so(photos, tmp_path):
    command = ["train", "resnet50-cam", "--data", photos, "--out", tmp_path / "run"]
    run = subprocess.run(
        [sys.executable, "-m", "zoo", *command, "--set", "methods=cam"],
        env={**os.environ, **OFFLINE, "KERAS_HOME": str(tmp_path / "keras")},
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    assert "Random weights: this network has not learned anything" in run.stderr
    report = read_json(tmp_path / "run" / "metrics.json")
    assert report["notes"][0].startswith("Random weights")
    assert report["results"]["maps"] == 2048
    errors = [row["score - (map + bias), largest"] for row in report["baselines"].values()]
    assert max(report["results"]["score - (map + bias), largest"], *errors) < 1e-5
    assert "**Random weights: this network" in (tmp_path / "run" / "README.md").read_text()
    assert "Images(2 RGB pictures of 224 x 224" in report["data"]["test"]


def test_nothing_is_trained(photos, tmp_path):
    with pytest.raises(ValueError, match="'epochs' is out of range. Expected: 0 or more, 0 at"):
        zoo.train("resnet50-cam", tmp_path / "run", settings={"epochs": 3}, data=photos)
    with pytest.raises(ValueError, match="Unknown weights"):
        zoo.train("resnet50-cam", tmp_path / "run", settings={"weights": "none"}, data=photos)
    assert not (tmp_path / "run").exists()


def test_photographs_are_those_of_the_folder_else_two_that_are_there(photos, monkeypatch):
    recipe = zoo.get("resnet50-cam")
    found = recipe.data(recipe.resolve_settings({"photos": 1}), photos).test
    assert found.images.shape == (1, 224, 224, 3)
    monkeypatch.delenv("KERAS_METRIC_DATA", raising=False)
    assert np.ptp(recipe.data(recipe.resolve_settings(), None).test.images) == 255
    with pytest.raises(FileNotFoundError, match="There are no photographs below"):
        recipe.data(recipe.resolve_settings(), photos.parent / "nowhere")


def test_a_download_that_fails_is_told_from_other_errors(tmp_path):
    with pytest.raises(Exception, match="URL fetch failure") as unreachable:
        keras.utils.get_file("net.h5", "http://127.0.0.1:9/net.h5", cache_dir=tmp_path)
    assert is_offline(unreachable.value)
    (tmp_path / "datasets").rmdir()
    (tmp_path / "datasets").write_text("a file, no folder")
    with pytest.raises(OSError, match="datasets") as other:
        keras.utils.get_file("net.h5", "http://127.0.0.1:9/net.h5", cache_dir=tmp_path)
    assert not is_offline(other.value)
