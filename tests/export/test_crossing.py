"""A model leaves as TensorFlow's own operations from every backend."""

import keras
import numpy as np
import pytest

from keras_metric.export import Runtime, saved_model
from keras_metric.models import SiameseNet

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


@pytest.mark.skipif(keras.backend.backend() == "tensorflow", reason="nothing to cross")
def test_what_cannot_cross_is_refused_by_name(encoder, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="Expected: a name in keras_metric.distances"):
        saved_model(encoder, tmp_path / "a", distance=lambda a, c: a @ c.T)
    with pytest.raises(RuntimeError, match="no such signature"):
        saved_model(encoder, tmp_path / "b", signatures=["nearest"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ImportError, match=r"keras-metric\[cpu\]"):
        saved_model(encoder, tmp_path / "c")
    assert not [*tmp_path.rglob("saved_model.pb"), *tmp_path.rglob("*.partial")]
