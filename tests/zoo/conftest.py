"""A classifier and a photograph for the commands that take files."""

import keras
import pytest
from keras import layers


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    keras.utils.set_random_seed(0)
    model = keras.Sequential(
        [
            keras.Input((16, 12, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(4, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(3, activation="softmax"),
        ]
    )
    path = tmp_path_factory.mktemp("models") / "classifier.keras"
    model.save(path)
    return path


@pytest.fixture
def photo(tmp_path, rng):
    path = tmp_path / "photo.png"
    keras.utils.array_to_img(rng.integers(0, 255, (20, 30, 3))).save(path)
    return path


@pytest.fixture
def four_hands(monkeypatch):
    """Of Omniglot's twenty people four: what they drew is enough for nine views and one step."""
    from zoo.datasets.sources import omniglot

    whole = omniglot.load

    def load(*place):
        images = whole(*place)
        return images.where(images.drawers <= 4)

    monkeypatch.setattr(omniglot, "load", load)
