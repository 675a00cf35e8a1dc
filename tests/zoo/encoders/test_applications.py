"""keras.applications: all of them known, each with the preprocessing of its own module."""

import socket
import sys

import keras
import numpy as np
import pytest

from zoo import encoders
from zoo.encoders.applications import NAMES, scaling
from zoo.encoders.layers import ImageNetScaling

SHORT = [name.rpartition(".")[-1] for name in NAMES]


def test_every_network_of_the_installed_keras_is_listed():
    found = {name for name in dir(keras.applications) if name[0].isupper()}
    assert found == set(SHORT)


@pytest.mark.parametrize("name", SHORT)
def test_scaling_equals_the_networks_own(name, rng):
    module = sys.modules[getattr(keras.applications, name).__module__]
    images = rng.uniform(0, 255, (2, 3, 4, 3)).astype("float32")
    mode = scaling(name)
    got = images if mode is None else keras.ops.convert_to_numpy(ImageNetScaling(mode)(images))
    np.testing.assert_allclose(got, module.preprocess_input(images.copy()), atol=1e-4)


@pytest.mark.tensorflow
def test_a_network_is_built_without_its_top_and_saved(tmp_path, rng):
    model = encoders.build("keras.applications.MobileNet", (32, 32, 1), embedding=4, normalize=True)
    images = rng.integers(0, 256, (2, 32, 32, 1), np.uint8)
    before = keras.ops.convert_to_numpy(model(images))
    assert before.shape == (2, 4)
    assert before.any()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras", compile=False)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(again(images)), before, rtol=1e-4)
    assert model.get_layer("scaling").mode == "tf"
    assert model.name == "mobilenet"


@pytest.mark.tensorflow
def test_the_short_name_means_the_same():
    assert encoders.build("MobileNet", (32, 32, 3), classes=3).output_shape == (None, 3)


@pytest.mark.tensorflow
def test_weights_that_cannot_be_downloaded_give_a_clear_error(monkeypatch):
    def no_network(*address, **options):
        raise socket.gaierror("no network")

    monkeypatch.setattr(socket, "getaddrinfo", no_network)
    with (
        keras.StatelessScope(initialize_variables=False),
        pytest.raises(ConnectionError, match="weights of VGG19 .* Expected: a network"),
    ):
        encoders.build("VGG19", (32, 32, 3), weights="imagenet")
    keras.utils.clear_session()


@pytest.mark.slow
@pytest.mark.tensorflow
@pytest.mark.parametrize("name", SHORT)
def test_every_network_takes_grey_images(name):
    side = 75 if name.startswith(("Inception", "Xception")) else 32
    with keras.StatelessScope(initialize_variables=False):
        model = encoders.build(name, (side, side, 1), embedding=2)
    keras.utils.clear_session()
    assert model.output_shape == (None, 2)
