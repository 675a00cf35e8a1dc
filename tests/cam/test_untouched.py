"""What a call must leave alone besides weights: gradients, training mode, frozen layers."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_metric.cam import CAM, SimilarityCAM


def classifier():
    return keras.Sequential(
        [
            keras.Input((12, 10, 3)),
            layers.Conv2D(6, 3, strides=2, activation="relu"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dropout(0.5),
            layers.Dense(5),
        ]
    )


@pytest.fixture
def images(rng):
    return rng.normal(size=(3, 12, 10, 3)).astype("float32")


@pytest.mark.parametrize("method", ["gradcam", "hirescam", "fullgrad"])
def test_frozen_models_have_the_same_maps(method, images):
    model = classifier()
    before = CAM(model, method)(images, 1)
    model.trainable = False
    np.testing.assert_allclose(CAM(model, method)(images, 1), before, atol=1e-6)
    assert np.abs(before).max() > 0


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="only torch has this state")
@pytest.mark.parametrize("method", ["cam", "gradcam", "shapleycam", "fullgrad"])
def test_torch_gradients_and_mode_stay(method, images):
    model = classifier()
    model.train()
    parameters = list(model.parameters())
    needed = [p.requires_grad for p in parameters]
    marks = [ops.convert_to_tensor(np.full(p.shape, 7.0, "float32")) for p in parameters]
    for parameter, mark in zip(parameters, marks, strict=True):
        parameter.grad = mark if parameter.requires_grad else None
    CAM(model, method)(images, 1)
    assert model.training
    assert [p.requires_grad for p in parameters] == needed
    for parameter in parameters:
        assert parameter.grad is None or bool((parameter.grad == 7).all())


def test_batch_statistics_and_dropout_stay_as_in_inference(images):
    model = classifier()
    before = [np.array(w) for w in model.get_weights()]
    cam = CAM(model, "gradcam")
    np.testing.assert_array_equal(cam(images, 1), cam(images, 1))
    for old, new in zip(before, model.get_weights(), strict=True):
        np.testing.assert_array_equal(old, new)


def test_shares_of_many_positions_need_no_tensor_of_pairs(rng):
    """90,000 positions in each image: all pairs would take 32 GB."""
    x = keras.Input((300, 300, 1))
    h = layers.GlobalAveragePooling2D()(layers.Conv2D(2, 1)(x))
    a, b = rng.normal(size=(2, 1, 300, 300, 1)).astype("float32")
    found = SimilarityCAM(keras.Model(x, h))(a, b)
    assert found.first.shape == (1, 300, 300)
    np.testing.assert_allclose(found.first.sum((1, 2)), found.similarity, atol=1e-4)
