"""Maps inside a graph of the caller's own: with any batch, and in a SavedModel."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_metric.cam import CAM


@pytest.fixture
def images(rng):
    return rng.normal(size=(3, 12, 10, 3)).astype("float32")


def classifier():
    x = keras.Input((12, 10, 3))
    h = layers.Conv2D(6, 3, strides=2, activation="relu")(x)
    h = layers.GlobalAveragePooling2D()(h)
    return keras.Model(x, layers.Dense(4, activation="softmax")(h))


@pytest.mark.parametrize("method", ["cam", "gradcam", "eigencam"])
def test_tensors_equal_the_call(method, images):
    cam = CAM(classifier(), method)
    best = np.full((3, 1), -1, "int32")
    found = ops.convert_to_numpy(cam.tensors(ops.convert_to_tensor(images), best))
    np.testing.assert_allclose(found[:, 0], cam(images), atol=1e-5)


def test_methods_of_many_passes_are_refused(images):
    with pytest.raises(ValueError, match="many times in a loop"):
        CAM(classifier(), "scorecam").tensors(images, np.zeros((3, 1), "int32"))


@pytest.mark.tensorflow
@pytest.mark.parametrize("method", ["cam", "gradcam"])
def test_maps_leave_in_a_saved_model(method, images, tmp_path):
    import tensorflow as tf

    model = classifier()
    cam = CAM(model, method)
    archive = keras.export.ExportArchive()
    archive.track(model)

    def maps(batch):
        return cam.tensors(batch, -tf.ones((tf.shape(batch)[0], 1), "int32"))[:, 0]

    spec = [tf.TensorSpec((None, 12, 10, 3), "float32")]
    archive.add_endpoint("maps", maps, input_signature=spec)
    archive.write_out(str(tmp_path / "model"), verbose=False)
    loaded = tf.saved_model.load(str(tmp_path / "model"))
    for batch in (images, images[:1]):
        np.testing.assert_allclose(loaded.maps(batch), cam(batch), atol=1e-5)
