"""Height and width are measured: models that turn, add or hide axes, against plain loops."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_metric.cam import CAM

HEIGHT, WIDTH, STRIDE = 14, 9, 2


def head(h, **options):
    return layers.Dense(3)(layers.GlobalAveragePooling2D(**options)(h))


def conv(**options):
    return layers.Conv2D(5, 3, strides=STRIDE, name="conv", **options)


def channels_first_permuted():
    x = keras.Input((3, HEIGHT, WIDTH))
    return keras.Model(x, head(conv()(layers.Permute((2, 3, 1))(x))))


def channels_first_layers():
    x = keras.Input((3, HEIGHT, WIDTH))
    first = {"data_format": "channels_first"}
    return keras.Model(x, head(conv(**first)(x), **first))


def turned():
    x = keras.Input((HEIGHT, WIDTH, 3))
    return keras.Model(x, head(conv()(layers.Permute((2, 1, 3))(x))))


def channel_added_inside():
    x = keras.Input((HEIGHT, WIDTH))
    return keras.Model(x, head(conv()(layers.Reshape((HEIGHT, WIDTH, 1))(x))))


def tokens(x, h):
    h = layers.Reshape((h.shape[1] * h.shape[2], 5), name="tokens")(h)
    return keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling1D()(h)))


def tokens_by_rows():
    x = keras.Input((HEIGHT, WIDTH))
    return tokens(x, conv()(layers.Reshape((HEIGHT, WIDTH, 1))(x)))


def tokens_by_columns():
    x = keras.Input((HEIGHT, WIDTH, 3))
    return tokens(x, layers.Permute((2, 1, 3))(conv()(x)))


def plain():
    x = keras.Input((HEIGHT, WIDTH, 3))
    return keras.Model(x, head(conv()(x)))


FRAMES = {
    "plain": (plain, None),
    "channels first, permuted": (channels_first_permuted, (0, 3, 1, 2)),
    "channels first, layers": (channels_first_layers, (0, 3, 1, 2)),
    "turned inside": (turned, None),
    "channel added inside": (channel_added_inside, None),
    "tokens by rows": (tokens_by_rows, None),
    "tokens by columns": (tokens_by_columns, None),
}


def by_hand(model, photo, transposed):
    """sum_k w_k conv_k at each place, in float64 loops over (H, W, C) images."""
    kernel, bias = (
        ops.convert_to_numpy(w).astype("float64") for w in model.get_layer("conv").weights
    )
    kernel = kernel.transpose(1, 0, 2, 3) if transposed else kernel
    w = ops.convert_to_numpy(model.layers[-1].kernel).astype("float64")[:, 1]
    rows, columns = ((n - 3) // STRIDE + 1 for n in photo.shape[1:3])
    found = np.zeros((len(photo), rows, columns))
    for y in range(rows):
        for x in range(columns):
            part = photo[:, y * STRIDE : y * STRIDE + 3, x * STRIDE : x * STRIDE + 3]
            found[:, y, x] = (np.einsum("bhwc,hwck->bk", part, kernel) + bias) @ w
    return found


@pytest.mark.parametrize("frame", FRAMES)
def test_maps_lie_as_the_image_does(frame, rng):
    build, order = FRAMES[frame]
    model = build()
    channels = 3 if len(model.input_shape) == 4 else 1
    photo = rng.normal(size=(2, HEIGHT, WIDTH, channels)).astype("float32")
    expected = by_hand(model, photo.astype("float64"), frame == "turned inside")
    images = photo if order is None else photo.transpose(order)
    images = images if channels == 3 else photo[..., 0]
    cam = CAM(model)
    np.testing.assert_allclose(cam(images, 1, raw=True), expected, atol=1e-5)
    assert cam(images, 1).shape == (2, HEIGHT, WIDTH)
    for method in ("hirescam", "fullgrad", "scorecam", "saliency"):
        found = CAM(model, method)(images[:1], 1)
        assert found.shape == (1, HEIGHT, WIDTH)
        assert np.isfinite(found).all()


def bright_spot(rng, y, x):
    photo = np.zeros((1, HEIGHT, WIDTH, 3), "float32")
    photo[:, y : y + 3, x : x + 2] = 5
    return photo


@pytest.mark.diagonal
@pytest.mark.parametrize("method", ["fullgrad", "occlusion", "integrated-gradients"])
@pytest.mark.parametrize("frame", ["channels first, permuted", "turned inside"])
def test_maps_of_the_image_are_bright_where_it_is(frame, method, rng):
    build, order = FRAMES[frame]
    model = build()
    photo = bright_spot(rng, 8, 2)
    images = photo if order is None else photo.transpose(order)
    found = np.abs(CAM(model, method, relu=False, normalize="none")(images, 1)[0])
    y, x = np.unravel_index(found.argmax(), found.shape)
    assert 6 <= y <= 12
    assert 0 <= x <= 5


@pytest.mark.parametrize("method", ["cam", "hirescam"])
def test_a_signal_stays_a_signal(method, rng):
    x = keras.Input((21, 4))
    h = layers.Conv1D(6, 3, activation="relu")(x)
    model = keras.Model(x, layers.Dense(3)(layers.GlobalAveragePooling1D()(h)))
    assert CAM(model, method)(rng.normal(size=(2, 21, 4)).astype("float32"), 1).shape == (2, 21)


def test_a_segmenter_with_its_classes_first_is_read_by_class(rng):
    """(B, 3, h, w) logits: scores are means over places, not over classes."""
    first = {"data_format": "channels_first"}
    x = keras.Input((3, HEIGHT, WIDTH))
    model = keras.Model(
        x, layers.Conv2D(4, 1, **first)(layers.Conv2D(6, 3, activation="relu", **first)(x))
    )
    images = rng.normal(size=(2, 3, HEIGHT, WIDTH)).astype("float32")
    found = CAM(model).explain(images, "all")
    expected = ops.convert_to_numpy(model(images)).mean((2, 3))
    np.testing.assert_allclose(found.scores, expected, atol=1e-5)
    assert found.maps.shape == (2, 4, HEIGHT, WIDTH)
    assert np.abs(CAM(model).completeness(images, "all").residual).max() < 1e-5
