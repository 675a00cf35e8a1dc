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


def dict_output():
    x = image()
    h = chain(x, [*body(), layers.GlobalAveragePooling2D()])
    return keras.Model(x, {"kind": layers.Dense(3)(h), "place": layers.Dense(4)(h)})


def image_and_vector():
    x, v = image(), keras.Input((5,), name="vector")
    h = chain(x, [*body(), layers.GlobalAveragePooling2D()])
    return keras.Model([x, v], layers.Dense(3)(layers.Concatenate()([h, layers.Dense(2)(v)])))


def siamese():
    encoder = functional([*body(), layers.GlobalAveragePooling2D(), layers.Dense(4)])
    a, b = image("a"), image("b")
    distance = ops.sqrt(ops.sum(ops.square(encoder(a) - encoder(b)), axis=-1) + 1e-6)
    return keras.Model([a, b], distance)


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


def tokens(class_token):
    def build():
        x = image()
        h = layers.Reshape((30, 8))(layers.Conv2D(8, 2, strides=2)(x))
        if class_token:
            h = layers.ZeroPadding1D((1, 0))(h)
        for i in range(2):
            seen = layers.LayerNormalization(name=f"norm_{i}")(h)
            mixed = layers.MultiHeadAttention(2, 4, name=f"mix_{i}")(seen, seen)
            h = layers.Add(name=f"sum_{i}")([h, mixed])
        pooled = h[:, 0] if class_token else ops.mean(h, axis=1)
        return keras.Model(x, layers.Dense(3)(pooled))

    return build


def dict_inputs():
    x = image()
    return keras.Model({"photo": x}, chain(x, [*body(), *head()]))


def mobile():
    pooled = layers.GlobalAveragePooling2D(keepdims=True)
    tail = [layers.Dropout(0.1), layers.Conv2D(3, 1), layers.Reshape((3,)), layers.Softmax()]
    return functional([*body(), pooled, *tail])


def sequential_on_backbone():
    return keras.Sequential([backbone(), *head()])


def two_sizes_of_layer_norm():
    return functional(
        [*body(), layers.GlobalAveragePooling2D(), layers.LayerNormalization(), layers.Dense(3)]
    )


def hidden_layer():
    return functional([*body(), *head(8, activation="relu"), layers.Dense(3)])


def flattened():
    return functional([*body(), layers.Flatten(), layers.Dense(3)])


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
    "tokens": (tokens(class_token=False), "sum_1"),
    "batch norm in the head": (normed_head, "last"),
    "convolution as classifier": (
        lambda: functional([*body(3), layers.GlobalAveragePooling2D(), layers.Softmax()]),
        "last",
    ),
    "mobile": (mobile, "last"),
}
REFUSED = {
    "flatten": (flattened, "flatten"),
    "hidden layer": (hidden_layer, "not linear"),
    "layer norm": (two_sizes_of_layer_norm, "not linear"),
    "global max": (
        lambda: functional([*body(), layers.GlobalMaxPooling2D(), layers.Dense(3)]),
        "does not average",
    ),
    "image and vector": (image_and_vector, "several tensors meet"),
    "siamese": (siamese, "runs 2 times"),
    "class token": (tokens(class_token=True), "several tensors meet"),
}


def inputs_of(kind, rng):
    def draw(*shape):
        return rng.normal(size=(3, *shape)).astype("float32")

    if kind == "signal":
        return draw(20, 2)
    if kind == "volume":
        return draw(6, 8, 7, 1)
    photo = draw(*SIZE, 3)
    if kind == "image and vector":
        return [photo, draw(5)]
    if kind == "siamese":
        return [photo, draw(*SIZE, 3)]
    return {"photo": photo} if kind == "dict inputs" else photo


def size_of(kind):
    return {"signal": (20,), "volume": (6, 8, 7)}.get(kind, SIZE)


@pytest.mark.parametrize("kind", EXACT)
def test_mean_of_the_map_plus_bias_is_the_score(kind, rng):
    build, layer = EXACT[kind]
    model, images = build(), inputs_of(kind, rng)
    cam = CAM(model)
    maps = cam(images)
    assert cam.layer_name.startswith(layer)
    assert maps.shape == (3, *size_of(kind))
    assert maps.dtype == np.float32
    low = kind in ("float16", "bfloat16")
    found = cam.completeness(images, "all")
    scale = max(1.0, np.abs(found.score).max())
    assert np.abs(found.residual).max() <= (2e-2 if low else 1e-5) * scale


@pytest.mark.parametrize("kind", REFUSED)
def test_refused_with_the_reason_and_another_method(kind, rng):
    build, reason = REFUSED[kind]
    model, images = build(), inputs_of(kind, rng)
    with pytest.raises(ValueError, match=reason) as refusal:
        CAM(model)(images)
    assert "'gradcam'" in str(refusal.value)
    maps = CAM(model, "gradcam", normalize="none", relu=False)(images)
    for one in maps if isinstance(maps, tuple) else [maps]:
        assert one.shape == (3, *SIZE)
        assert np.isfinite(one).all()
        assert np.abs(one).max() > 0


@pytest.mark.parametrize("kind", ["flatten", "image and vector"])
def test_hirescam_adds_up_for_any_linear_head(kind, rng):
    model, images = REFUSED[kind][0](), inputs_of(kind, rng)
    found = CAM(model, "hirescam").completeness(images, "all")
    assert np.abs(found.residual).max() <= 1e-5 * max(1.0, np.abs(found.score).max())


def test_outputs_are_chosen_by_name(rng):
    model, images = dict_output(), inputs_of("dict output", rng)
    assert CAM(model, output="kind")(images, "all").shape == (3, 3, *SIZE)
    assert CAM(model, output="place")(images, "all").shape == (3, 4, *SIZE)
    with pytest.raises(ValueError, match="Expected: 'kind', 'place'"):
        CAM(model)


def test_class_token_maps_leave_the_token_out(rng):
    cam = CAM(tokens(class_token=True)(), "hirescam")
    raw = cam(inputs_of("", rng), raw=True)
    assert cam.layer_name.startswith("sum_0")
    assert raw.shape == (3, 6, 5)
