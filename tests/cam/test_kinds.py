"""The kinds of model people have: each gets maps, the right layer, and `cam` or its refusal."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_metric.cam import CAM

SIZE = (12, 10)


def body(channels=6):
    return [
        layers.Conv2D(4, 3, activation="relu", name="first"),
        layers.Conv2D(channels, 3, strides=2, activation="relu", name="last"),
    ]


def head(classes=3, **options):
    return [layers.GlobalAveragePooling2D(), layers.Dense(classes, **options)]


def chain(x, steps):
    for step in steps:
        x = step(x)
    return x


def image(name="photo"):
    return keras.Input((*SIZE, 3), name=name)


def functional(steps, **options):
    x = image()
    return keras.Model(x, chain(x, steps), **options)


def backbone():
    return functional(body(), name="backbone")


class Subclassed(keras.Model):
    def __init__(self):
        super().__init__()
        self.steps = body()
        self.relu = layers.ReLU()
        self.dense = layers.Dense(3, activation="softmax")

    def call(self, x):
        x = self.relu(self.steps[0](x))
        x = self.relu(chain(x, self.steps[1:]))
        return self.dense(ops.mean(x, axis=(1, 2)))


def separate_softmax():
    return functional([*body(), *head(), layers.Softmax()])


def softmax_operation():
    x = image()
    return keras.Model(x, ops.softmax(chain(x, [*body(), *head()])))


def residual():
    x = image()
    h = chain(x, body())
    h = layers.Add()([layers.Conv2D(6, 1, name="shortcut")(h), layers.Conv2D(6, 1, name="main")(h)])
    return keras.Model(x, chain(layers.ReLU(name="joined")(h), head()))


def signal():
    x = keras.Input((20, 2))
    h = layers.Conv1D(6, 3, activation="relu", name="last")(x)
    return keras.Model(x, chain(h, [layers.GlobalAveragePooling1D(), layers.Dense(3)]))


def volume():
    x = keras.Input((6, 8, 7, 1))
    h = layers.Conv3D(6, 3, activation="relu", name="last")(x)
    return keras.Model(x, chain(h, [layers.GlobalAveragePooling3D(), layers.Dense(3)]))


def segmentation():
    x = image()
    h = layers.UpSampling2D(2, name="up")(chain(x, body()))
    return keras.Model(x, layers.Conv2D(3, 1, activation="softmax")(h))


def frozen():
    model = functional([*body(), *head()])
    model.trainable = False
    return model


def mixed(policy):
    def build():
        keras.config.set_dtype_policy(policy)
        try:
            return functional([*body(), *head(dtype="float32", activation="softmax")])
        finally:
            keras.config.set_dtype_policy("float32")

    return build


def tokens():
    x = image()
    h = layers.Reshape((30, 8))(layers.Conv2D(8, 2, strides=2)(x))
    for i in range(2):
        seen = layers.LayerNormalization(name=f"norm_{i}")(h)
        mixed = layers.MultiHeadAttention(2, 4, name=f"mix_{i}")(seen, seen)
        h = layers.Add(name=f"sum_{i}")([h, mixed])
    return keras.Model(x, layers.Dense(3)(ops.mean(h, axis=1)))


def dict_inputs():
    x = image()
    return keras.Model({"photo": x}, chain(x, [*body(), *head()]))


def mobile():
    pooled = layers.GlobalAveragePooling2D(keepdims=True)
    tail = [layers.Dropout(0.1), layers.Conv2D(3, 1), layers.Reshape((3,)), layers.Softmax()]
    return functional([*body(), pooled, *tail])


def sequential_on_backbone():
    return keras.Sequential([backbone(), *head()])


def normed_head():
    return functional(
        [*body(), layers.GlobalAveragePooling2D(), layers.BatchNormalization(), layers.Dense(3)]
    )


EXACT = {
    "functional": (lambda: functional([*body(), *head(activation="softmax")]), "last"),
    "logits": (lambda: functional([*body(), *head()]), "last"),
    "embedding": (lambda: functional([*body(), *head(16)]), "last"),
    "separate softmax": (separate_softmax, "last"),
    "softmax operation": (softmax_operation, "last"),
    "sigmoid": (lambda: functional([*body(), *head(1, activation="sigmoid")]), "last"),
    "separable": (
        lambda: functional([*body(), layers.SeparableConv2D(5, 3, name="separable"), *head()]),
        "separable",
    ),
    "residual": (residual, "joined"),
    "sequential": (lambda: keras.Sequential([*body(), *head()]), "last"),
    "built sequential": (lambda: keras.Sequential([image(), *body(), *head()]), "last"),
    "nested": (lambda: functional([backbone(), *head()]), "last"),
    "sequential on backbone": (sequential_on_backbone, "last"),
    "subclassed": (Subclassed, "re_lu"),
    "float16": (mixed("mixed_float16"), "last"),
    "bfloat16": (mixed("mixed_bfloat16"), "last"),
    "dict inputs": (dict_inputs, "last"),
    "signal": (signal, "last"),
    "volume": (volume, "last"),
    "segmentation": (segmentation, "up"),
    "frozen": (frozen, "last"),
    "tokens": (tokens, "sum_1"),
    "batch norm in the head": (normed_head, "last"),
    "convolution as classifier": (
        lambda: functional([*body(3), layers.GlobalAveragePooling2D(), layers.Softmax()]),
        "last",
    ),
    "mobile": (mobile, "last"),
}

# Compiling on JAX takes seconds a model: the ordinary run has one of each mechanism there.
QUICK = {"functional", "nested", "subclassed", "bfloat16", "volume", "mobile", "segmentation"}


def kinds():
    slow = EXACT.keys() - QUICK if keras.backend.backend() == "jax" else set()
    return [pytest.param(k, marks=[pytest.mark.slow] if k in slow else []) for k in EXACT]


def inputs_of(kind, rng):
    def draw(*shape):
        return rng.normal(size=(3, *shape)).astype("float32")

    if kind == "signal":
        return draw(20, 2)
    if kind == "volume":
        return draw(6, 8, 7, 1)
    photo = draw(*SIZE, 3)
    return {"photo": photo} if kind == "dict inputs" else photo


def size_of(kind):
    return {"signal": (20,), "volume": (6, 8, 7)}.get(kind, SIZE)


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", kinds())
def test_mean_of_the_map_plus_bias_is_the_score(kind, rng):
    build, layer = EXACT[kind]
    model, images = build(), inputs_of(kind, rng)
    cam = CAM(model)
    maps = cam(images)
    assert cam.layer_name.startswith(layer)
    assert maps.shape == (3, *size_of(kind))
    assert maps.dtype == np.float32
    for weight in model.weights:
        if weight.path.endswith(("bias", "beta", "moving_mean")):
            weight.assign(rng.normal(size=weight.shape))
    low = kind in ("float16", "bfloat16")
    found = cam.completeness(images, "all")
    scale = max(1.0, np.abs(found.score).max())
    assert np.abs(found.residual).max() <= (2e-2 if low else 1e-5) * scale


@pytest.mark.parametrize("kind", kinds())
def test_gradients_find_the_same_map(kind, rng):
    """Behind global average pooling: g . A at a position is w . A / N, on every kind of model."""
    build, _ = EXACT[kind]
    model, images = build(), inputs_of(kind, rng)
    classes = min(2, CAM(model).explain(images, "all").classes.shape[1]) - 1
    exact = CAM(model)(images, classes, raw=True)
    found = CAM(model, "hirescam")(images, classes, raw=True)
    assert found.dtype == np.float32
    low = kind in ("float16", "bfloat16")
    expected = exact / np.prod(exact.shape[1:])
    scale = max(np.abs(expected).max(), 1e-3)
    assert np.abs(found - expected).max() <= (3e-2 if low else 1e-4) * scale
    assert np.isfinite(CAM(model, "gradcam")(images, classes)).all()


def channels_first(model, size, by_name: bool):
    """The model behind images with their channels first."""
    x = keras.Input((3, *size))
    photo = layers.Permute((2, 3, 1))(x)
    return keras.Model(x, model({"photo": photo} if by_name else photo))


def framed():
    quick = QUICK - {"volume"}
    kinds = EXACT.keys() - {"signal", "volume"}
    return [pytest.param(k, marks=[] if k in quick else [pytest.mark.slow]) for k in sorted(kinds)]


@pytest.mark.tensorflow
@pytest.mark.parametrize("kind", framed())
def test_channels_first_at_an_odd_size_gives_the_same_map(kind, rng, monkeypatch):
    """Every kind of model behind a Permute, for images whose sides no stride divides."""
    monkeypatch.setattr(f"{__name__}.SIZE", (13, 11))
    model = EXACT[kind][0]()
    photo = rng.normal(size=(3, 13, 11, 3)).astype("float32")
    plain = CAM(model)
    images = {"photo": photo} if kind == "dict inputs" else photo
    expected = plain(images, 0, raw=True)
    found = CAM(channels_first(model, (13, 11), kind == "dict inputs"))
    raw = found(photo.transpose(0, 3, 1, 2), 0, raw=True)
    scale = np.abs(expected).max() * (3e-2 if kind in ("float16", "bfloat16") else 1e-5)
    np.testing.assert_allclose(raw, expected, atol=scale)
    assert found(photo.transpose(0, 3, 1, 2), 0).shape == (3, 13, 11)
    if kind in WITH_PLAIN_HEAD:
        np.testing.assert_allclose(raw, by_hand(model, plain.layer, images), atol=scale)


WITH_PLAIN_HEAD = {"functional", "nested", "separable", "residual", "segmentation", "bfloat16"}


def by_hand(model, layer, images):
    """w_0 . f(p) in float64, of the layer's last output as the model computes it."""
    from keras_metric.cam.network.hooks import record

    outputs = [call.output for call in record(model, images)[1] if call.layer is layer]
    f = ops.convert_to_numpy(ops.cast(outputs[-1], "float32")).astype("float64")
    kernel = model.layers[-1].kernel
    w = ops.convert_to_numpy(kernel).astype("float64").reshape(-1, kernel.shape[-1])[:, 0]
    found = np.zeros(f.shape[:3])
    for y in range(f.shape[1]):
        for x in range(f.shape[2]):
            found[:, y, x] = f[:, y, x] @ w
    return found
