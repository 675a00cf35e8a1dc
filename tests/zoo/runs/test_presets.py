"""A preset holds a model, its labels, threshold, facts, card and SavedModel, or is not there."""

import numpy as np
import pytest

import zoo
from keras_metric.export import audit, read_metadata

pytestmark = pytest.mark.tensorflow

FACTS = {"license": "MIT", "trained on": "noise"}


def test_a_model_of_ones_own(classifier, tmp_path):
    model = zoo.load(classifier)
    folder = zoo.save(model, tmp_path / "mine", labels=["ant", "bée", "cat"], facts=FACTS)
    names = {path.name for path in folder.iterdir()}
    assert names == {"model.keras", "preset.json", "README.md", "saved_model"}
    kept = zoo.preset(folder)
    assert kept[2:] == (["ant", "bée", "cat"], None, FACTS)
    images = np.ones((2, 16, 12, 3), "float32")
    np.testing.assert_array_equal(kept.model(images), model(images))
    card = (folder / "README.md").read_text(encoding="utf-8")
    assert "# mine\n" in card
    assert "- classes: ant, bée, cat\n- license: MIT\n" in card
    found = read_metadata(folder / "saved_model")
    assert (found["labels"], found["about"]) == (["ant", "bée", "cat"], FACTS)
    assert audit(folder / "saved_model").ok
    assert read_metadata(zoo.export(folder))["labels"] == ["ant", "bée", "cat"]


def test_a_run_goes_along_with_its_card_and_facts(tmp_path):
    settings = {
        "epochs": 1,
        "batches_per_epoch": 1,
        "classes_per_batch": 2,
        "images_per_class": 2,
        "embedding": 4,
    }
    report = zoo.train("digits-triplet", tmp_path / "run", settings=settings)
    folder = zoo.save(tmp_path / "run", tmp_path / "preset", threshold=0.5)
    for name in ("README.md", "metrics.json", "model.keras", "pictures/gallery.png"):
        assert (folder / name).read_bytes() == (tmp_path / "run" / name).read_bytes()
    found = read_metadata(folder / "saved_model")
    assert found["threshold"] == 0.5
    assert found["about"]["results"] == report["results"] == zoo.preset(folder).facts["results"]
    assert found["about"]["data"]["license"] == zoo.get("digits-triplet").license
    assert found["about"]["data"]["train"] == report["data"]["train"]
    again = zoo.save(folder, tmp_path / "again", facts=FACTS)
    assert zoo.preset(again)[2:] == (None, 0.5, FACTS)
    with pytest.raises(FileExistsError, match="Expected: a new folder for the preset"):
        zoo.save(folder, again)


def test_nothing_is_left_where_something_does_not_fit(classifier, tmp_path):
    model = zoo.load(classifier)
    with pytest.raises(ValueError, match="labels do not fit"):
        zoo.save(model, tmp_path / "mine", labels=["ant"])
    with pytest.raises(FileNotFoundError, match="There is no model"):
        zoo.save(tmp_path / "nowhere", tmp_path / "mine")
    assert list(tmp_path.iterdir()) == []


def test_a_preset_of_another_kind_is_refused(classifier, tmp_path):
    folder = zoo.save(classifier, tmp_path / "mine")
    (folder / "preset.json").write_text('{"labels": []}')
    with pytest.raises(
        ValueError, match="is not the file of a preset. Expected: the keys labels, thre"
    ):
        zoo.preset(folder)
