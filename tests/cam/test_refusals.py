"""Models whose head is not linear over positions: `cam` says why, other methods go on."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_metric.cam import CAM, SimilarityCAM

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


def layer_norm():
    return functional(
        [*body(), layers.GlobalAveragePooling2D(), layers.LayerNormalization(), layers.Dense(3)]
    )


def hidden_layer():
    return functional([*body(), *head(8, activation="relu"), layers.Dense(3)])


def flattened():
    return functional([*body(), layers.Flatten(), layers.Dense(3)])


def class_token():
    x = image()
    h = layers.Reshape((30, 8))(layers.Conv2D(8, 2, strides=2)(x))
    h = layers.ZeroPadding1D((1, 0))(h)
    for i in range(2):
        seen = layers.LayerNormalization(name=f"norm_{i}")(h)
        mixed = layers.MultiHeadAttention(2, 4, name=f"mix_{i}")(seen, seen)
        h = layers.Add(name=f"sum_{i}")([h, mixed])
    return keras.Model(x, layers.Dense(3)(h[:, 0]))


REFUSED = {
    "flatten": (flattened, "flatten"),
    "hidden layer": (hidden_layer, "not linear"),
    "layer norm": (layer_norm, "not linear"),
    "global max": (
        lambda: functional([*body(), layers.GlobalMaxPooling2D(), layers.Dense(3)]),
        "does not average",
    ),
    "image and vector": (image_and_vector, "several tensors meet"),
    "siamese": (siamese, "runs 2 times"),
    "class token": (class_token, "several tensors meet"),
}


def draw(rng, *shape):
    return rng.normal(size=(3, *shape)).astype("float32")


def inputs_of(kind, rng):
    photo = draw(rng, *SIZE, 3)
    other = {"image and vector": (5,), "siamese": (*SIZE, 3)}.get(kind)
    return photo if other is None else [photo, draw(rng, *other)]


def kinds():
    """Compiling on JAX takes seconds a model: the ordinary run has three there."""
    quick = {"flatten", "hidden layer", "siamese"}
    slow = REFUSED.keys() - quick if keras.backend.backend() == "jax" else set()
    return [pytest.param(k, marks=[pytest.mark.slow] if k in slow else []) for k in REFUSED]


@pytest.mark.parametrize("kind", kinds())
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
    model, images = dict_output(), draw(rng, *SIZE, 3)
    assert CAM(model, output="kind")(images, "all").shape == (3, 3, *SIZE)
    assert CAM(model, output="place")(images, "all").shape == (3, 4, *SIZE)
    with pytest.raises(ValueError, match="Expected: 'kind', 'place'"):
        CAM(model)


def test_class_token_maps_leave_the_token_out(rng):
    cam = CAM(class_token(), "hirescam")
    raw = cam(draw(rng, *SIZE, 3), raw=True)
    assert cam.layer_name.startswith("sum_0")
    assert raw.shape == (3, 6, 5)


def plain():
    x = keras.Input((12, 10, 3))
    h = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x))
    return keras.Model(x, layers.Dense(3)(h), name="plain")


@pytest.mark.parametrize("kind", [CAM, SimilarityCAM])
@pytest.mark.parametrize(
    ("images", "told"),
    [
        (np.zeros((0, 12, 10, 3)), r"The batch is empty.*Received: \(0, 12, 10, 3\)"),
        (np.zeros((12, 10, 3)), r"do not fit model 'plain'. Expected: \(None, 12, 10, 3\)"),
        (np.zeros((2, 12, 9, 3)), r"do not fit.*Received: \(2, 12, 9, 3\)"),
        (np.zeros((2, 12, 10, 1)), r"do not fit.*Received: \(2, 12, 10, 1\)"),
        ([np.zeros((1, 12, 10, 3))] * 2, r"do not fit.*Received: \(1, 12, 10, 3\), \(1, 12"),
        ("photo.png", "are not images. Expected: arrays. Received: 'photo.png'"),
        (None, "are not images"),
    ],
)
def test_images_that_the_model_does_not_take_are_refused(kind, images, told):
    explain = kind(plain())
    with pytest.raises(ValueError, match=told):
        explain(*[images] * (1 if kind is CAM else 2))


@pytest.mark.parametrize("kind", [CAM, SimilarityCAM])
def test_what_is_no_model_is_refused(kind):
    with pytest.raises(ValueError, match=r"no model to explain. Expected: a keras.Model. Received"):
        kind("plain")


def test_a_function_must_give_a_number_an_image():
    cam = CAM(plain(), "gradcam")
    images = np.zeros((2, 12, 10, 3), "float32")
    with pytest.raises(
        ValueError, match=r"Expected: one number for each image, \(B,\). Received: "
    ):
        cam(images, lambda scores: scores)


def test_a_temperature_before_softmax_is_named():
    x = keras.Input((12, 10, 3))
    h = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x))
    model = keras.Model(x, layers.Softmax()(layers.Dense(3)(h) / 0.5))
    with pytest.raises(ValueError, match="not all layers after pooling can be applied alone: 'den"):
        CAM(model)
