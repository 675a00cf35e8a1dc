"""Maps of the image itself, for a model without any layer of positions: against float64 loops."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_metric.cam import CAM
from keras_metric.cam.methods.attribution import random_masks, windows

SIZE = (9, 7)


def model():
    x = keras.Input((*SIZE, 2))
    h = layers.Dense(5, activation="tanh")(layers.Flatten()(x))
    return keras.Model(x, layers.Dense(3, activation="softmax")(h))


def score(net, images, c=1):
    """The logit of a class in float64, by the net's own weights."""
    w1, b1, w2, b2 = (ops.convert_to_numpy(w).astype("float64") for w in net.weights)
    hidden = np.tanh(images.reshape(len(images), -1).astype("float64") @ w1 + b1)
    return (hidden @ w2 + b2)[:, c]


def gradient(net, images, c=1):
    w1, b1, w2, _ = (ops.convert_to_numpy(w).astype("float64") for w in net.weights)
    hidden = np.tanh(images.reshape(len(images), -1).astype("float64") @ w1 + b1)
    return (((1 - hidden**2) * w2[:, c]) @ w1.T).reshape(images.shape)


@pytest.fixture
def images(rng):
    return rng.normal(size=(2, *SIZE, 2)).astype("float32")


def test_saliency_is_the_largest_gradient(images):
    net = model()
    cam = CAM(net, "saliency")
    expected = np.abs(gradient(net, images)).max(-1)
    np.testing.assert_allclose(cam(images, 1, raw=True), expected, atol=1e-6)
    assert cam.layer is None
    assert cam.layer_name == "input"
    assert cam(images, 1).shape == (2, *SIZE)


def test_smoothgrad_is_the_mean_saliency_of_noisy_copies(images):
    net = model()
    found = CAM(net, "smoothgrad", samples=3, noise=0.2, seed=5)(images, 1, raw=True)
    rng, maps = np.random.default_rng(5), []
    spread = np.ptp(images, axis=(1, 2, 3), keepdims=True)
    for _ in range(3):
        noisy = images + 0.2 * spread * rng.normal(size=(1, *images.shape[1:]))
        maps.append(np.abs(gradient(net, noisy)).max(-1))
    np.testing.assert_allclose(found, np.mean(maps, axis=0), atol=1e-5)


def test_integrated_gradients_are_the_path_integral_and_complete(images):
    net = model()
    cam = CAM(net, "integrated-gradients")
    found = cam(images, 1, raw=True)
    fractions = (np.arange(2000) + 0.5) / 2000
    mean = np.mean([gradient(net, f * images) for f in fractions], axis=0)
    np.testing.assert_allclose(found, (images * mean).sum(-1), atol=1e-5)
    total = score(net, images) - score(net, 0 * images)
    np.testing.assert_allclose(found.sum((1, 2)), total, atol=1e-5)
    complete = cam.completeness(images, 1)
    assert np.abs(complete.residual).max() < 1e-5
    coarse = CAM(net, "integrated-gradients", steps=1).completeness(images, 1)
    assert np.abs(coarse.residual).max() > 10 * np.abs(complete.residual).max()


def test_occlusion_is_the_mean_loss_of_the_windows_over_a_pixel(images):
    net = model()
    found = CAM(net, "occlusion", window=4)(images, 1, raw=True)
    lost, covered = np.zeros((2, *SIZE)), np.zeros(SIZE)
    for y in (0, 2, 4, 6):
        for x in (0, 2, 4):
            hidden = images.copy()
            hidden[:, y : y + 4, x : x + 4] = 0
            change = score(net, images) - score(net, hidden)
            lost[:, y : y + 4, x : x + 4] += change[:, None, None]
            covered[y : y + 4, x : x + 4] += 1
    np.testing.assert_allclose(found, lost / covered, atol=1e-5)


def test_windows_cover_every_pixel_and_stop_at_the_edge():
    masks = windows((5,), (3,), (2,))
    np.testing.assert_array_equal(masks, [[1, 1, 1, 0, 0], [0, 0, 1, 1, 1]])
    assert windows((3, 4), (8, 8), (4, 4)).tolist() == [[1] * 12]


def test_rise_weighs_masks_by_their_scores(images):
    net = model()
    found = CAM(net, "rise", samples=21, seed=3)(images, 1, raw=True)
    masks = random_masks(SIZE, 21, 3).reshape(21, *SIZE).astype("float64")
    scores = np.stack([score(net, images * m[..., None]) for m in masks], 1)
    expected = np.zeros((2, *SIZE))
    for b in range(2):
        for m, y in zip(masks, scores[b], strict=True):
            expected[b] += (y - scores[b].mean()) * m
    np.testing.assert_allclose(found, expected / masks.sum(0), atol=1e-5)


def test_random_masks_show_half_and_repeat_by_their_seed():
    masks = random_masks((20, 30), 200, 0)
    assert masks.min() >= 0
    assert masks.max() <= 1
    assert abs(masks.mean() - 0.5) < 0.03
    np.testing.assert_array_equal(masks, random_masks((20, 30), 200, 0))
    assert np.abs(masks - random_masks((20, 30), 200, 1)).max() > 0.5


def test_a_layer_has_no_meaning_here():
    with pytest.raises(
        ValueError, match="maps the image itself. Expected: no layer. Received: lay"
    ):
        CAM(model(), "saliency", layer="dense")


def test_several_images_have_a_map_each(rng):
    a, b = keras.Input((*SIZE, 2)), keras.Input((6, 5, 2))
    flat = layers.Concatenate()([layers.Flatten()(a), layers.Flatten()(b)])
    net = keras.Model([a, b], layers.Dense(2)(flat))
    pair = [rng.normal(size=(2, *n, 2)).astype("float32") for n in (SIZE, (6, 5))]
    cam = CAM(net, "integrated-gradients", steps=2, relu=False, normalize="none")
    first, second = cam(pair, 1)
    assert first.shape == (2, *SIZE)
    assert second.shape == (2, 6, 5)
    expected = ops.convert_to_numpy(net(pair))[:, 1]
    np.testing.assert_allclose(first.sum((1, 2)) + second.sum((1, 2)), expected, atol=1e-4)


def test_batches_of_several_lengths_have_the_same_maps(rng):
    """Windows go through the net in chunks whose length depends on that of the batch."""
    cam, images = CAM(model(), "occlusion", window=4), rng.normal(size=(9, *SIZE, 2))
    every = cam(images, 1, raw=True)
    for count in (1, 4):
        np.testing.assert_allclose(cam(images[:count], 1, raw=True), every[:count], atol=1e-5)
