"""Every recipe trains; the first of each kind measures itself, leaves a card and is exported."""

import math
from functools import cache

import keras
import numpy as np
import pytest

import zoo
from keras_metric.export import audit
from keras_metric.models.branches import BranchNet
from zoo.reports import pictures as pictures_of_runs
from zoo.runs.runs import Run
from zoo.training import training

pytestmark = pytest.mark.tensorflow

SMALL = {
    "epochs": 1,
    "members": 2,
    "refine_epochs": 1,
    "batches_per_epoch": 1,
    "classes_per_batch": 4,
    "images_per_class": 2,
    "batch_size": 4,
    "embedding": 8,
    "exemplars": 1,
    "scenes": 2,
    "measured": 6,
    "explained": 1,
    "windows": 6,
    "hidden": 16,
    "methods": "cam,layercam",
    "weights": "random",
    "photos": 2,
    "prints": 12,
}


@cache
def kinds():
    """The first recipe of each kind: the others differ from it in their training only."""
    found = {}
    for name in zoo.names():
        recipe = zoo.get(name)
        made = (recipe.build, recipe.refine is None)
        found.setdefault((*made, recipe.measure, recipe.served, recipe.pictures), name)
    return set(found.values())


SLOW = {"emoji", "resnet50-cam"}  # minutes, mostly of TensorFlow's tracing


def named(names):
    return [pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW)) for name in names]


def small_settings(name):
    known = zoo.get(name).settings
    settings = {
        key: min(value, known[key]) if isinstance(value, int) else value
        for key, value in SMALL.items()
        if known.get(key)
    }
    if "members" in known:
        settings["side"] = 16
    if "backbone" in known:
        settings["side"] = 64
    if "start" in known:
        settings["weights"] = known["weights"]  # a package has them
    return settings


@pytest.mark.parametrize("name", named(sorted(set(zoo.names()) - kinds())))
def test_trains(name, tmp_path, real_data, few_pictures):
    recipe = zoo.get(name)
    settings = recipe.resolve_settings(small_settings(name))
    split = recipe.data(settings, real_data)
    model, history, trained = training.fitted(Run(tmp_path / "run"), recipe, settings, split)
    assert all(math.isfinite(logs["loss"]) for logs in history)
    assert trained["epochs"] == len(history) >= 1
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


@pytest.mark.parametrize("name", named(sorted(kinds())))
def test_runs(name, tmp_path, real_data, monkeypatch, request):
    if name != "omniglot-siamese":  # whose validation pairs are of a tenth of each class
        request.getfixturevalue("few_pictures")
    known, settings = zoo.get(name).settings, small_settings(name)
    report = zoo.train(name, tmp_path / "run", settings=settings, data=real_data)
    assert report["baselines"]
    assert all(report["results"].keys() >= row.keys() for row in report["baselines"].values())
    pictures = {f"pictures/{name}" for name in report["pictures"]}
    assert pictures
    assert ("pictures/curves.png" in pictures) == (known["epochs"] > 0)
    card = (tmp_path / "run" / "README.md").read_text(encoding="utf-8")
    assert all(f"]({name})" in card and (tmp_path / "run" / name).exists() for name in pictures)
    assert all(math.isfinite(value) for value in report["results"].values())
    assert all(math.isfinite(logs["loss"]) for logs in report["history"])
    check_what_follows(tmp_path / "run", report, real_data, monkeypatch)


def check_what_follows(run, report, real_data, monkeypatch):
    """Measured again, loaded, exported and audited, the model is the one that was trained."""
    monkeypatch.setattr(pictures_of_runs, "draw", lambda *_: report["pictures"])  # as they are
    assert zoo.evaluate(run, data=real_data)["results"] == report["results"]
    model = zoo.load(run)
    for network in model.branches().values() if isinstance(model, BranchNet) else [model]:
        image = np.zeros((1, *(side or 64 for side in network.input_shape[1:])), "float32")
        answers = keras.tree.flatten(network.predict(image, verbose=0))
        assert all(np.isfinite(answer).all() for answer in answers)
    # compares the answers of every signature with those of Keras, or writes nothing
    found = audit(zoo.export(run))
    assert found.ok, str(found)
    assert "serving_default" in found.signatures


def test_cells_are_measured_where_every_kind_is_shown(tmp_path, real_data):
    with pytest.raises(ValueError, match="'measured' is too small.*measured=1, pictures that show"):
        zoo.train("bccd-cam", tmp_path / "run", settings={"measured": 1}, data=real_data)
    assert not (tmp_path / "run").exists()


def test_omniglot_recipes_know_their_backgrounds(tmp_path):
    with pytest.raises(ValueError, match="Expected: one of small1, small2. Received: 'small3'"):
        zoo.train("omniglot-triplet", tmp_path / "run", settings={"background": "small3"})
    assert not (tmp_path / "run").exists()
