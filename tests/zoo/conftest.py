"""A classifier and a photograph for the commands that take files."""

import keras
import numpy as np
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


@pytest.fixture(scope="session", autouse=True)
def few_points():
    """Pictures of an embedding show 60 images, not 1,000: t-SNE would outlast the training."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zoo.reports.embedding_pictures.SHOWN", 60)
        yield


@pytest.fixture(scope="session")
def read_once():
    """(loader, its arguments) -> what it returned: pictures are decoded once a session."""
    return {}


@pytest.fixture
def few_pictures(monkeypatch, read_once):
    """Of each data set on the disk a part: what four of Omniglot's twenty people drew, the first
    24 photographs of each kind of clothes, the first 40 emoji, the first 20 pictures of cells.
    Recipes run on them as on the whole; the loaders have tests of their own.
    """
    from zoo.datasets.sources import bccd, clothing, emoji, omniglot

    def of_each_class(images, count=24):
        chosen = [np.flatnonzero(images.labels == label)[:count] for label in images.classes]
        return images.where(np.sort(np.concatenate(chosen)))

    def replace(module, part):
        whole = module.load

        def load(*arguments, **options):
            key = (module, arguments, tuple(sorted(options.items())))
            if key not in read_once:
                read_once[key] = part(whole(*arguments, **options))
            return read_once[key]

        monkeypatch.setattr(module, "load", load)

    replace(omniglot, lambda images: images.where(np.isin(images.drawers, (1, 2, 11, 12))))
    replace(clothing, of_each_class)
    replace(emoji, lambda images: images.where(images.labels < 40))
    replace(bccd, lambda pictures: pictures.where(range(20)))
