"""A recipe may train twice: the second training begins from the first, also when interrupted."""

import keras
import numpy as np
import pytest

from keras_metric import plots
from keras_metric.batches.base import Batches
from zoo.recipe import Recipe
from zoo.runs.runs import Run
from zoo.training import training
from zoo.training.callbacks import Checkpoint
from zoo.training.experiments import Experiment, Measured, Picture, Split


class Noise(Batches):
    """Three batches an epoch of a line with noise."""

    def __init__(self, seed):
        fixed = {"images_per_epoch": 12, "images_per_batch": 4, "augment": None, "fixed": False}
        workers = {"workers": 1, "use_multiprocessing": False, "max_queue_size": 1}
        super().__init__(batches_per_epoch=3, seed=seed, shard=(0, 1), **fixed, **workers)

    def batch(self, epoch, number):
        x = self.random(epoch, 0, number).standard_normal((4, 2)).astype("float32")
        return x, x @ [[1.0], [2.0]]


def built(settings, split):
    return keras.Sequential([keras.Input((2,)), keras.layers.Dense(1, name="first")])


def experiment(settings, model, split):
    model.compile(keras.optimizers.Adam(0.1), "mse")
    return Experiment(model, Noise(settings["seed"]))


def refined(settings, model, split):
    both = keras.Sequential([model, keras.layers.Dense(1, name="second")])
    both.compile(keras.optimizers.Adam(0.1), "mse")
    return both, Experiment(both, Noise(settings["seed"] + 1))


def measured(settings, model, split):
    score = float(np.sum(model.predict(split.test, verbose=0)))
    return Measured({"sum": score}, {"nothing": {"sum": 0.0}}, {"Weights": {"all": {"n": 5.0}}})


RECIPE = Recipe(
    settings={"seed": 0, "epochs": 2, "refine_epochs": 3},
    data=lambda settings, folder: Split(*[np.ones((1, 2), "float32")] * 3),
    build=built,
    experiment=experiment,
    measure=measured,
    license="none",
    refine=refined,
    pictures=lambda *given: {"one.png": Picture(plots.curves([{"loss": 1.0}]), "One.")},
    name="made-up",
    about="A made-up recipe.",
)


@pytest.fixture(autouse=True)
def known(monkeypatch):
    monkeypatch.setattr(training, "get", lambda name: RECIPE)


def stopped(monkeypatch, folder, when):
    def stop(self, batch, logs=None):
        if (self.folder.name == "refine", self.epoch, batch) == when:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr(Checkpoint, "on_train_batch_end", stop, raising=False)
        with pytest.raises(KeyboardInterrupt):
            training.train("made-up", folder)


@pytest.mark.tensorflow
@pytest.mark.parametrize("when", [(False, 1, 1), (True, 0, 1), (True, 2, 0)])
def test_interrupted_and_resumed_equals_unbroken(when, monkeypatch, tmp_path):
    unbroken = training.train("made-up", tmp_path / "unbroken")
    stopped(monkeypatch, tmp_path / "resumed", when)
    resumed = training.train("made-up", tmp_path / "resumed")
    assert resumed["results"]["sum"] == pytest.approx(unbroken["results"]["sum"], rel=1e-5)
    assert [len(resumed["history"]), len(resumed["training"]["first"])] == [3, 2]
    weights = [keras.saving.load_model(Run(tmp_path / n).model) for n in ("unbroken", "resumed")]
    for ours, theirs in zip(*(model.get_weights() for model in weights), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-5)


@pytest.mark.tensorflow
def test_both_trainings_are_told(tmp_path):
    report = training.train("made-up", tmp_path)
    assert report["training"]["epochs"] == 5
    assert report["tables"] == {"Weights": {"all": {"n": 5.0}}}
    assert set(report["pictures"]) == {"one.png", "curves.png", "curves-1.png"}
    assert report["parameters"] == 5
    assert report["history"][-1]["loss"] < report["training"]["first"][0]["loss"]
