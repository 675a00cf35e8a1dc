"""Modules that a saved model names are imported when their package is known, and no others."""

import json
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_metric as km
from keras_metric import saved_classes
from zoo.encoders.ink_frame import InkFrame
from zoo.encoders.layers import SignedPower, UnitLength

ROOT = Path(__file__).resolve().parent.parent
OPENED = """
import sys
import keras_metric  # alone, and before Keras
assert not {"keras", "zoo"} & set(sys.modules)
import keras
import numpy as np
for file in sys.argv[2:]:
    model = keras.models.load_model(file)
    print(type(model.loss).__name__)
    inputs = np.load(sys.argv[1])
    if "pairs" in file:
        inputs = inputs, inputs[::-1]
    print(*np.ravel(model.predict(inputs, verbose=0)))
assert "zoo.encoders.layers" in sys.modules and "zoo.training" not in sys.modules
assert "keras_metric.metrics" in sys.modules and "keras_metric.cam" not in sys.modules
"""


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setattr(saved_classes, "_packages", set(saved_classes._packages))


def from_config(module: str, name: str, registered_name: str):
    return keras.saving.deserialize_keras_object(
        {"module": module, "class_name": name, "registered_name": registered_name, "config": {}}
    )


def test_modules_of_registered_packages_alone_are_imported(tmp_path, monkeypatch, known):
    (tmp_path / "birds_of_mine").mkdir()
    (tmp_path / "birds_of_mine" / "layers.py").write_text(
        "import keras\n"
        "@keras.saving.register_keras_serializable('birds')\n"
        "class Wing(keras.layers.Layer): pass\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    wing = "birds_of_mine.layers", "Wing", "birds>Wing"
    with pytest.raises(TypeError, match="Could not locate class 'Wing'"):
        from_config(*wing)
    assert "birds_of_mine.layers" not in sys.modules
    saved_classes.register("birds_of_mine")
    assert type(from_config(*wing)).__name__ == "Wing"
    assert sys.modules.pop("birds_of_mine.layers")
    keras.saving.get_custom_objects().pop("birds>Wing")
    with pytest.raises(TypeError, match="Could not locate class 'Beak'"):
        from_config("birds_of_mine.gone", "Beak", "birds>Beak")


def test_a_program_is_not_run_though_a_file_names_it(tmp_path, monkeypatch, known):
    (tmp_path / "birds_that_run").mkdir()
    (tmp_path / "birds_that_run" / "__main__.py").write_text("raise SystemExit('run')")
    monkeypatch.syspath_prepend(tmp_path)
    saved_classes.register("birds_that_run")
    with pytest.raises(TypeError, match="Could not locate class 'Wing'"):
        from_config("birds_that_run.__main__", "Wing", "birds>Wing")


def test_a_module_that_fails_says_so_itself(tmp_path, monkeypatch, known):
    (tmp_path / "birds_that_lack").mkdir()
    (tmp_path / "birds_that_lack" / "layers.py").write_text("import feathers_not_installed")
    monkeypatch.syspath_prepend(tmp_path)
    saved_classes.register("birds_that_lack")
    with pytest.raises(ModuleNotFoundError, match="feathers_not_installed"):
        from_config("birds_that_lack.layers", "Wing", "birds>Wing")


def test_the_package_does_not_know_the_zoo_but_the_zoo_is_known():
    assert "zoo" in saved_classes._packages


@pytest.mark.filterwarnings("ignore:You are saving your model as an HDF5 file")
def test_keras_opens_models_of_the_zoo_in_a_new_process(tmp_path):
    """After `import keras_metric` alone: layers of the zoo, losses and metrics of keras_metric."""
    images = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype("float32")
    encoder = keras.Sequential(
        [keras.Input((8, 8, 1)), InkFrame(6), keras.layers.Flatten(), keras.layers.Dense(4)]
        + [SignedPower(0.5), UnitLength()]
    )
    encoder.compile("sgd", km.losses.TripletLoss(), metrics=[km.metrics.RecallAtK(1)])
    pairs = km.models.SiameseNet(encoder)
    pairs.compile("sgd", km.losses.ContrastiveLoss())
    expected = {
        "encoder.keras": ("TripletLoss", encoder.predict(images, verbose=0)),
        "encoder.h5": ("TripletLoss", encoder.predict(images, verbose=0)),
        "pairs.keras": ("ContrastiveLoss", pairs.predict((images, images[::-1]), verbose=0)),
    }
    for name in expected:
        (pairs if "pairs" in name else encoder).save(tmp_path / name)
    np.save(tmp_path / "images.npy", images)
    program = [sys.executable, "-c", OPENED, *(tmp_path / x for x in ("images.npy", *expected))]
    run = subprocess.run(program, capture_output=True, text=True, cwd=ROOT)
    assert run.returncode == 0, run.stderr
    lines = run.stdout.strip().splitlines()
    for (said, numbers), names, found in zip(
        expected.values(), lines[::2], lines[1::2], strict=True
    ):
        assert names.strip() == said
        np.testing.assert_allclose(np.array(found.split(), float), numbers.ravel(), atol=1e-5)


def test_a_class_that_moved_is_found_where_its_module_was():
    saved = keras.saving.serialize_keras_object(km.losses.TripletLoss())
    saved["module"] = "keras_metric.losses.of_another_version"
    again = keras.saving.deserialize_keras_object(json.loads(json.dumps(saved)))
    assert isinstance(again, km.losses.TripletLoss)
