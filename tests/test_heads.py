from math import acos, cos, exp, floor, log, pi, sin

import keras
import numpy as np
import pytest
from keras import ops

from keras_metric import heads

CLASSES = 5
LABELS = np.array([0, 3, 1, 3, 4, 0, 1])


def numbers(x):
    return np.array(x.tolist() if hasattr(x, "tolist") else x)


@pytest.fixture
def x(rng):
    return rng.normal(size=(7, 4)).astype("float32")


def cosines(head, x):
    """(B, classes, centers) in float64."""
    weights = numbers(ops.convert_to_tensor(head.class_weights)).astype("float64")
    weights = weights / np.linalg.norm(weights, axis=1, keepdims=True)
    x = x.astype("float64") / np.linalg.norm(x.astype("float64"), axis=1, keepdims=True)
    return (x @ weights.T).reshape(len(x), CLASSES, -1)


def cross_entropy(rows, scale, moved):
    """Mean of -log softmax(scale · cos), the true class's cosine moved."""
    total = 0.0
    for row, y in zip(rows, LABELS, strict=True):
        logits = [scale * (moved(c) if k == y else c) for k, c in enumerate(row)]
        total += log(sum(exp(logit) for logit in logits)) - logits[y]
    return total / len(rows)


def arc(c, margin=0.6):
    return cos(acos(c) + margin) if acos(c) + margin < pi else c - margin * sin(margin)


def sphere(c, margin=3):
    k = floor(margin * acos(c) / pi)
    return (-1) ** k * cos(margin * acos(c)) - 2 * k


def nearest(head, x):
    return cosines(head, x).max(axis=2)


def softly(head, x):
    c = cosines(head, x)
    powers = np.exp(c / 0.3)
    return (powers * c).sum(axis=2) / powers.sum(axis=2)


SOFTMAX = [
    (heads.NormalizedSoftmax(CLASSES, scale=5.0), nearest, lambda c: c),
    (heads.CosFace(CLASSES, margin=0.2, scale=5.0), nearest, lambda c: c - 0.2),
    (heads.ArcFace(CLASSES, margin=0.6, scale=5.0), nearest, arc),
    (heads.SubCenterArcFace(CLASSES, centers=2, margin=0.6, scale=5.0), nearest, arc),
    (heads.SphereFace(CLASSES, margin=3, scale=5.0), nearest, sphere),
    (heads.ProxyNCA(CLASSES, scale=5.0, plus=True), nearest, lambda c: c),
    (heads.SoftTriple(CLASSES, centers=3, gamma=0.3, scale=5.0), softly, lambda c: c - 0.01),
]


@pytest.mark.parametrize(
    ("head", "similarities", "moved"), SOFTMAX, ids=[type(case[0]).__name__ for case in SOFTMAX]
)
def test_softmax_heads_equal_loops(head, similarities, moved, x):
    value = float(ops.stop_gradient(head.loss()(LABELS, head(x))))
    expected = cross_entropy(similarities(head, x), 5.0, moved)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


@pytest.mark.parametrize("index", [0, 1, 2, 4])
def test_labels_can_be_smoothed(index, x):
    head, similarities, moved = SOFTMAX[index]
    value = float(ops.stop_gradient(head.loss(label_smoothing=0.2)(LABELS, head(x))))
    expected = 0.0
    for row, y in zip(similarities(head, x), LABELS, strict=True):
        logits = [5 * (moved(c) if k == y else c) for k, c in enumerate(row)]
        total = log(sum(map(exp, logits)))
        for k, logit in enumerate(logits):
            expected -= (0.8 * (k == y) + 0.2 / CLASSES) * (logit - total) / len(x)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    with pytest.raises(
        ValueError, match="label_smoothing is out of range.*Received: label_smoothing=1"
    ):
        head.loss(label_smoothing=1)


def test_proxy_nca_leaves_its_own_proxy_out_of_the_sum(x):
    head = heads.ProxyNCA(CLASSES, scale=5.0)
    value = float(ops.stop_gradient(head.loss()(LABELS, head(x))))
    expected = 0.0
    for row, y in zip(nearest(head, x), LABELS, strict=True):
        away = [2 - 2 * c for c in row]
        others = sum(exp(-d * 2.5) for k, d in enumerate(away) if k != y)
        expected -= log(exp(-away[y] * 2.5) / others) / len(x)
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_proxy_anchor_equals_loops(x):
    head = heads.ProxyAnchor(CLASSES, margin=0.2, scale=4.0)
    value = float(ops.stop_gradient(head.loss()(LABELS, head(x))))
    c, pull, push, present = nearest(head, x), 0.0, 0.0, set(LABELS)
    for k in range(CLASSES):
        pull += log(1 + sum(exp(-4 * (c[i, k] - 0.2)) for i in range(7) if LABELS[i] == k))
        push += log(1 + sum(exp(4 * (c[i, k] + 0.2)) for i in range(7) if LABELS[i] != k))
    expected = pull / len(present) + push / CLASSES
    np.testing.assert_allclose(value, expected, rtol=1e-5)


def test_soft_triple_pulls_the_centers_of_a_class_together(x):
    head = heads.SoftTriple(CLASSES, centers=3, regularization=0.5)
    head(x)
    centers = numbers(ops.convert_to_tensor(head.class_weights)).astype("float64")
    centers = (centers / np.linalg.norm(centers, axis=1, keepdims=True)).reshape(CLASSES, 3, -1)
    apart = [np.linalg.norm(own[i] - own[j]) for own in centers for i in range(3) for j in range(i)]
    np.testing.assert_allclose(
        float(ops.stop_gradient(sum(head.losses))), 0.5 * np.mean(apart), rtol=1e-4
    )


@pytest.mark.parametrize("name", heads.__all__)
def test_trains_saves_and_predicts(name, tmp_path, rng):
    """Three classes on three axes are learned; one `.keras` file brings back loss and weights."""
    labels = np.arange(30) % 3
    x = (np.eye(3)[labels] + 0.1 * rng.normal(size=(30, 3))).astype("float32")
    head = getattr(heads, name)(3, scale=4.0, initializer=keras.initializers.RandomNormal(seed=1))
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(3), head])
    model.compile(keras.optimizers.Adam(0.05), head.loss(), metrics=["sparse_categorical_accuracy"])
    history = model.fit(x, labels, epochs=12, batch_size=30, verbose=0).history["loss"]
    assert history[-1] < history[0]
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        again.evaluate(x, labels, verbose=0), model.evaluate(x, labels, verbose=0), rtol=1e-5
    )
    assert again.layers[-1].get_config() == head.get_config()


@pytest.mark.parametrize("name", heads.__all__)
def test_finite_where_the_angle_is_0_or_pi(name):
    """An embedding on its weights, opposite to them, and none at all."""
    head = getattr(heads, name)(2, initializer="ones")
    x = np.array([[1, 1], [-1, -1], [0, 0], [1e12, 1e12]], "float32")
    model = keras.Sequential([keras.layers.Input((2,)), keras.layers.Dense(2, "linear"), head])
    model.layers[0].set_weights([np.eye(2), np.zeros(2)])
    model.compile("sgd", head.loss())
    model.fit(x, np.zeros(4, int), batch_size=4, epochs=1, verbose=0)
    assert all(np.isfinite(weight).all() for weight in model.get_weights())


def test_half_precision_embeddings_keep_float32_weights(x):
    head = heads.ArcFace(CLASSES)
    logits = head(ops.cast(x, "float16"))
    assert keras.backend.standardize_dtype(logits.dtype) == "float32"


def test_wrong_arguments_are_named(x):
    with pytest.raises(ValueError, match="Received: classes=0"):
        heads.ArcFace(0)
    with pytest.raises(ValueError, match="Expected: an integer from 1 on. Received: margin=1.5"):
        heads.SphereFace(3, margin=1.5)
    with pytest.raises(ValueError, match=r"Received: shape \(7, 4, 1\)"):
        heads.CosFace(3).build((7, 4, 1))
    assert np.isnan(float(heads.CosFace(3).loss()(np.array([3]), np.zeros((1, 3), "float32"))))
