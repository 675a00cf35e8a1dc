"""The examples run as their first lines say."""

import subprocess
import sys
from pathlib import Path

import pytest

import zoo
from zoo import encoders
from zoo.cli import main
from zoo.encoders.ensemble import AS_IS, ensemble
from zoo.training import training

pytestmark = pytest.mark.tensorflow

ROOT = Path(__file__).resolve().parent.parent.parent


def example(name, *arguments):
    script = [sys.executable, ROOT / "examples" / name, *arguments]
    answer = subprocess.run(script, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    return answer.stdout.splitlines()


def test_serve_a_query(tmp_path, capsys):
    small = [
        "epochs=1",
        "batches_per_epoch=2",
        "classes_per_batch=4",
        "images_per_class=4",
        "embedding=8",
    ]
    settings = [word for value in small for word in ("--set", value)]
    options = ["train", "digits-triplet", "--out", str(tmp_path), "--export", *settings]
    assert main(options) == 0
    assert f"{tmp_path / 'saved_model' / '1'}: the SavedModel" in capsys.readouterr().out
    answer = example("01_serve_a_query.py", tmp_path)
    assert [line[2] for line in answer[1:6]] == list("56789")
    assert (tmp_path / "pictures" / "served.png").exists()


@pytest.mark.slow
def test_one_shot_errors(tmp_path, real_data, few_pictures):
    small = {
        "epochs": 1,
        "batches_per_epoch": 1,
        "classes_per_batch": 4,
        "images_per_class": 2,
        "side": 16,
    }
    report = training.train_seeds("omniglot-infonce", 2, tmp_path, settings=small, data=real_data)
    answer = example("03_one_shot_errors.py", tmp_path, real_data)
    assert answer[0].startswith("omniglot-infonce, 2 seeds")
    error = report["results"]["20-way one-shot error %"]
    assert answer[1].endswith(f"{error['mean']:.2f} ({error['min']:.2f} to {error['max']:.2f})")
    assert {"one-shot.png", "errors.png"} <= {x.name for x in (tmp_path / "pictures").iterdir()}


def test_clothes(tmp_path, real_data):
    """Of untrained networks: what they answer is not looked at."""
    options = {"width": 0.25, "input_shape": (64, 64, 3)}
    encoder = encoders.build("resnet18", **options, embedding=8, normalize=True)
    models = {
        "triplet": ensemble([encoder], AS_IS, mirror=True),
        "classifier": encoders.build("resnet18", **options, classes=10),
    }
    for name, model in models.items():
        (tmp_path / name).mkdir()
        model.save(tmp_path / name / "model.keras")
    answer = example("04_clothes.py", *(tmp_path / name for name in models), real_data)
    assert [line.partition(":")[0].strip() for line in answer[1:4]] == [
        "dress",
        "hat",
        "longsleeve",
    ]
    assert (tmp_path / "triplet" / "pictures" / "neighbours.png").exists()
    assert (tmp_path / "classifier" / "pictures" / "explained.png").exists()
    assert zoo.load(tmp_path / "classifier" / "fcn.keras").input_shape == (None, None, None, 3)


@pytest.mark.slow
def test_photographs(tmp_path):
    answer = example("05_photographs.py", tmp_path)
    assert answer[0] == "china.jpg, 427 x 640 pixels: palace, bell cote, lakeside"
    assert answer.count("  8 x 14 windows in one pass") == 2
    assert {path.name for path in tmp_path.iterdir()} == {"china.png", "flower.png"}


@pytest.mark.slow
def test_photographs_are_found_named_and_served(tmp_path):
    answer = example("06_find_photographs.py", tmp_path)
    assert "  chelsea: Egyptian cat (79%)" in answer
    assert any(line.startswith("17 of 17 photographs are found again") for line in answer)
    served = example("07_serve_an_explanation.py", tmp_path)
    assert served[0].startswith("served: bell cote ")
    assert "keras-metric train my_photos/" in served[-1]
    assert {"found.png", "served.png"} <= {path.name for path in tmp_path.iterdir()}
