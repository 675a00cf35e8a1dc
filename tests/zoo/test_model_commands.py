"""Commands on models: convert, cam and audit do what they print."""

import json
import subprocess
import sys

import keras
import numpy as np
import pytest
from keras import layers

from keras_metric.models import SiameseNet
from zoo.cli import main

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((16, 12, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    path = tmp_path_factory.mktemp("models") / "classifier.keras"
    model.save(path)
    return path


@pytest.fixture
def photo(tmp_path, rng):
    path = tmp_path / "photo.png"
    keras.utils.array_to_img(rng.integers(0, 255, (20, 30, 3))).save(path)
    return path


def test_convert(classifier, tmp_path, capsys, rng):
    out = tmp_path / "fcn.keras"
    assert main(["convert", str(classifier), "-o", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["equal"]
    assert answer["exact"]
    image = rng.uniform(0, 255, (1, 16, 12, 3)).astype("float32")
    expected = keras.saving.load_model(classifier)(image)
    cell = keras.saving.load_model(out)(image)[:, 0, 0]
    np.testing.assert_allclose(cell, expected, rtol=1e-5)
    assert main(["convert", str(classifier), "-o", str(out), "--map"]) == 0
    text = capsys.readouterr().out
    assert "(a) original size" in text
    assert f"{out}: the converted model" in text


def test_convert_never_writes_to_its_source(classifier, tmp_path, capsys):
    before = classifier.read_bytes()
    for out in (classifier, tmp_path / "fcn.h5"):
        assert main(["convert", str(classifier), "-o", str(out)]) == 1
        assert (
            "Expected a file that ends in .keras and is not the source" in capsys.readouterr().err
        )
    assert classifier.read_bytes() == before


def test_cam(classifier, photo, tmp_path, capsys):
    target = tmp_path / "map.png"
    assert main(["cam", str(classifier), str(photo), "-o", str(target), "--class", "2"]) == 0
    assert f"{target}: class 2" in capsys.readouterr().out
    assert keras.utils.load_img(target).size == (12, 16)
    (tmp_path / "photos" / "deep").mkdir(parents=True)
    photo.rename(tmp_path / "photos" / "deep" / "one.png")
    arguments = ["cam", str(classifier), str(tmp_path / "photos"), "-o", str(tmp_path / "maps")]
    assert main([*arguments, "--method", "gradcam", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)
    assert answer["map"] == str(tmp_path / "maps" / "deep" / "one.png")
    assert (tmp_path / "maps" / "deep" / "one.png").exists()


def test_cam_refuses_what_it_cannot_draw(classifier, photo, tmp_path, capsys):
    assert main(["cam", str(classifier), str(photo), "-o", str(tmp_path / "map.txt")]) == 1
    assert "Expected an image and a .png file" in capsys.readouterr().err
    arguments = ["cam", str(classifier), str(photo), "-o", str(tmp_path / "map.png")]
    assert main([*arguments, "--method", "gradcan"]) == 1
    assert "gradcam" in capsys.readouterr().err


def test_audit(classifier, tmp_path, capsys):
    served = tmp_path / "served"
    assert main(["export", str(classifier), "--out", str(served)]) == 0
    assert capsys.readouterr().out == f"{served / '1'}: the SavedModel\n"
    assert main(["audit", str(served), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["ok"]
    assert answer["folder"] == str(served / "1")
    assert "serving_default" in answer["signatures"]
    assert main(["audit", str(tmp_path)]) == 1
    assert "No SavedModel" in capsys.readouterr().err


def test_cam_never_writes_over_an_image(classifier, photo, tmp_path, capsys):
    before = photo.read_bytes()
    assert main(["cam", str(classifier), str(photo), "-o", str(photo)]) == 1
    assert "Maps need files of their own" in capsys.readouterr().err
    (tmp_path / "photo.jpg").write_bytes(before)
    assert main(["cam", str(classifier), str(tmp_path), "-o", str(tmp_path / "maps")]) == 1
    assert "Maps need files of their own" in capsys.readouterr().err
    assert photo.read_bytes() == before
    assert not (tmp_path / "maps").exists()


def test_a_siamese_file_is_exported_in_a_new_process(tmp_path):
    encoder = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(2)])
    net = SiameseNet(encoder)
    net([np.zeros((1, 4, 4, 1))] * 2)
    net.save(tmp_path / "siamese.keras")
    command = [sys.executable, "-m", "zoo", "export", str(tmp_path / "siamese.keras"), "--json"]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == {"saved_model": str(tmp_path / "saved_model" / "1")}


def test_output_to_a_reader_that_has_gone():
    command = [sys.executable, "-m", "zoo", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0
