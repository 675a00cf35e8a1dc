"""Networks by name, wherever a model is expected: no training, no download."""

import json

import numpy as np
import pytest
from PIL import Image

import zoo
from keras_metric import Preprocessing
from keras_metric.preprocessing import attached
from zoo import cli, pretrained

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def photos(tmp_path, monkeypatch, rng):
    """Six pictures of two kinds: stripes and checks."""
    monkeypatch.chdir(tmp_path)
    rows, columns = np.indices((64, 64))
    for kind, pattern in (("stripes", rows // 8 % 2), ("checks", (rows // 8 + columns // 8) % 2)):
        (tmp_path / "photos" / kind).mkdir(parents=True)
        for number in range(3):
            noise = rng.integers(0, 60, (64, 64, 3))
            pixels = (pattern[..., None] * 190 + noise).astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / "photos" / kind / f"{number}.png")
    return tmp_path / "photos"


def test_photographs_are_searched_without_training(photos, capsys):
    assert cli.main(["index", "efficientnet_lite0", str(photos)]) == 0
    assert (photos.parent / "out" / "efficientnet_lite0" / "index").is_dir()
    capsys.readouterr()
    query = str(photos / "checks" / "1.png")
    arguments = ["search", "efficientnet_lite0", query, "--json", "-k", "3", "-o", "gallery.png"]
    assert cli.main(arguments) == 0
    (answer,) = json.loads(capsys.readouterr().out)["searches"]
    assert [near["label"] for near in answer["neighbours"]] == ["checks"] * 3
    assert (photos.parent / "gallery.png").stat().st_size > 0


def test_a_file_of_that_name_comes_first(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert pretrained.is_backbone("efficientnet_lite0")
    (tmp_path / "efficientnet_lite0").mkdir()
    assert not pretrained.is_backbone("efficientnet_lite0")
    with pytest.raises(FileNotFoundError, match="an empty folder"):
        zoo.load("efficientnet_lite0")


def test_a_name_that_is_not_known():
    with pytest.raises(FileNotFoundError, match=r"one of efficientnet_lite0.*nothing at that path"):
        zoo.load("efficientnet_lite9")


def test_features_have_unit_length_and_classifiers_take_any_size(rng):
    model = zoo.load("efficientnet_lite0")
    features = model.predict(rng.integers(0, 256, (2, 224, 224, 3)), verbose=0)
    np.testing.assert_allclose(np.linalg.norm(features, axis=1), 1, rtol=1e-5)
    assert attached(model) == zoo.preprocessing("efficientnet_lite0") == Preprocessing((224, 224))
    assert zoo.load("efficientnet_lite0_imagenet").output_shape == (None, 1000)


def test_how_pictures_become_their_input_is_known_without_their_weights(monkeypatch):
    monkeypatch.setattr(pretrained, "backbone", None)
    assert zoo.preprocessing("efficientnet_lite2") == Preprocessing((260, 260))
    assert zoo.preprocessing("efficientnet_lite0_imagenet") == Preprocessing()
