"""Modules that a saved model names are imported when their package is known, and no others."""

import json
import sys

from keras_metric import saved_classes


def test_modules_of_registered_packages_alone_are_imported(tmp_path, monkeypatch):
    (tmp_path / "birds_of_mine").mkdir()
    (tmp_path / "birds_of_mine" / "layers.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(saved_classes, "_packages", set(saved_classes._packages))
    config = json.dumps({"module": "birds_of_mine.layers", "class_name": "Wing"})
    saved_classes.import_named(config)
    assert "birds_of_mine.layers" not in sys.modules
    saved_classes.register("birds_of_mine")
    saved_classes.import_named(config)
    assert sys.modules.pop("birds_of_mine.layers")
    saved_classes.import_named(json.dumps({"module": "birds_of_mine.gone"}))  # left to Keras


def test_the_package_does_not_know_the_zoo_but_the_zoo_is_known():
    import zoo  # noqa: F401

    assert "zoo" in saved_classes._packages
