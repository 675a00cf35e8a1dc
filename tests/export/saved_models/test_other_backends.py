"""From every backend a model is exported as TensorFlow's own operations."""

import importlib
import sys

import keras
import numpy as np
import pytest

from keras_metric.export import Runtime, saved_model
from keras_metric.models import SiameseNet, TripletNet
from keras_metric.retrieval import Index

pytest.importorskip("tensorflow")
# Keras 3.15 itself meets this on JAX when it saves a model
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test_served_answers_are_those_of_this_backend(encoder, images, tmp_path):
    net = SiameseNet(encoder)
    folder = saved_model(net, tmp_path / "model", threshold=0.5, metadata={"recipe": "tiny"})
    assert b"XlaCallModule" not in (folder / "saved_model.pb").read_bytes()
    wanted = keras.ops.convert_to_numpy(encoder(images, training=False))
    distance = np.linalg.norm(wanted - wanted[::-1], axis=1)
    with Runtime(folder, xla=True) as served:
        np.testing.assert_allclose(served(images=images)["embeddings"], wanted, atol=1e-5)
        answer = served("similarity", left=images, right=images[::-1])
        np.testing.assert_allclose(answer["distance"], distance, atol=1e-5)


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="this is TensorFlow")
def test_what_cannot_be_exported_is_refused_by_name(encoder, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="Expected: a name in keras_metric.distances"):
        saved_model(encoder, tmp_path / "a", distance=lambda a, c: a @ c.T)
    with pytest.raises(RuntimeError, match="no such signature"):
        saved_model(encoder, tmp_path / "b", signatures=["nearest"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"keras-metric\[cpu\]"):
        saved_model(encoder, tmp_path / "c")
    assert not [*tmp_path.rglob("saved_model.pb"), *tmp_path.rglob("*.partial")]


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="this is TensorFlow")
def test_a_gallery_is_exported(tmp_path, rng):
    pytest.importorskip("faiss")
    layers = keras.layers
    model = keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(3)])
    pictures = rng.uniform(size=(6, 4, 4, 1)).astype("float32")
    index = Index(model, distance="euclidean")
    index.add(pictures, list("abcdef"))
    signatures = ["neighbours", "explain"]
    folder = saved_model(model, tmp_path / "m", gallery=index, signatures=signatures)
    with Runtime(folder, xla=True) as runtime:
        answer = runtime("explain", images=pictures + 0.01)
    assert answer["ids"].tolist() == index.search(pictures + 0.01, k=5).ids.tolist()
    assert [row[0].decode() for row in answer["labels"]] == list("abcdef")


TWO_FACED = """
import importlib
import sys

import keras

@keras.saving.register_keras_serializable("two_faced")
class TwoFaced(keras.layers.Layer):
    offset = 0.0

    def call(self, x):
        return x + (self.offset if keras.backend.backend() == "tensorflow" else 0.0)
"""


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="this is TensorFlow")
@pytest.mark.parametrize("offset", [0.0, 0.01])
def test_a_layer_of_ones_own_is_exported_if_it_answers_alike(offset, tmp_path, monkeypatch):
    (tmp_path / "two_faced.py").write_text(TWO_FACED.replace("0.0", str(offset), 1))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "two_faced", raising=False)
    layer = importlib.import_module("two_faced").TwoFaced()
    model = keras.Sequential([keras.Input((8, 6, 3)), layer, keras.layers.GlobalMaxPooling2D()])
    options = {"signatures": ["embed"]}
    if offset == 0:
        assert saved_model(model, tmp_path / "model", **options).name == "1"
    else:
        with pytest.raises(RuntimeError, match=r"on another backend.*a difference of 0.01"):
            saved_model(model, tmp_path / "model", **options)
        assert list((tmp_path / "model").iterdir()) == []


@pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="Keras exports it on TensorFlow, JAX"
)
@pytest.mark.filterwarnings("ignore:The `native_serialization`:DeprecationWarning")  # Keras's
@pytest.mark.parametrize("net", [SiameseNet, TripletNet])
def test_kerass_own_export_needs_no_call_before(net, images, tmp_path):
    layers = keras.layers
    encoder = keras.Sequential([keras.Input((16, 12, 3)), layers.Flatten(), layers.Dense(2)])
    two = net(encoder)
    two.predict((images,) * len(two.roles), verbose=0)
    two.export(tmp_path / "1", verbose=False)
    assert (tmp_path / "1" / "saved_model.pb").is_file()
