"""Each method against plain loops, and what must hold behind global average pooling."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_metric.cam import CAM, METHODS, Evidence, method
from keras_metric.cam.methods.table import find

B, N, K = 2, 6, 4


@pytest.fixture
def evidence(rng):
    """Random evidence; activations are not negative, as after ReLU."""
    a = np.abs(rng.normal(size=(B, N, K)))
    g, h = rng.normal(size=(2, B, N, K))
    masked, ablated = rng.normal(size=(2, B, K))
    return Evidence(a, np.array([1.5, -2.0]), rng.normal(size=(B, K, 1)), g, h, masked, ablated)


def mean_gradient(e, b, k):
    return [sum(e.gradients[b, :, k]) / N] * N


def plus_plus(e, b, k):
    total = sum(e.activations[b, p, k] for p in range(N))
    alpha = [g**2 / (2 * g**2 + g**3 * total) for g in e.gradients[b, :, k]]
    weights = (a * max(g, 0) for a, g in zip(alpha, e.gradients[b, :, k], strict=True))
    return [sum(weights)] * N


def share_of_activation(e, b, k):
    total = sum(e.activations[b, p, k] for p in range(N))
    return [sum(e.gradients[b, p, k] * e.activations[b, p, k] for p in range(N)) / total] * N


def second_order(e, b, k):
    return [sum(e.gradients[b, :, k] - e.curvatures[b, :, k] / 2) / N] * N


def softmax_of_masked(e, b, k):
    return [np.exp(e.masked_scores[b, k]) / np.exp(e.masked_scores[b]).sum()] * N


def share_lost(e, b, k):
    return [(e.score[b] - e.ablated_scores[b, k]) / abs(e.score[b])] * N


# Weights of one channel's N positions, by plain loops. A new method has its line here.
WEIGHTS = {
    "cam": lambda e, b, k: [e.weights[b, k, 0]] * N,
    "gradcam": mean_gradient,
    "finercam": mean_gradient,
    "gradcam++": plus_plus,
    "hirescam": lambda e, b, k: list(e.gradients[b, :, k]),
    "xgradcam": share_of_activation,
    "layercam": lambda e, b, k: [max(g, 0) for g in e.gradients[b, :, k]],
    "shapleycam": second_order,
    "scorecam": softmax_of_masked,
    "ablationcam": share_lost,
    "integrated-gradients": lambda e, b, k: list(e.gradients[b, :, k]),
}
# Methods that are no weighted sum over channels, and the test that has their loops.
ELSEWHERE = {
    "eigencam": "test_eigen_equals_singular_vectors",
    "eigengradcam": "test_eigen_equals_singular_vectors",
    "fullgrad": "test_fullgrad_adds_up_through_batch_norm_and_hidden_layers",
    "saliency": "test_attribution",
    "smoothgrad": "test_attribution",
    "occlusion": "test_attribution",
    "rise": "test_attribution",
    "rollout": "test_attention",
    "attention-relevance": "test_attention",
    "attnlrp": "test_relevance",
}
OF_CONVOLUTIONS = [n for n in METHODS if METHODS[n].needs not in ("attention", "relevance")]


def loops(name, e):
    out = np.zeros((B, N))
    for b in range(B):
        for k in range(K):
            weights = WEIGHTS[name](e, b, k)
            for p in range(N):
                out[b, p] += weights[p] * e.activations[b, p, k]
    return out


def test_every_method_is_held_against_loops():
    assert METHODS.keys() == WEIGHTS.keys() | ELSEWHERE.keys()
    assert not WEIGHTS.keys() & ELSEWHERE.keys()


@pytest.mark.parametrize("name", sorted(WEIGHTS))
def test_equals_loops(name, evidence):
    parts = (None if x is None else ops.convert_to_tensor(x.astype("float32")) for x in evidence)
    found = ops.convert_to_numpy(METHODS[name].function(Evidence(*parts))).reshape(B, N)
    np.testing.assert_allclose(found, loops(name, evidence), rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ["eigencam", "eigengradcam"])
@pytest.mark.parametrize("wide", [True, False])
def test_eigen_equals_singular_vectors(name, wide, rng):
    shape = (2, 5, 9) if wide else (2, 9, 5)
    a, g = rng.normal(size=(2, *shape)).astype("float32")
    tensors = Evidence(ops.convert_to_tensor(a), None, gradients=ops.convert_to_tensor(g))
    found = ops.convert_to_numpy(METHODS[name].function(tensors))
    for b, matrix in enumerate(a if name == "eigencam" else a * g):
        centred = matrix - matrix.mean(0)
        _, _, directions = np.linalg.svd(centred, full_matrices=False)
        expected = centred @ directions[0]
        sign = np.sign(expected @ centred.sum(1))
        np.testing.assert_allclose(found[b], sign * expected, atol=1e-4)


def network(*head):
    x = keras.Input((12, 10, 3))
    h = layers.Conv2D(5, 3, strides=2, activation="relu", bias_initializer="ones", name="map")(x)
    for step in head:
        h = step(h)
    return keras.Model(x, h)


def gap_network():
    bias = keras.initializers.RandomNormal(seed=2)
    return network(layers.GlobalAveragePooling2D(), layers.Dense(4, bias_initializer=bias))


def curved_network():
    return network(layers.Flatten(), layers.Dense(6, activation="tanh"), layers.Dense(4))


@pytest.fixture
def small_chunks(monkeypatch):
    """Two channels at a time for three images, so that five channels take three chunks."""
    monkeypatch.setattr("keras_metric.cam.methods.perturbation.ROWS", 6)


@pytest.fixture
def images(rng):
    return rng.normal(size=(3, 12, 10, 3)).astype("float32")


def test_behind_pooling_the_family_agrees_with_the_class_weights(images):
    model = gap_network()
    cam = CAM(model)(images, "all", raw=True)
    count = cam.shape[2] * cam.shape[3]
    for name in ("gradcam", "hirescam", "xgradcam", "shapleycam"):
        raw = CAM(model, name)(images, "all", raw=True)
        np.testing.assert_allclose(raw, cam / count, atol=1e-6)
    inner = keras.Model(model.input, model.get_layer("map").output)
    a = ops.convert_to_numpy(inner(images))
    positive = np.maximum(ops.convert_to_numpy(model.layers[-1].kernel), 0)
    expected = np.einsum("bhwk,kc->bchw", a, positive) / count
    layercam = CAM(model, "layercam")(images, "all", raw=True)
    np.testing.assert_allclose(layercam, expected, atol=1e-6)


def head_in_float64(model, a, c):
    """Score of class c from an activation `(h, w, K)`, by the curved head's own weights."""
    weights = [ops.convert_to_numpy(w).astype("float64") for w in model.weights[2:]]
    hidden = np.tanh(a.reshape(-1) @ weights[0] + weights[1])
    return (hidden @ weights[2] + weights[3])[c]


def test_gradients_and_curvature_equal_finite_differences(images):
    model = curved_network()
    inner = keras.Model(model.input, model.get_layer("map").output)
    a = ops.convert_to_numpy(inner(images[:1]))[0].astype("float64")

    def gradient(at, step=1e-4):
        out = np.zeros_like(at)
        for i in np.ndindex(at.shape):
            d = np.zeros_like(at)
            d[i] = step
            high, low = (head_in_float64(model, at + s * d, 1) for s in (1, -1))
            out[i] = (high - low) / (2 * step)
        return out

    g = gradient(a)
    hessian_a = (gradient(1.001 * a) - gradient(0.999 * a)) / 0.002
    hires = CAM(model, "hirescam")(images[:1], 1, raw=True)[0]
    np.testing.assert_allclose(hires, (g * a).sum(-1), atol=1e-5)
    shapley = CAM(model, "shapleycam")(images[:1], 1, raw=True)[0]
    w = (g - 0.5 * hessian_a).mean((0, 1))
    np.testing.assert_allclose(shapley, (w * a).sum(-1), atol=1e-4)


@pytest.mark.usefixtures("small_chunks")
def test_ablation_and_finer_equal_their_closed_forms(images):
    model = gap_network()
    a = ops.convert_to_numpy(keras.Model(model.input, model.get_layer("map").output)(images))
    kernel = ops.convert_to_numpy(model.layers[-1].kernel)
    scores = ops.convert_to_numpy(model(images))
    drop = kernel[:, 2] * a.mean((1, 2)) / np.abs(scores[:, 2:3])
    found = CAM(model, "ablationcam")(images, 2, raw=True)
    np.testing.assert_allclose(found, np.einsum("bhwk,bk->bhw", a, drop), rtol=1e-3, atol=1e-5)
    others = kernel[:, [0, 1, 3]].mean(1)
    finer = CAM(model, "finercam")(images, 2, raw=True)
    expected = a @ (kernel[:, 2] - others) / (a.shape[1] * a.shape[2])
    np.testing.assert_allclose(finer, expected, atol=1e-6)


@pytest.mark.usefixtures("small_chunks")
def test_scorecam_masks_the_image_by_each_channel(images):
    model = gap_network()
    a = ops.convert_to_numpy(keras.Model(model.input, model.get_layer("map").output)(images))
    masks = ops.convert_to_numpy(ops.image.resize(a, (12, 10), interpolation="bilinear"))
    low, high = masks.min((1, 2), keepdims=True), masks.max((1, 2), keepdims=True)
    masks = (masks - low) / (high - low + 1e-7)
    scores = np.stack(
        [ops.convert_to_numpy(model(images * masks[..., k : k + 1]))[:, 1] for k in range(5)], -1
    )
    weights = np.exp(scores) / np.exp(scores).sum(-1, keepdims=True)
    found = CAM(model, "scorecam")(images, 1, raw=True)
    np.testing.assert_allclose(found, np.einsum("bhwk,bk->bhw", a, weights), atol=1e-4)


@pytest.mark.parametrize("method", ["scorecam", "ablationcam"])
def test_batches_of_several_sizes_have_the_same_maps(method, images):
    """More images leave room for fewer channels at once."""
    cam = CAM(gap_network(), method)
    alone = [cam(images[i : i + 1], 1)[0] for i in range(3)]
    np.testing.assert_allclose(cam(images, 1), alone, atol=1e-4)
    many = np.concatenate([images] * 4)
    np.testing.assert_allclose(cam(many, 1), alone * 4, atol=1e-4)


def test_fullgrad_adds_up_through_batch_norm_and_hidden_layers(images):
    head = [
        layers.BatchNormalization(beta_initializer="ones", moving_mean_initializer="ones"),
        layers.MaxPooling2D(),
        layers.Flatten(),
        layers.Dense(6, activation="relu", bias_initializer="ones"),
        layers.Dense(4, bias_initializer="ones", activation="softmax"),
    ]
    cam = CAM(network(*head), "fullgrad")
    found = cam.completeness(images, [[0, 3]] * 3)
    np.testing.assert_allclose(found.explained, found.score, atol=1e-5)
    assert cam(images).shape == (3, 12, 10)


@pytest.mark.parametrize("name", OF_CONVOLUTIONS)
def test_what_a_method_claims_to_add_up_to_it_adds_up_to(name, images):
    """Behind global average pooling, in a net of ReLU, every claim of the table holds."""
    cam = CAM(gap_network(), name)
    if METHODS[name].complete is None:
        with pytest.raises(ValueError, match="no sum to compare. Expected: one of cam, gradcam"):
            cam.completeness(images, "all")
        return
    found = cam.completeness(images, "all")
    tolerance = 5e-3 if METHODS[name].complete == "path" else 1e-5  # ReLU bends on the way
    assert np.abs(found.residual).max() <= tolerance * max(1.0, np.abs(found.score).max())
    assert np.abs(found.explained).max() > 0.1


@pytest.mark.parametrize("name", OF_CONVOLUTIONS)
def test_one_image_that_is_not_finite_leaves_the_others_their_maps(name, images):
    model = curved_network() if name != "cam" else gap_network()
    cam = CAM(model, name, samples=4)
    spoiled = images.copy()
    spoiled[1, 3, 2] = np.nan
    found = cam(spoiled, 1)
    clean = cam(images, 1)
    np.testing.assert_allclose(found[[0, 2]], clean[[0, 2]], atol=1e-5)
    assert np.isnan(found[1]).any()


def test_a_model_of_any_size_is_understood_from_images_that_are_not_finite(images):
    x = keras.Input((None, None, 3))
    h = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(x))
    model = keras.Model(x, layers.Dense(3)(h))
    spoiled = images.copy()
    spoiled[0] = np.nan
    found = CAM(model)(spoiled, 1)
    np.testing.assert_allclose(found[1:], CAM(model)(images, 1)[1:], atol=1e-6)
    assert np.isnan(found[0]).all()


def test_the_page_about_maps_lists_every_method_and_its_paper():
    page = (Path(__file__).parents[3] / "docs" / "maps.md").read_text(encoding="utf-8")
    missing = [name for name in METHODS if f"| `{name}` |" not in page]
    assert not missing
    papers = {m.paper for m in METHODS.values() if m.paper}
    assert not [paper for paper in papers if paper not in page]


def test_the_table_refuses_doubles_and_unknown_names():
    with pytest.raises(ValueError, match="'cam' exists"):
        method("cam", needs="gradients")(lambda e: e)
    with pytest.raises(ValueError, match="needs='magic'"):
        method("new", needs="magic")
    with pytest.raises(ValueError, match="complete='most'"):
        method("new", needs="gradients", complete="most")
    with pytest.raises(ValueError, match="method='grad'"):
        find("grad")
    with pytest.raises(ValueError, match="no sum to compare"):
        CAM(gap_network(), "layercam").completeness(np.zeros((1, 12, 10, 3)))
