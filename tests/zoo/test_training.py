"""A run: complete, repeatable from what it left, and the same however often it was killed."""

import json
import os
import signal
import subprocess
import sys
import time

import keras
import numpy as np
import pytest

import zoo
from zoo import training
from zoo.checkpoint import Checkpoint
from zoo.runs import Run

pytestmark = pytest.mark.tensorflow

SMALL = {"epochs": 4, "steps": 3, "classes": 4, "images": 4, "embedding": 8}


def comparable(report: dict) -> dict:
    kept = {name: report[name] for name in ("recipe", "settings", "results", "baselines")}
    return {**kept, "losses": [round(logs["loss"], 6) for logs in report["history"]]}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    zoo.train("digits-triplet", folder, settings=SMALL)
    return folder


def test_a_run_leaves_everything(unbroken):
    found = {str(path.relative_to(unbroken)) for path in unbroken.rglob("*") if path.is_file()}
    pictures = {f"pictures/{name}.png" for name in ("gallery", "projection", "distances", "curves")}
    assert found == {"README.md", "metrics.json", "model.keras", "run.json"} | pictures


def test_metrics_say_how_to_repeat_the_run(unbroken, tmp_path):
    report = Run(unbroken).report()
    words = report["command"].split()
    assert words[:3] == ["keras-metric", "train", "digits-triplet"]
    assert set(words[4::2]) == {f"{key}={value}" for key, value in SMALL.items()}
    again = zoo.train(report["recipe"], tmp_path / "again", settings=report["settings"])
    assert comparable(again) == comparable(report)


def test_the_card_holds_the_numbers_of_the_metrics(unbroken):
    card = (unbroken / "README.md").read_text(encoding="utf-8")
    report = Run(unbroken).report()
    for name, value in report["results"].items():
        baseline = report["baselines"]["raw pixels"][name]
        assert f"| {name} | {value:.4f} | {baseline:.4f} |" in card


def test_a_finished_run_is_not_trained_again(unbroken, capsys):
    before = Run(unbroken).model.stat().st_mtime_ns
    zoo.train("digits-triplet", unbroken, settings=SMALL)
    assert "trained already" in capsys.readouterr().err
    assert Run(unbroken).model.stat().st_mtime_ns == before


def test_another_run_is_not_overwritten(unbroken, tmp_path):
    with pytest.raises(FileExistsError, match="holds another run.*epochs=5.*Received.*epochs=4"):
        zoo.train("digits-triplet", unbroken, settings={**SMALL, "epochs": 5})
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(FileExistsError, match=r"is in use\..*Received: a folder with thesis.txt"):
        zoo.train("digits-triplet", tmp_path, settings=SMALL, force=True)


def test_killed_and_resumed_equals_unbroken(unbroken, tmp_path):
    folder = tmp_path / "killed"
    program = f"import zoo; zoo.train('digits-triplet', {str(folder)!r}, settings={SMALL})"
    with subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.DEVNULL) as process:
        state, deadline = Run(folder).checkpoint / "state.json", time.monotonic() + 120
        while not state.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.002)
        os.kill(process.pid, signal.SIGKILL)
    finished = json.loads(state.read_text())["epoch"]
    assert 1 <= finished < SMALL["epochs"], "killed too late to prove anything"
    resumed = zoo.train("digits-triplet", folder, settings=SMALL)
    assert comparable(resumed) == comparable(Run(unbroken).report())
    first, second = (zoo.load(path).get_weights() for path in (unbroken, folder))
    for ours, theirs in zip(first, second, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_a_kill_between_the_two_files_leaves_the_state_before(tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("adam", "mse")
    model.optimizer.build(model.trainable_variables)
    batches = type("B", (), {"epoch": 0})()
    checkpoint = Checkpoint(tmp_path, batches)
    checkpoint.set_model(model)
    checkpoint.on_train_begin()
    checkpoint.on_epoch_end(0, {"loss": 1.0})
    (tmp_path / "epoch-2.weights.h5").write_bytes(b"written, but state.json does not know it")
    resumed = Checkpoint(tmp_path, batches)
    resumed.set_model(model)
    before = [weight.copy() for weight in model.get_weights()]
    model.set_weights([weight + 1 for weight in before])
    resumed.on_train_begin()
    assert (resumed.epoch, batches.epoch, resumed.history) == (1, 1, [{"loss": 1.0}])
    np.testing.assert_array_equal(model.get_weights()[0], before[0])


def test_seeds_are_summed_up(tmp_path):
    report = training.train_seeds("digits-triplet", 2, tmp_path, settings=SMALL)
    single = [Run(tmp_path / f"seed-{seed}").report() for seed in (0, 1)]
    values = [run["results"]["map@r"] for run in single]
    assert [run["settings"]["seed"] for run in single] == [0, 1]
    assert values[0] != values[1]
    assert report["results"]["map@r"] == {
        "mean": pytest.approx(sum(values) / 2, abs=1e-6),
        "min": min(values),
        "max": max(values),
    }
    assert report["command"].endswith("--seeds 2")
    low, high = min(values), max(values)
    assert f"({low:.4f} to {high:.4f})" in (tmp_path / "README.md").read_text(encoding="utf-8")


def test_evaluate_measures_the_saved_model(unbroken):
    before = Run(unbroken).report()
    assert comparable(zoo.evaluate(unbroken)) == comparable(before)
    encoder = zoo.load(unbroken)
    encoder.set_weights([np.zeros_like(weight) for weight in encoder.get_weights()])
    kept = Run(unbroken).model.read_bytes()
    encoder.save(Run(unbroken).model)
    assert zoo.evaluate(unbroken)["results"]["recall@1"] < before["results"]["recall@1"]
    Run(unbroken).model.write_bytes(kept)
    zoo.evaluate(unbroken)
