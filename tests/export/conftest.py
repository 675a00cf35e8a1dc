"""One tiny exported network, written once for all tests of the folder."""

import keras
import numpy as np
import pytest


def tiny_encoder(name: str = "encoder", channels: int = 3) -> keras.Model:
    """Images (16, 12, C) -> embeddings (5,), with layers that behave differently in training."""
    keras.utils.set_random_seed(1)
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((16, 12, channels), name="pixels"),
            layers.RandomFlip(),
            layers.RandomContrast(0.5, value_range=(0, 1)),
            layers.Conv2D(4, 3),
            layers.BatchNormalization(),
            layers.ReLU(),
            layers.Dropout(0.5),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5),
        ],
        name=name,
    )


@pytest.fixture(scope="session")
def encoder():
    return tiny_encoder()


@pytest.fixture(scope="session")
def threshold(encoder, images):
    """Between the distances of `images` to their reverse."""
    embeddings = np.asarray(encoder(images, training=False))
    return float(np.mean(np.linalg.norm(embeddings - embeddings[::-1], axis=1)))


@pytest.fixture(scope="session")
def exported(encoder, threshold, tmp_path_factory):
    """The version folder of a SiameseNet over `encoder`."""
    from keras_metric.export import saved_model
    from keras_metric.models import SiameseNet

    folder = tmp_path_factory.mktemp("exported") / "siamese"
    about = {"recipe": "tiny", "license": "MIT"}
    return saved_model(SiameseNet(encoder), folder, threshold=threshold, metadata=about)


@pytest.fixture(scope="session")
def images():
    return np.random.default_rng(7).uniform(size=(6, 16, 12, 3)).astype("float32")
