"""`keras-metric locate`: what it prints and draws is what `km.locate` finds."""

import json

import keras
import numpy as np
import pytest
from keras import layers

import keras_metric as km
from keras_metric import plots
from zoo.cli import main

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    keras.utils.set_random_seed(0)
    made = [layers.Rescaling(1 / 255), layers.Conv2D(6, 3, strides=2, activation="tanh")]
    model = keras.Sequential([keras.Input((9, 9, 1)), *made, layers.Flatten(), layers.Dense(32)])
    path = tmp_path_factory.mktemp("models") / "encoder.keras"
    model.save(path)
    return model, path


@pytest.fixture
def pictures(tmp_path, rng):
    scene = rng.integers(0, 256, (30, 40, 1)).astype("uint8")
    files = tmp_path / "exemplar.png", tmp_path / "scene.png"
    for file, pixels in zip(files, (scene[4:13, 12:21], scene), strict=True):
        keras.utils.array_to_img(pixels, scale=False).save(file)
    return files


def test_boxes_table_and_picture(encoder, pictures, tmp_path, capsys):
    model, path = encoder
    command = ["locate", str(path), *map(str, pictures), "-o", str(tmp_path / "found.png")]
    assert main([*command, "--scales", "1,0.8", "--top", "3", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    exemplar, scene = (
        keras.utils.img_to_array(keras.utils.load_img(file, color_mode="grayscale"))
        for file in pictures
    )
    expected = km.locate(model, exemplar, scene, scales=(1, 0.8), top=3)
    assert [one["box"] for one in answer["found"]] == [list(one.box) for one in expected]
    assert answer["found"][0]["box"] == [12, 4, 21, 13]
    assert answer["found"][0]["score"] == pytest.approx(1, abs=1e-5)
    picture = np.asarray(keras.utils.load_img(tmp_path / "found.png"))
    orange = (np.abs(picture.astype(int) - (255, 127, 14)).max(-1) < 3).sum()
    assert orange > 100
    assert main([*command, "--threshold", "0.99"]) == 0
    first, second, *rest = capsys.readouterr().out.splitlines()
    assert first.split() == ["left", "top", "right", "bottom", "score", "scale"]
    assert second.split() == ["1", "12", "4", "21", "13", "1.000", "1"]
    assert rest == [f"{tmp_path / 'found.png'}: the picture"]
    assert main([*command, "--threshold", "1.1"]) == 0
    assert "nothing reaches the threshold" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("out", "more", "words"),
    [
        ("found.jpg", [], "Expected: a file that ends in .png"),
        ("scene.png", [], "neither exemplar nor scene"),
        ("found.png", ["--scales", "1;2"], "numbers with commas"),
        ("found.png", ["--scales", "9"], "larger than the scene"),
        ("found.png", ["--top", "0"], "top is out of range"),
    ],
)
def test_refusals(out, more, words, encoder, pictures, tmp_path, capsys):
    command = ["locate", str(encoder[1]), *map(str, pictures), "-o", str(tmp_path / out)]
    before = pictures[1].read_bytes()
    assert main([*command, *more]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "found.png").exists()
    assert pictures[1].read_bytes() == before


def test_missing_pictures_are_named(encoder, tmp_path, capsys):
    command = ["locate", str(encoder[1]), "nowhere.png", "neither.png", "-o", "found.png"]
    assert main(command) == 1
    assert "Received: nowhere.png" in capsys.readouterr().err


def test_a_search_needs_parts_that_fit():
    with pytest.raises(ValueError, match="a map of the scene's size"):
        plots.search(np.zeros((4, 4)), np.zeros((8, 8)), [], [], np.zeros((4, 4)))
