"""Maps equal those of pytorch-grad-cam 1.5.7 and captum 0.9.0 (reference/ has the scripts)."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_metric.cam import CAM
from keras_metric.cam.rendering import rendered

STORED = Path(__file__).with_name("reference") / "pytorch_grad_cam.npz"


@pytest.fixture(scope="module")
def stored():
    with np.load(STORED) as arrays:
        return dict(arrays)


@pytest.fixture
def model(stored):
    steps = [
        layers.Conv2D(5, 3, activation="relu"),
        layers.Conv2D(6, 3, strides=2, activation="relu"),
        layers.Flatten(),
        layers.Dense(7, activation="tanh"),
        layers.Dense(4, activation="softmax"),
    ]
    net = keras.Sequential([keras.Input(stored["images"].shape[1:]), *steps])
    for i, step in enumerate(s for s in steps if s.weights):
        step.set_weights([stored[f"kernel_{i}"], stored[f"bias_{i}"]])
    return net


def methods():
    """Compiling on JAX takes seconds a method: the ordinary run has one there."""
    slow = [pytest.mark.slow] if keras.backend.backend() == "jax" else []
    others = ("hirescam", "xgradcam", "layercam", "shapleycam")
    return ["gradcam", *(pytest.param(name, marks=slow) for name in others)]


@pytest.mark.parametrize("method", methods())
def test_same_maps(method, model, stored):
    found = CAM(model, method)(stored["images"], stored["classes"])
    np.testing.assert_allclose(found, stored[f"map_{method}"], atol=1e-5)


def test_gradcam_plus_plus_but_for_its_epsilon(model, stored):
    """The reference adds 1e-6 to a denominator of squared gradients; ours needs no epsilon."""
    found = CAM(model, "gradcam++")(stored["images"], stored["classes"])
    np.testing.assert_allclose(found, stored["map_gradcam++"], atol=0.02)


def test_eigencam_but_for_the_open_sign(model, stored):
    cam = CAM(model, "eigencam", relu=False, normalize="none")
    raw = cam(stored["images"], raw=True)
    for one, expected in zip(raw, stored["map_eigencam"], strict=True):
        candidates = [positive(sign * one, expected.shape) for sign in (1, -1)]
        assert min(np.abs(c - expected).max() for c in candidates) < 1e-4


def positive(raw, size):
    return ops.convert_to_numpy(rendered(ops.convert_to_tensor(raw[None]), size))[0]


@pytest.mark.parametrize(
    ("method", "options"),
    [("saliency", {}), ("integrated-gradients", {"steps": 50}), ("occlusion", {"window": 6})],
)
def test_same_attributions_as_captum(method, options, model, stored):
    with np.load(STORED.with_name("captum.npz")) as arrays:
        expected = arrays[method]
    found = CAM(model, method, **options)(stored["images"], stored["classes"], raw=True)
    np.testing.assert_allclose(found, expected, atol=1e-4 * np.abs(expected).max())
