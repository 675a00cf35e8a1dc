"""Commands on models: export and audit do what they print."""

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


def test_a_siamese_file_is_exported_in_a_new_process(python, tmp_path):
    encoder = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(2)])
    net = SiameseNet(encoder)
    net([np.zeros((1, 4, 4, 1))] * 2)
    net.save(tmp_path / "siamese.keras")
    command = [*python, "-m", "zoo", "export", str(tmp_path / "siamese.keras"), "--json"]
    answer = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert answer.returncode == 0, answer.stderr
    assert json.loads(answer.stdout) == {"saved_model": str(tmp_path / "saved_model" / "1")}


def test_output_to_a_reader_that_has_gone():
    command = [sys.executable, "-m", "zoo", "list"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 0


@pytest.mark.filterwarnings("ignore")  # the converters use what numpy and TensorFlow retire
@pytest.mark.parametrize(
    ("options", "name"),
    [(["onnx"], "model.onnx"), (["litert", "--precision", "int8"], "model.tflite")],
)
def test_a_file_for_another_runtime(options, name, classifier, tmp_path, capsys):
    pictures = tmp_path / "pictures"
    (pictures / "some").mkdir(parents=True)
    for number in range(5):
        pixels = np.random.default_rng(number).integers(0, 256, (20, 20, 3))
        keras.utils.save_img(pictures / "some" / f"{number}.png", pixels)
    command = ["export", str(classifier), "--out", str(tmp_path / name), "--format", *options]
    assert main([*command, "--samples", str(pictures), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["path"] == str(tmp_path / name)
    assert answer["bytes"] == (tmp_path / name).stat().st_size
    assert answer["difference"] < 0.05
    assert main(command) == 1
    assert "never overwritten" in capsys.readouterr().err


def test_onnx_has_one_precision(classifier, capsys):
    assert main(["export", str(classifier), "--format", "onnx", "--precision", "int8"]) == 1
    assert "Expected: --precision float32. Received: int8" in capsys.readouterr().err
