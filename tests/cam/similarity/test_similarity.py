"""Shares of positions in a similarity: against plain loops in float64, and their sums."""

import keras
import numpy as np
import pytest
from keras import layers, ops

from keras_metric.cam import SimilarityCAM
from keras_metric.cam.network.examples import example_inputs
from keras_metric.cam.rendering import interpolation, spreading

SIZE, GRID = (12, 10), (6, 5)


@pytest.fixture
def images(rng):
    return [rng.normal(size=(2, *SIZE, 3)).astype("float32") for _ in range(3)]


def encoder(*tail):
    x = keras.Input((*SIZE, 3))
    h = layers.Conv2D(7, 2, strides=2, activation="relu", name="last")(x)
    for step in tail:
        h = step(h)
    return keras.Model(x, h)


def pooled(*tail):
    return encoder(layers.GlobalAveragePooling2D(), *tail)


def projected(*tail):
    return pooled(layers.Dense(5, bias_initializer=keras.initializers.RandomNormal(seed=1)), *tail)


ENCODERS = {
    "pooled": pooled,
    "projected": projected,
    "unit length": lambda: projected(layers.UnitNormalization()),
}


def vectors(model, images):
    """Vectors of all positions `(B, N, D)` in float64: activation, then the projection if any."""
    inner = keras.Model(model.input, model.get_layer("last").output)
    f = ops.convert_to_numpy(inner(images)).astype("float64").reshape(len(images), -1, 7)
    dense = [layer for layer in model.layers if isinstance(layer, layers.Dense)]
    if not dense:
        return f
    kernel, bias = (ops.convert_to_numpy(w).astype("float64") for w in dense[0].weights)
    return f @ kernel + bias


def loops(similarity, unit, u, v):
    """Shares of the positions of one image, by the definition, and the similarity."""
    e, other = u.mean(0), v.mean(0)
    if unit or similarity == "cosine":
        u, e = u / np.linalg.norm(e), e / np.linalg.norm(e)
        other = other / np.linalg.norm(other)
    total = {"squared_l2": np.sum((e - other) ** 2)}.get(similarity, e @ other)
    shares = np.zeros(len(u))
    for i in range(len(u)):
        if similarity == "squared_l2":
            shares[i] = (u[i] - other) @ (e - other) / len(u)
        else:
            shares[i] = u[i] @ other / len(u)
    return shares.reshape(GRID), total


@pytest.mark.diagonal
@pytest.mark.parametrize("similarity", ["cosine", "dot", "squared_l2"])
@pytest.mark.parametrize("kind", ENCODERS)
def test_shares_equal_loops_and_add_up(kind, similarity, images):
    model = ENCODERS[kind]()
    a, b, _ = images
    found = SimilarityCAM(model, similarity=similarity)(a, b, raw=True)
    assert found.exact
    u, v = vectors(model, a), vectors(model, b)
    for n in range(2):
        one, total = loops(similarity, kind == "unit length", u[n], v[n])
        two, _ = loops(similarity, kind == "unit length", v[n], u[n])
        np.testing.assert_allclose(found.first[n], one, atol=1e-5)
        np.testing.assert_allclose(found.second[n], two, atol=1e-5)
        np.testing.assert_allclose(found.similarity[n], total, atol=1e-5)
        np.testing.assert_allclose(found.first[n].sum(), total, atol=1e-5)


@pytest.mark.filterwarnings("ignore:The answers of .* look like probabilities")  # the examples' do
@pytest.mark.parametrize("last", [layers.UnitNormalization, layers.Identity])
def test_vectors_that_happen_to_have_unit_length_are_no_scaling(last, images):
    model = projected(last())
    inner = keras.Model(model.input, model.layers[-3].output)
    means = ops.convert_to_numpy(inner(example_inputs(model)))
    kernel = np.linalg.pinv(means) @ np.eye(2, 5)  # the examples' vectors: length 1
    model.layers[-2].set_weights([kernel, np.zeros(5)])
    a, b, _ = images
    e, other = (ops.convert_to_numpy(model(x)) for x in (a, b))
    found = SimilarityCAM(model, similarity="dot")(a, b, raw=True)
    assert found.exact
    np.testing.assert_allclose(found.first.sum((1, 2)), (e * other).sum(-1), atol=1e-5)


def test_similarity_is_that_of_the_model(images):
    model = projected(layers.UnitNormalization())
    a, b, _ = images
    e, other = (ops.convert_to_numpy(model(x)) for x in (a, b))
    found = SimilarityCAM(model, similarity="squared_l2")(a, b)
    np.testing.assert_allclose(found.similarity, ((e - other) ** 2).sum(-1), atol=1e-5)


def test_sums_stay_in_the_image_size(images):
    a, b, _ = images
    found = SimilarityCAM(projected())(a, b)
    assert found.first.shape == (2, *SIZE)
    np.testing.assert_allclose(found.first.sum((1, 2)), found.similarity, atol=1e-5)
    np.testing.assert_allclose(found.second.sum((1, 2)), found.similarity, atol=1e-5)


@pytest.mark.parametrize("similarity", ["cosine", "squared_l2"])
def test_triplet_maps_add_up_to_the_gap(similarity, images):
    a, p, n = images
    cam = SimilarityCAM(projected(), similarity=similarity)
    found = cam.triplet(a, p, n, raw=True)
    near, far = cam(a, p, raw=True), cam(a, n, raw=True)
    sign = -1 if similarity == "squared_l2" else 1
    np.testing.assert_allclose(found.gap, sign * (near.similarity - far.similarity), atol=1e-5)
    np.testing.assert_allclose(found.anchor.sum((1, 2)), found.gap, atol=1e-5)
    np.testing.assert_allclose(found.positive, near.second, atol=1e-5)
    np.testing.assert_allclose(found.negative, far.second, atol=1e-5)


def test_points_add_up_to_the_rows_of_shares(images):
    a, b, _ = images
    cam = SimilarityCAM(projected())
    pairs = cam.points(a, b)
    assert pairs.shape == (2, *GRID, *GRID)
    found = cam(a, b, raw=True)
    np.testing.assert_allclose(pairs.sum((3, 4)), found.first, atol=1e-5)
    np.testing.assert_allclose(pairs.sum((1, 2)), found.second, atol=1e-5)
    np.testing.assert_allclose(cam.points(a, b, at=(5, 9)), pairs[:, 2, 4], atol=1e-6)


def test_an_image_against_itself_is_not_blank(images):
    found = SimilarityCAM(projected())(images[0], images[0], raw=True)
    np.testing.assert_allclose(found.similarity, 1.0, atol=1e-6)
    assert np.abs(found.first).max() > 1e-3


def test_other_heads_are_integrated_and_say_so(images):
    model = projected(layers.Activation("tanh"), layers.Dense(4))
    a, b, _ = images
    coarse, fine = (SimilarityCAM(model, steps=n)(a, b, raw=True) for n in (1, 8))
    assert not fine.exact
    error = [np.abs(m.first.sum((1, 2)) - m.similarity).max() for m in (coarse, fine)]
    assert error[1] < 5e-3
    assert error[1] < error[0]
    with pytest.raises(ValueError, match="not linear"):
        SimilarityCAM(model).points(a, b)


def test_integration_of_a_linear_head_is_the_exact_share(images):
    """Flattening is linear, though no mean: one step gives what the gradient gives."""
    model = encoder(layers.Flatten(), layers.Dense(4, use_bias=False))
    a, b, _ = images
    found = SimilarityCAM(model, similarity="dot", steps=1)(a, b, raw=True)
    assert not found.exact
    np.testing.assert_allclose(found.first.sum((1, 2)), found.similarity, rtol=1e-4)


def test_images_of_another_size_can_be_compared(rng):
    x = keras.Input((None, None, 3))
    h = layers.Conv2D(7, 2, strides=2, activation="relu")(x)
    model = keras.Model(x, layers.Dense(4)(layers.GlobalAveragePooling2D()(h)))
    a, b = (rng.normal(size=(2, *size, 3)).astype("float32") for size in ((8, 6), (4, 10)))
    found = SimilarityCAM(model)(a, b)
    assert found.first.shape == (2, 8, 6)
    assert found.second.shape == (2, 4, 10)
    np.testing.assert_allclose(found.second.sum((1, 2)), found.similarity, atol=1e-5)


def test_bad_requests_are_refused(images):
    a, b, _ = images
    with pytest.raises(ValueError, match="Received: similarity='euclid'"):
        SimilarityCAM(pooled(), similarity="euclid")
    with pytest.raises(ValueError, match=r"lengths \[2, 1\]"):
        SimilarityCAM(pooled())(a, b[:1])
    with pytest.raises(ValueError, match=r"at=\(12, 0\)"):
        SimilarityCAM(pooled()).points(a, b, at=(12, 0))


@pytest.mark.diagonal
@pytest.mark.parametrize("similarity", ["cosine", "squared_l2"])
@pytest.mark.parametrize("size", [(23, 11), (24, 20), (5, 24), (11, 7)])
def test_sums_stay_at_sizes_that_the_grid_does_not_divide(size, similarity, rng):
    """Among them a grid with more cells than the image has pixels along an axis."""
    x = keras.Input((*size, 3))
    grown = layers.UpSampling2D((1, 2))(x)
    h = layers.Conv2D(7, (3, 2), strides=(2, 1), activation="relu")(grown)
    model = keras.Model(x, layers.Dense(4)(layers.GlobalAveragePooling2D()(h)))
    a, b, c = rng.normal(size=(3, 2, *size, 3)).astype("float32")
    cam = SimilarityCAM(model, similarity=similarity)
    found = cam(a, b)
    assert found.exact
    assert found.first.shape == (2, *size)
    np.testing.assert_allclose(found.first.sum((1, 2)), found.similarity, atol=2e-6)
    np.testing.assert_allclose(found.second.sum((1, 2)), found.similarity, atol=2e-6)
    gap = cam.triplet(a, b, c)
    np.testing.assert_allclose(gap.anchor.sum((1, 2)), gap.gap, atol=2e-6)


@pytest.mark.parametrize(("old", "new"), [(5, 24), (11, 24), (22, 24), (6, 12), (7, 3), (4, 4)])
def test_spreading_keeps_sums_and_is_the_interpolation_where_it_divides(old, new):
    weights = spreading(old, new)
    np.testing.assert_allclose(weights.sum(1), 1, atol=1e-6)
    assert weights.min() >= 0
    if new % old == 0:
        np.testing.assert_allclose(weights, interpolation(old, new) * old / new, atol=1e-6)


def test_a_pair_with_an_image_that_is_not_finite_leaves_the_others(images):
    a, b, _ = images
    spoiled = a.copy()
    spoiled[0] = np.nan
    cam = SimilarityCAM(projected())
    np.testing.assert_allclose(cam(spoiled, b).first[1], cam(a, b).first[1], atol=1e-6)


def test_channels_first_images_are_compared_where_they_are(images):
    model = projected()
    x = keras.Input((3, *SIZE))
    turned = keras.Model(x, model(layers.Permute((2, 3, 1))(x)))
    a, b, _ = images
    found = SimilarityCAM(turned)(a.transpose(0, 3, 1, 2), b.transpose(0, 3, 1, 2))
    np.testing.assert_allclose(found.first, SimilarityCAM(model)(a, b).first, atol=1e-6)
