"""`keras-metric convert`: what it prints is what it wrote, and the source stays as it was."""

import json
import re
import warnings

import keras
import numpy as np
import pytest
from keras import layers

import keras_metric as km
from zoo.cli import main

pytestmark = pytest.mark.tensorflow


def converted(arguments, capsys):
    capsys.readouterr()
    assert main(["convert", *map(str, arguments)]) == 0
    return capsys.readouterr().out


@pytest.fixture(scope="module")
def strided(tmp_path_factory):
    """16 x 12 pixels, stride 4, exact."""
    model = keras.Sequential(
        [
            keras.Input((16, 12, 3)),
            layers.Conv2D(4, 2, 2, activation="relu", name="conv"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(3, activation="softmax", name="fc"),
        ]
    )
    path = tmp_path_factory.mktemp("models") / "strided.keras"
    model.save(path)
    return path


def test_cells_are_the_classifier(classifier, tmp_path, capsys, rng):
    out = tmp_path / "fcn.keras"
    answer = json.loads(converted([classifier, "-o", out, "--json"], capsys))
    assert answer["equal"]
    assert answer["exact"]
    image = rng.uniform(0, 255, (1, 16, 12, 3)).astype("float32")
    expected = keras.saving.load_model(classifier)(image)
    cell = keras.saving.load_model(out)(image)[:, 0, 0]
    np.testing.assert_allclose(cell, expected, rtol=1e-5)


def test_prints_table_verdict_and_geometry(strided, tmp_path, capsys):
    text = converted([strided, "-o", tmp_path / "fcn.keras"], capsys)
    rows = [line.split() for line in text.splitlines()]
    assert ["fc", "dense_over_map", "(3,)", "->", "(None,", "None,", "3)"] in rows
    assert "(a) original size: largest difference" in text
    assert "same class in 100.0%, exact" in text
    assert "window           16 x 12 pixels" in text
    assert "stride           4 x 4 pixels" in text
    assert "receptive field  16 x 12 pixels, the first at (0, 0)" in text
    assert f"{tmp_path / 'fcn.keras'}: the converted model" in text


def test_a_verdict_names_the_layers(tmp_path, capsys):
    image = keras.Input((16, 16, 1))
    x = layers.Conv2D(2, 3, 2, padding="same", name="culprit")(image)
    model = keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling2D()(x)))
    model.save(tmp_path / "same.keras")
    text = converted([tmp_path / "same.keras", "-o", tmp_path / "fcn.keras"], capsys)
    assert "NOT exact" in text
    assert "culprit: has stride and 'same' padding" in text
    assert "sizes            16 x 16 and multiples of 2 x 2 more" in text


def test_finer_cells(strided, tmp_path, capsys):
    out = tmp_path / "dense.keras"
    text = converted([strided, "-o", out, "--densify", 4], capsys)
    assert "stride           1 x 1 pixels" in text
    assert "exact" in text
    fcn = keras.saving.load_model(out)
    assert fcn(np.zeros((1, 18, 15, 3))).shape == (1, 3, 4, 3)
    assert km.convert.geometry(fcn).stride == (1, 1)


def test_maps_of_classes(classifier, tmp_path, capsys, rng):
    out = tmp_path / "map.keras"
    text = converted([classifier, "-o", out, "--map"], capsys)
    assert "the map reading has no windows" in text
    assert "the map holds logits" in text
    image = rng.uniform(0, 255, (1, 16, 12, 3)).astype("float32")
    logits = np.asarray(keras.saving.load_model(out)(image)).mean((1, 2))
    expected = np.asarray(keras.saving.load_model(classifier)(image))
    np.testing.assert_allclose(np.asarray(keras.ops.softmax(logits)), expected, rtol=1e-4)


def test_saved_models_take_images_of_any_size(strided, tmp_path, capsys, rng):
    served = tmp_path / "served"
    text = converted([strided, "-o", tmp_path / "f.keras", "--saved-model", served], capsys)
    assert f"{served / '1'}: the SavedModel" in text
    fcn = keras.saving.load_model(tmp_path / "f.keras")
    with km.export.Runtime(served / "1", xla=True) as runtime:
        (name,) = runtime.signatures["serving_default"].inputs
        for size in ((16, 12), (31, 22)):
            images = rng.uniform(0, 255, (1, *size, 3)).astype("float32")
            (found,) = runtime(**{name: images}).values()
            np.testing.assert_allclose(found, np.asarray(fcn(images)), atol=1e-5)


def test_old_files_are_repaired_in_a_copy(tmp_path, capsys, rng):
    old = pytest.importorskip("tf_keras")
    image = old.Input((12, 12, 3))
    x = old.layers.DepthwiseConv2D(3)(image)
    model = old.Model(image, old.layers.Dense(2)(old.layers.Flatten()(x)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.save(tmp_path / "old.h5")
    before = (tmp_path / "old.h5").read_bytes()
    converted([tmp_path / "old.h5", "-o", tmp_path / "fcn.keras"], capsys)
    pixels = rng.standard_normal((1, 12, 12, 3)).astype("float32")
    found = keras.saving.load_model(tmp_path / "fcn.keras")(pixels)[:, 0, 0]
    np.testing.assert_allclose(found, np.asarray(model(pixels)), atol=1e-5)
    assert (tmp_path / "old.h5").read_bytes() == before


def test_never_writes_to_its_source(classifier, tmp_path, capsys):
    before = classifier.read_bytes()
    for out in (classifier, tmp_path / "fcn.h5"):
        assert main(["convert", str(classifier), "-o", str(out)]) == 1
        words = "Expected: a file that ends in .keras and is not the source"
        assert words in capsys.readouterr().err
    assert classifier.read_bytes() == before


def free(x):
    return layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.Conv2D(2, 3)(x)))


def code(x):
    return layers.Lambda(lambda t: t * 2)(free(x))


def spatial_norm(x):
    return free(layers.GroupNormalization(1, name="over_space")(x))


UNLOCKED = {
    "free": (
        free,
        (None, None, 1),
        ["--size", "9x8"],
        "Expected: --size, the size of the training images",
    ),
    "code": (code, (9, 8, 1), ["--trust"], "has a Lambda layer, which is Python code"),
    "global": (spatial_norm, (9, 8, 1), ["--allow-global"], "'over_space' does not treat every"),
}


@pytest.mark.parametrize("name", UNLOCKED)
def test_what_is_refused_until_an_option_allows_it(name, tmp_path, capsys):
    build, shape, option, words = UNLOCKED[name]
    image = keras.Input(shape)
    keras.Model(image, build(image)).save(tmp_path / "model.keras")
    arguments = ["convert", str(tmp_path / "model.keras"), "-o", str(tmp_path / "fcn.keras")]
    assert main(arguments) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "fcn.keras").exists()
    converted([*arguments[1:], *option], capsys)
    fcn = km.convert.load(tmp_path / "fcn.keras", safe_mode=False)
    assert km.convert.geometry(fcn).window == (9, 8)


def test_refusals(strided, tmp_path, capsys):
    model = keras.saving.load_model(strided)
    model.export(tmp_path / "exported", verbose=False)
    model.save_weights(tmp_path / "model.weights.h5")
    capsys.readouterr()
    for arguments, words in [
        ([tmp_path / "exported"], "saved again with model.save"),
        ([tmp_path / "model.weights.h5"], "holds weights only"),
        ([tmp_path / "missing.keras"], "No model there"),
        ([strided, "--densify", "3"], "does not divide the stride"),
        ([strided, "--map"], "no global average pooling"),
        ([strided, "--size", "12"], "Expected: 0 sides, as many as are free"),
    ]:
        out = tmp_path / "fcn.keras"
        assert main(["convert", *map(str, arguments), "-o", str(out)]) == 1
        assert words in capsys.readouterr().err
        assert not out.exists()


def saved(model, folder):
    model.save(folder / "model.keras")
    return str(folder / "model.keras"), str(folder / "fcn.keras")


def pooled(shape):
    image = keras.Input(shape)
    return keras.Model(image, layers.Dense(2)(layers.GlobalAveragePooling1D()(image)))


@pytest.mark.parametrize("size", [[], ["--size", "64"]])
def test_signals_are_converted(size, tmp_path, capsys):
    source, out = saved(pooled((None if size else 64, 3)), tmp_path)
    assert main(["convert", source, "-o", out, *size]) == 0
    assert "64 pixels" in capsys.readouterr().out
    assert km.convert.geometry(keras.saving.load_model(out)).window == (64,)


@pytest.mark.parametrize(
    ("model", "arguments", "message"),
    [
        (lambda: pooled((None, 3)), [], "Expected: --size, .*64 for a signal.*no --size"),
        (lambda: pooled((None, 3)), ["--size", "8x8"], "Expected: 1 sides.*Received: 8x8"),
        (lambda: pooled((64, 3)), ["--size", "64"], "Expected: 0 sides"),
        (lambda: pooled((64, 3)), ["--densify", "3"], "--densify 3 does not divide the stride"),
        (
            lambda: keras.Sequential(
                [keras.Input((8, 8, 3)), layers.Lambda(abs), layers.Flatten()]
            ),
            [],
            "Expected: a file without code, or --trust",
        ),
        (
            lambda: keras.Sequential(
                [keras.Input((8, 8, 3)), layers.GroupNormalization(1), layers.Flatten()]
            ),
            [],
            "--allow-global keeps it",
        ),
    ],
)
def test_errors_name_the_options_of_the_command(model, arguments, message, tmp_path, capsys):
    source, out = saved(model(), tmp_path)
    assert main(["convert", source, "-o", out, *arguments]) == 1
    said = capsys.readouterr().err
    assert re.search(message, said)
    assert not re.search(r"input_shape=|safe_mode|allow_global|pooling=|densify=", said)
