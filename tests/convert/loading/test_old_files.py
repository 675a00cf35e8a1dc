"""Files of Keras 2 and 3: what loads, what is repaired, what is refused; the source unchanged."""

import warnings
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_metric as km
from keras_metric.convert import ConversionError

pytestmark = pytest.mark.tensorflow
old = pytest.importorskip("tf_keras")
L = old.layers
SHAPE = (12, 12, 3)


def functional(build):
    image = old.Input(SHAPE)
    return old.Model(image, L.Dense(3)(L.GlobalAveragePooling2D()(build(image))))


def base():
    image = old.Input(SHAPE)
    return old.Model(image, L.Conv2D(4, 3, activation="relu")(image), name="base")


def twice():
    shared = base()
    return functional(lambda x: L.Add()([shared(x), shared(L.ReLU()(x))]))


def sequential(*head):
    return old.Sequential([*head, L.GlobalAveragePooling2D(), L.Dense(3)])


OLD = {
    "sequential": lambda: sequential(L.Input(SHAPE), L.Conv2D(4, 3)),
    "shape in the first layer": lambda: sequential(L.Conv2D(4, 3, input_shape=SHAPE)),
    "depthwise": lambda: functional(lambda x: L.DepthwiseConv2D(3)(x)),
    "separable": lambda: functional(lambda x: L.SeparableConv2D(4, 3)(x)),
    "transposed": lambda: functional(lambda x: L.Conv2DTranspose(4, 3)(x)),
    "nested": lambda: functional(lambda x: base()(x)),
    "nested twice": twice,
    "nested sequential": lambda: functional(
        lambda x: old.Sequential([L.Conv2D(4, 3, input_shape=SHAPE)])(x)
    ),
    "model in a sequential": lambda: sequential(base()),
    "slash in a name": lambda: functional(lambda x: L.Conv2D(4, 3, name="block/conv")(x)),
}


def save(model, path: Path) -> Path:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {} if path.suffix else {"save_format": "tf"}
        model.save(path, **options)
    return path


def contents(path: Path) -> dict:
    files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
    return {p: p.read_bytes() for p in files}


@pytest.mark.parametrize("name", OLD)
def test_h5_of_keras_2(name, tmp_path, array, rng):
    model = OLD[name]()
    path = save(model, tmp_path / "old.h5")
    before = contents(path)
    x = rng.standard_normal((2, *SHAPE)).astype("float32")
    expected = np.asarray(model(x))
    np.testing.assert_array_equal(array(km.convert.load(path)(x)), expected)
    fcn = km.convert.to_fully_convolutional(path)
    np.testing.assert_allclose(array(fcn(x))[:, 0, 0], expected, atol=1e-5)
    assert contents(path) == before


@pytest.mark.diagonal
@pytest.mark.parametrize("suffix", [".keras", ""])
@pytest.mark.parametrize("name", ["sequential", "nested", "depthwise"])
def test_keras_files_and_saved_models_of_keras_2(name, suffix, tmp_path, array, rng):
    model = OLD[name]()
    path = save(model, tmp_path / f"old{suffix}")
    before = contents(path)
    x = rng.standard_normal((2, *SHAPE)).astype("float32")
    np.testing.assert_array_equal(array(km.convert.load(path)(x)), np.asarray(model(x)))
    assert contents(path) == before


@pytest.mark.parametrize("suffix", [".h5", ".keras", ""])
def test_code_in_old_files_needs_a_flag(suffix, tmp_path, array, rng):
    model = functional(lambda x: L.Lambda(lambda t: t * 2)(x))
    path = save(model, tmp_path / f"code{suffix}")
    with pytest.raises(ConversionError, match="has a Lambda layer, which is Python code"):
        km.convert.load(path)
    x = rng.standard_normal((2, *SHAPE)).astype("float32")
    trusted = km.convert.load(path, safe_mode=False)
    np.testing.assert_allclose(array(trusted(x)), np.asarray(model(x)), atol=1e-6)


def new():
    layers = keras.layers
    stack = [layers.Input(SHAPE), layers.Conv2D(4, 3), layers.Flatten(), layers.Dense(3)]
    return keras.Sequential(stack)


def raw():
    image = keras.Input(SHAPE)
    flat = keras.layers.Flatten()(keras.ops.relu(image))
    return keras.Model(image, keras.layers.Dense(3)(flat))


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_files_of_keras_3(suffix, tmp_path, array, rng):
    model = new()
    path = save(model, tmp_path / f"new{suffix}")
    x = rng.standard_normal((2, *SHAPE)).astype("float32")
    np.testing.assert_array_equal(array(km.convert.load(path)(x)), array(model(x)))


def test_code_in_new_files_needs_a_flag(tmp_path):
    image = keras.Input(SHAPE)
    doubled = keras.layers.Lambda(lambda t: t * 2)(image)
    model = keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(doubled)))
    path = save(model, tmp_path / "code.keras")
    with pytest.raises(ConversionError, match="Lambda"):
        km.convert.to_fully_convolutional(path)
    fcn = km.convert.to_fully_convolutional(path, safe_mode=False)
    assert fcn.output_shape == (None, None, None, 3)


def test_classes_of_your_own_are_asked_for(tmp_path, array, rng):
    """Keras saves a subclassed model as .h5 without a word, and cannot read it."""

    class Own(keras.layers.Layer):
        def call(self, x):
            return 2 * x

    image = keras.Input(SHAPE)
    flat = keras.layers.Flatten()(Own()(image))
    model = keras.Model(image, keras.layers.Dense(3)(flat))
    for suffix in (".keras", ".h5"):
        path = save(model, tmp_path / f"own{suffix}")
        with pytest.raises(ConversionError, match="Expected: custom_objects="):
            km.convert.load(path)
        x = rng.standard_normal((2, *SHAPE)).astype("float32")
        again = km.convert.load(path, custom_objects={"Own": Own})
        np.testing.assert_array_equal(array(again(x)), array(model(x)))


def test_operations_of_tensorflow_in_old_files_are_refused(tmp_path):
    path = save(functional(lambda x: x * 2.0 + 1.0), tmp_path / "ops.h5")
    with pytest.raises(ConversionError, match="ops.h5: layer .* is an operation of TensorFlow"):
        km.convert.load(path)


def test_refusals_say_what_to_do(tmp_path):
    model = new()
    model.export(tmp_path / "exported", verbose=False)
    model.save_weights(tmp_path / "model.weights.h5")
    (tmp_path / "model.json").write_text(model.to_json())
    (tmp_path / "folder").mkdir()
    (tmp_path / "broken.keras").write_bytes(b"nothing")
    save(raw(), tmp_path / "raw.h5")
    expected = {
        "exported": "saved again with model.save",
        "model.weights.h5": "weights only",
        "model.json": "configuration without weights",
        "folder": "is not a SavedModel",
        "broken.keras": "no format of Keras",
        "raw.h5": "saved as .keras",
        "missing.keras": "No model there",
    }
    for name, message in expected.items():
        with pytest.raises(ConversionError, match=message):
            km.convert.load(tmp_path / name)


def test_a_missing_extra_is_named(tmp_path, monkeypatch):
    path = save(OLD["sequential"](), tmp_path / "old")
    monkeypatch.setitem(__import__("sys").modules, "tf_keras", None)
    with pytest.raises(ImportError, match=r'pip install "keras-metric\[legacy\]"'):
        km.convert.load(path)
