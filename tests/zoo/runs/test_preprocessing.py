"""`zoo.preprocessing` of whatever a model is named by."""

import keras
import pytest

import keras_metric as km
import zoo
from keras_metric.preprocessing import attach, attached

WHITE = km.Preprocessing((8, 8), resize="letterbox", fill=255)


def encoder(name="encoder"):
    image = keras.Input((8, 8, 3))
    pooled = keras.layers.GlobalAveragePooling2D()(image)
    return keras.Model(image, keras.layers.Dense(2)(pooled), name=name)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    encoder().save(folder / "plain.keras")
    attach(encoder(), WHITE).save(folder / "white.keras")
    (folder / "run").mkdir()
    attach(encoder(), WHITE).save(folder / "run" / "model.keras")
    return folder


def test_a_plain_model_has_the_default(files):
    assert zoo.preprocessing(encoder()) == km.Preprocessing((8, 8))
    assert zoo.preprocessing(files / "plain.keras") == km.Preprocessing((8, 8))


def test_a_network_of_two_inputs_is_that_of_its_encoder():
    assert zoo.preprocessing(km.models.SiameseNet(encoder())) == km.Preprocessing((8, 8))


def test_of_files_runs_and_loaded_models(files):
    for place in ("white.keras", "run"):
        assert zoo.preprocessing(files / place) == WHITE
        assert attached(zoo.load(files / place)) == WHITE
        assert zoo.preprocessing(zoo.load(str(files / place))) == WHITE


def test_a_loaded_model_saves_it_again(files, tmp_path):
    zoo.load(files / "run").save(tmp_path / "again.keras")
    assert zoo.preprocessing(tmp_path / "again.keras") == WHITE


def test_of_a_saved_model(files):
    exported = zoo.export(files / "plain.keras", files / "served")
    assert zoo.preprocessing(exported) == km.Preprocessing((8, 8))
    assert zoo.preprocessing(files / "served") == km.Preprocessing((8, 8))


def test_what_is_not_there_is_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model.*Expected.*Received"):
        zoo.preprocessing(tmp_path / "gone")
