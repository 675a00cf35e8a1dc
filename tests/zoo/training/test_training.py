"""A run: complete, repeatable from what it left, and the same however often it was killed."""

import json
import signal
import subprocess
import sys

import keras
import numpy as np
import pytest

import zoo
from keras_metric import Preprocessing
from keras_metric.preprocessing import attached, in_file
from zoo.runs.runs import Run
from zoo.training import training
from zoo.training.callbacks import Checkpoint

pytestmark = pytest.mark.tensorflow

SMALL = {
    "epochs": 4,
    "batches_per_epoch": 3,
    "classes_per_batch": 4,
    "images_per_class": 4,
    "embedding": 8,
}


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


def test_a_run_stores_how_pictures_become_its_input(unbroken):
    made = Preprocessing((8, 8), color="grayscale")
    assert in_file(Run(unbroken).model) == zoo.preprocessing(unbroken) == made
    assert Run(unbroken).report()["preprocessing"] == str(made)
    assert f"\n- Images: {made}\n" in (unbroken / "README.md").read_text(encoding="utf-8")


def test_the_preprocessing_of_a_recipe_is_stored_if_it_has_one():
    recipe = zoo.get("clothing-triplet")
    model = keras.Sequential([keras.Input((64, 64, 3)), keras.layers.Flatten()])
    training.carry_preprocessing(model, recipe, recipe.resolve_settings())
    assert attached(model) == Preprocessing((64, 64), resize="letterbox", fill=255)
    vectors = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    training.carry_preprocessing(vectors, zoo.get("digits-triplet"), {})
    assert attached(vectors) is None


def test_a_finished_run_is_not_trained_again(unbroken, capsys):
    before = Run(unbroken).model.stat().st_mtime_ns
    zoo.train("digits-triplet", unbroken, settings=SMALL)
    assert "trained already" in capsys.readouterr().err
    assert Run(unbroken).model.stat().st_mtime_ns == before


def test_another_run_is_not_overwritten(unbroken, tmp_path):
    with pytest.raises(FileExistsError, match="contains another run.*epochs=5.*Received.*epochs=4"):
        zoo.train("digits-triplet", unbroken, settings={**SMALL, "epochs": 5})
    with pytest.raises(
        FileExistsError, match=r"is in use\..*several seeds.*Received.*metrics.json"
    ):
        training.train_seeds("digits-triplet", 2, unbroken, settings=SMALL)
    (tmp_path / "run.json").write_text('{"mine": true}')
    with pytest.raises(FileExistsError, match=r"run.json was not written by keras-metric"):
        zoo.train("digits-triplet", tmp_path, settings=SMALL, force=True)
    (tmp_path / "run.json").rename(tmp_path / "thesis.txt")
    with pytest.raises(FileExistsError, match=r"is in use\..*Received: a folder with thesis.txt"):
        zoo.train("digits-triplet", tmp_path, settings=SMALL, force=True)
    assert (tmp_path / "thesis.txt").exists()


def test_force_replaces_the_run_and_nothing_else(tmp_path):
    once = {**SMALL, "epochs": 1, "batches_per_epoch": 1}
    zoo.train("digits-triplet", tmp_path, settings=once)
    (tmp_path / "saved_model" / "1").mkdir(parents=True)
    with pytest.raises(ValueError, match="Unknown mining"):
        zoo.train("digits-triplet", tmp_path, settings={**once, "mining": "hardest"}, force=True)
    assert Run(tmp_path).report()["settings"]["mining"] == "semi_hard"
    report = zoo.train("digits-triplet", tmp_path, settings={**once, "mining": "hard"}, force=True)
    assert report["settings"]["mining"] == "hard"
    assert (tmp_path / "saved_model" / "1").is_dir()


def test_a_wrong_setting_leaves_the_place_free(tmp_path):
    folder = tmp_path / "run"
    for wrong in (
        {"mining": "hardest"},
        {"classes_per_batch": 500},
        {"images_per_class": 1},
        {"margin": -1.0},
    ):
        with pytest.raises(ValueError, match="Expected"):
            zoo.train("digits-triplet", folder, settings={**SMALL, **wrong})
        assert not folder.exists()


@pytest.mark.parametrize(("seeds", "settings"), [(0, {}), (-1, {}), (2, {"seed": 7})])
def test_seeds_that_cannot_be_run_are_refused(seeds, settings, tmp_path):
    with pytest.raises(ValueError, match=r"The seeds cannot be run\. Expected: 1 or more"):
        training.train_seeds("digits-triplet", seeds, tmp_path, settings=settings)


KILLED = """
import os, signal, sys, zoo
from zoo.training.callbacks import Checkpoint

def kill(self, batch, logs=None):
    if self.epoch == 2 and batch == 1:
        os.kill(os.getpid(), signal.SIGKILL)

Checkpoint.on_train_batch_end = kill
zoo.train("digits-triplet", sys.argv[1], settings={settings})
"""


def test_killed_and_resumed_equals_unbroken(unbroken, tmp_path):
    folder = tmp_path / "killed"
    program = KILLED.replace("{settings}", repr(SMALL))
    process = subprocess.run([sys.executable, "-c", program, folder], stderr=subprocess.DEVNULL)
    assert process.returncode == -signal.SIGKILL
    assert json.loads((Run(folder).checkpoint / "state.json").read_text())["epoch"] == 2
    resumed = zoo.train("digits-triplet", folder, settings=SMALL)
    assert comparable(resumed) == comparable(Run(unbroken).report())
    first, second = (zoo.load(path).get_weights() for path in (unbroken, folder))
    for ours, theirs in zip(first, second, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5, atol=1e-6)


def test_random_layers_go_on_where_they_were(tmp_path):
    def start():
        keras.utils.set_random_seed(0)
        layers = [keras.Input((8,)), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
        model = keras.Sequential(layers)
        model.compile("sgd", "mse")
        checkpoint = Checkpoint(tmp_path, type("B", (), {"epoch": 0})())
        return model, checkpoint, {"callbacks": [checkpoint], "shuffle": False, "verbose": 0}

    x, y = np.ones((12, 8)), np.arange(12.0)
    model, _, options = start()
    unbroken = model.fit(x, y, batch_size=4, epochs=2, **options).history["loss"]
    (tmp_path / "state.json").unlink()
    model, _, options = start()
    model.fit(x, y, batch_size=4, epochs=1, **options)
    model, checkpoint, options = start()
    again = model.fit(x, y, batch_size=4, initial_epoch=checkpoint.epoch, epochs=2, **options)
    assert checkpoint.history[0]["loss"] == pytest.approx(unbroken[0])
    assert again.history["loss"] == pytest.approx(unbroken[1:])


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
    took = [run["training"]["cpu_seconds"] for run in single]
    assert min(took) > 0
    assert report["training"]["cpu_seconds"] == pytest.approx(sum(took), abs=0.11)
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


@pytest.mark.parametrize(
    ("file", "content", "message"),
    [
        (
            "state.json",
            b'{"epoch": 3}',
            "Expected: the keys cpu_seconds, epoch, history.*Received: the keys epoch",
        ),
        ("state.json", b"[]", r"cannot be used\..*Received: \[\]"),
        ("epoch-1.weights.h5", b"torn", "epoch-1.weights.h5 cannot be read.*begins anew"),
    ],
)
def test_a_torn_checkpoint_is_named(file, content, message, tmp_path):
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.compile("sgd", "mse")
    batches = type("B", (), {"epoch": 0})()
    model.fit(np.ones((2, 2)), np.ones(2), callbacks=[Checkpoint(tmp_path, batches)], verbose=0)
    (tmp_path / file).write_bytes(content)
    with pytest.raises(ValueError, match=message):
        model.fit(np.ones((2, 2)), np.ones(2), callbacks=[Checkpoint(tmp_path, batches)], verbose=0)


def test_a_loss_that_is_not_a_number_ends_the_run(tmp_path):
    settings = {"epochs": 2, "batches_per_epoch": 3, "batch_size": 4, "learning_rate": 1e30}
    with pytest.raises(ValueError, match="not finite in epoch 1.*smaller learn.*Received.*nan"):
        zoo.train("digits-siamese", tmp_path / "run", settings=settings)
    assert not (tmp_path / "run" / "metrics.json").exists()
