"""Tokens in any order, and tokens without a place anywhere: maps against plain loops."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_metric.cam import CAM

SIDE, PATCH, GRID, WIDTH = 16, 4, 4, 8


def patches(x):
    return layers.Conv2D(WIDTH, PATCH, strides=PATCH, name="patches")(x)


def rows(h):
    return layers.Reshape((GRID * GRID, WIDTH))(h)


def windows(h, side=2):
    """(B, h, w, K) -> (B, windows, side * side, K), as Swin partitions them."""
    across = h.shape[1] // side
    h = ops.reshape(h, (-1, across, side, across, side, WIDTH))
    return ops.reshape(ops.transpose(h, (0, 1, 3, 2, 4, 5)), (-1, across**2, side**2, WIDTH))


def back(h, side=2):
    h = ops.reshape(h, (-1, GRID // side, GRID // side, side, side, WIDTH))
    return ops.reshape(ops.transpose(h, (0, 1, 3, 2, 4, 5)), (-1, GRID, GRID, WIDTH))


def columns(h):
    return rows(layers.Permute((2, 1, 3))(h))


def with_others(before, behind):
    return lambda h: layers.ZeroPadding1D((before, behind))(rows(h))


ORDERS = {  # how patches become tokens
    "rows": rows,
    "columns": columns,
    "windows": lambda h: layers.Reshape((GRID * GRID, WIDTH))(windows(h)),
    "class token at the end": with_others(0, 1),
    "class token before, registers behind": with_others(1, 4),
    "nine registers": with_others(9, 0),
}


class OwnWindows(layers.Layer):
    """Windows in a layer of one's own."""

    def call(self, x):
        return windows(x)


def tokens_net(order, attention: bool):
    x = keras.Input((SIDE, SIDE, 3))
    h = ORDERS[order](patches(x))
    shape = (h.shape[1], WIDTH)
    h = layers.EinsumDense("btk,kc->btc", shape, bias_axes="tc", name="tokens")(h)
    if attention:
        h = layers.Add(name="mixed")([h, layers.MultiHeadAttention(2, 4)(h, h)])
    return keras.Model(x, layers.Dense(3, name="head")(layers.GlobalAveragePooling1D()(h)))


def arrays(layer):
    return [ops.convert_to_numpy(w).astype("float64") for w in layer.weights]


def by_hand(net, photo):
    """w_1 . f(cell) / T at each cell, in float64 loops."""
    (kernel, bias), (mix, _), (head, _) = (
        arrays(net.get_layer(n)) for n in ("patches", "tokens", "head")
    )
    count = net.get_layer("tokens").output.shape[1]
    found = np.zeros((GRID, GRID))
    for y in range(GRID):
        for x in range(GRID):
            part = photo[PATCH * y : PATCH * (y + 1), PATCH * x : PATCH * (x + 1)]
            found[y, x] = (np.tensordot(part, kernel, 3) + bias) @ mix @ head[:, 1] / count
    return found


@pytest.fixture
def images(rng):
    return rng.normal(size=(2, SIDE, SIDE, 3)).astype("float32")


@pytest.mark.parametrize("order", ORDERS)
def test_each_token_is_mapped_to_the_cell_that_it_sees(order, images):
    net = tokens_net(order, attention=False)
    cam = CAM(net, "hirescam", layer="tokens")
    found = cam(images, 1, raw=True)
    for photo, raw in zip(images, found, strict=True):
        np.testing.assert_allclose(raw, by_hand(net, photo.astype("float64")), atol=1e-5)


@pytest.mark.parametrize("order", ["windows", "class token at the end", "nine registers"])
def test_tokens_that_attention_has_mixed_keep_their_places(order, images):
    net = tokens_net(order, attention=True)
    plain = CAM(tokens_net(order, attention=False), "hirescam", layer="tokens")
    cam = CAM(net, "hirescam")
    assert cam.layer_name == "mixed"
    (layout,), (known,) = (c._known().plan.mapped.positions for c in (cam, plain))
    assert layout == known
    rollout = CAM(net, "rollout")(images, 1, raw=True)
    assert rollout.shape == (2, GRID, GRID)
    assert np.abs(CAM(net, "attnlrp").completeness(images, 1).residual).max() < 1e-4


@pytest.mark.parametrize("partition", [windows, OwnWindows()])
def test_windows_are_not_taken_for_rows(partition):
    x = keras.Input((SIDE, SIDE, 3))
    h = layers.Dense(WIDTH, name="in_windows")(partition(patches(x)))
    net = keras.Model(x, layers.Dense(3)(ops.mean(h, axis=(1, 2))))
    assert CAM(net, "hirescam").layer_name == "patches"
    with pytest.raises(ValueError, match="no positions to map. Expected: .* as a grid does. Recei"):
        CAM(net, "hirescam", layer="in_windows")


def hierarchical():
    """Two blocks of windows, the second shifted; patches merged; a block of the whole image."""
    x = keras.Input((SIDE, SIDE, 3))
    h = patches(x)
    for shift in (0, 1):
        seen = ops.roll(layers.LayerNormalization()(h), (-shift, -shift), axis=(1, 2))
        seen = ops.reshape(windows(seen), (-1, 4, WIDTH))
        seen = back(layers.MultiHeadAttention(2, 4)(seen, seen))
        h = layers.Add()([h, ops.roll(seen, (shift, shift), axis=(1, 2))])
    h = ops.concatenate([h[:, i::2, j::2] for i in (0, 1) for j in (0, 1)], axis=-1)
    h = layers.Reshape((4, WIDTH))(layers.Dense(WIDTH)(h))
    h = layers.Add(name="whole")([h, layers.MultiHeadAttention(2, 4)(h, h)])
    return keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling1D()(h)))


def test_windows_shifted_and_merged_have_the_grid_of_their_stage(images):
    net = hierarchical()
    cam = CAM(net, "cam")
    assert cam.layer_name == "whole"
    assert cam(images, 1, raw=True).shape == (2, 2, 2)
    assert np.abs(cam.completeness(images, 1).residual).max() < 1e-5
    relevance = CAM(net, "attnlrp")
    assert relevance.layer_name == "patches"
    assert relevance(images, 1, raw=True).shape == (2, GRID, GRID)
    assert np.abs(relevance.completeness(images, 1).residual).max() < 1e-4
    with pytest.raises(ValueError, match="attention within windows, .* Expected: each token"):
        CAM(net, "rollout")
