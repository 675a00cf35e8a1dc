"""Maps of attention: against a transformer written out in NumPy, with finite differences."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_metric.cam import CAM, targets

SIZE, GRID, HEADS, DEPTH, WIDTH = (4, 6), (2, 3), 2, 2, 8
METHODS = ("rollout", "attention-relevance")


def transformer(class_token: bool):
    x = keras.Input((*SIZE, 3))
    h = layers.Reshape((6, WIDTH))(layers.Conv2D(WIDTH, 2, strides=2, name="patches")(x))
    if class_token:
        h = layers.ZeroPadding1D((1, 0))(h)
    for i in range(DEPTH):
        mixed = layers.MultiHeadAttention(HEADS, 4, name=f"mix_{i}")(h, h)
        h = layers.Add(name=f"sum_{i}")([h, mixed])
    pooled = h[:, 0] if class_token else layers.GlobalAveragePooling1D()(h)
    return keras.Model(x, layers.Dense(3, name="head")(pooled))


def numbers(layer):
    return [ops.convert_to_numpy(w).astype("float64") for w in layer.weights]


def softmax(z):
    z = np.exp(z - z.max(-1, keepdims=True))
    return z / z.sum(-1, keepdims=True)


def written_out(net, photo, c, change=None):
    """Score of one image in float64, and attentions; `change[layer]` is added to an attention."""
    kernel, bias = numbers(net.get_layer("patches"))
    h = np.stack(
        [
            np.tensordot(photo[2 * y : 2 * y + 2, 2 * x : 2 * x + 2], kernel, 3) + bias
            for y in range(2)
            for x in range(3)
        ]
    )
    class_token = any(isinstance(layer, layers.ZeroPadding1D) for layer in net.layers)
    if class_token:
        h = np.concatenate([np.zeros((1, WIDTH)), h])
    found = []
    for i in range(DEPTH):
        wq, bq, wk, bk, wv, bv, wo, bo = numbers(net.get_layer(f"mix_{i}"))
        q, k, v = (
            np.einsum("td,dhe->hte", h, w) + b[:, None] for w, b in ((wq, bq), (wk, bk), (wv, bv))
        )
        a = softmax(np.einsum("hte,hse->hts", q / np.sqrt(4), k))
        found.append(a)
        a = a if change is None else a + change[i]
        h = h + np.einsum("hts,hse,hed->td", a, v, wo) + bo
    pooled = h[0] if class_token else h.mean(0)
    w, b = numbers(net.get_layer("head"))
    return (pooled @ w + b)[c], found


def gradients(net, photo, c, attentions):
    out = []
    for i in range(DEPTH):
        gradient = np.zeros_like(attentions[i])
        for at in np.ndindex(gradient.shape):
            ends = []
            for step in (1e-5, -1e-5):
                change = [np.zeros_like(a) for a in attentions]
                change[i][at] = step
                ends.append(written_out(net, photo, c, change)[0])
            gradient[at] = (ends[0] - ends[1]) / 2e-5
        out.append(gradient)
    return out


def by_hand(method, net, photo, c):
    """The relevance matrix from the first layer to the last, and the row that is read out."""
    _, attentions = written_out(net, photo, c)
    count = attentions[0].shape[-1]
    relevance = np.eye(count)
    if method == "rollout":
        for a in attentions:
            relevance = (a.mean(0) + np.eye(count)) / 2 @ relevance
    else:
        for a, g in zip(attentions, gradients(net, photo, c, attentions), strict=True):
            relevance = relevance + np.maximum(a * g, 0).mean(0) @ relevance
        relevance = relevance - np.eye(count)
    row = relevance[0, 1:] if count > 6 else relevance.mean(0)
    return row.reshape(GRID)


@pytest.fixture
def images(rng):
    return rng.normal(size=(2, *SIZE, 3)).astype("float32")


@pytest.mark.diagonal
@pytest.mark.parametrize("class_token", [True, False])
@pytest.mark.parametrize("method", METHODS)
def test_equals_the_transformer_written_out(method, class_token, images):
    net = transformer(class_token)
    before = ops.convert_to_numpy(net(images))
    cam = CAM(net, method)
    found = cam(images, 1, raw=True)
    for image, heat in zip(images, found, strict=True):
        expected = by_hand(method, net, image.astype("float64"), 1)
        np.testing.assert_allclose(heat, expected, rtol=1e-3, atol=1e-3 * expected.max())
    assert cam(images, targets.Difference(2, 0)).shape == (2, *SIZE)
    np.testing.assert_allclose(before, ops.convert_to_numpy(net(images)), atol=1e-6)


def test_rollout_shares_add_up_to_one_over_all_tokens(images):
    found = CAM(transformer(False), "rollout")(images, 1, raw=True)
    np.testing.assert_allclose(found.sum((1, 2)), 1, atol=1e-5)


def test_relevance_knows_the_class_and_rollout_does_not(images):
    net = transformer(True)
    rollout, relevance = (CAM(net, method)(images, "all", raw=True) for method in METHODS)
    np.testing.assert_allclose(rollout[:, 0], rollout[:, 1], atol=1e-6)
    assert np.abs(relevance[:, 0] - relevance[:, 1]).max() > 0.1 * np.abs(relevance).max()


@pytest.mark.parametrize("method", ["gradcam", "hirescam", "layercam"])
def test_the_gradient_family_maps_tokens_beside_a_class_token(method, images):
    cam = CAM(transformer(True), method)
    assert cam.layer_name == "sum_0"
    assert cam(images, 1, raw=True).shape == (2, *GRID)


def test_models_without_attention_over_tokens_are_refused():
    x = keras.Input((*SIZE, 3))
    net = keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.Conv2D(4, 2)(x))))
    with pytest.raises(
        ValueError, match="no attention to show. Expected: layers of keras.layers.M"
    ):
        CAM(net, "rollout")


def test_one_image_that_is_not_finite_leaves_the_others(images):
    cam = CAM(transformer(True), "attention-relevance")
    spoiled = images.copy()
    spoiled[0, 1, 1] = np.nan
    np.testing.assert_allclose(cam(spoiled, 1)[1], cam(images, 1)[1], atol=1e-5)
