import keras
import numpy as np
import pytest
from keras import ops

from keras_metric import distances


def loops(name, a, b):
    a, b = a.astype("float64"), b.astype("float64")
    cosine = a @ b / np.sqrt((a @ a) * (b @ b))
    return {
        "angular": np.arccos(np.clip(cosine, -1, 1)) / np.pi,
        "cosine": 1 - cosine,
        "euclidean": np.sqrt(sum((a - b) ** 2)),
        "manhattan": sum(abs(a - b)),
        "negative_dot": -sum(a * b),
        "signal_to_noise": np.var(a - b) / np.var(a),
        "squared_euclidean": sum((a - b) ** 2),
    }[name]


def numbers(x):
    return np.array(x.tolist() if hasattr(x, "tolist") else x)


@pytest.fixture
def rows(rng):
    return rng.normal(size=(5, 6)).astype("float32"), rng.normal(size=(7, 6)).astype("float32")


@pytest.mark.parametrize("name", distances.names())
def test_equals_loops(name, rows):
    anchors, candidates = rows
    expected = [[loops(name, a, c) for c in candidates] for a in anchors]
    np.testing.assert_allclose(
        numbers(distances.get(name)(anchors, candidates)), expected, rtol=1e-4, atol=1e-6
    )
    paired = numbers(distances.paired(name)(anchors, candidates[:5]))
    np.testing.assert_allclose(paired, np.diag(expected), rtol=1e-5, atol=1e-7)


@pytest.mark.diagonal
@pytest.mark.parametrize("scale", [1e-25, 1, 1e25])
@pytest.mark.parametrize("name", ["euclidean", "squared_euclidean", "cosine", "angular"])
def test_ranking_orders_each_row_as_the_distance_does(name, scale, rows):
    anchors, candidates = (scale * points.astype("float64") for points in rows)
    expected = np.array([[loops(name, a, c) for c in candidates] for a in anchors])
    scores = distances.ranking(name)(anchors.astype("float32"), candidates.astype("float32"))
    np.testing.assert_array_equal(np.argsort(numbers(scores)), np.argsort(expected))


@pytest.mark.parametrize("name", sorted({*distances.names()} - {"negative_dot"}))
def test_never_negative_and_finite_anywhere(name, rows):
    anchors = np.concatenate([rows[0], rows[0][:2], np.zeros((2, 6), "float32")])
    for scale in (1e-30, 1e-12, 1, 1e12, 1e30):
        x = (anchors * np.float64(scale)).astype("float32")
        for values in (distances.get(name)(x, x), distances.paired(name)(x, x[::-1].copy())):
            assert np.isfinite(numbers(values)).all()
            assert numbers(values).min() >= 0


@pytest.mark.parametrize("name", ["euclidean", "squared_euclidean", "cosine", "angular"])
def test_paired_is_exact_near_zero(name, rng):
    a = rng.normal(size=(4, 8)).astype("float32")
    b = (a + 1e-4 * rng.normal(size=(4, 8))).astype("float32")
    tiny = [loops("euclidean", *pair) for pair in zip(unit(a), unit(b), strict=True)]
    expected = {
        "euclidean": [loops("euclidean", *pair) for pair in zip(a, b, strict=True)],
        "squared_euclidean": [loops("squared_euclidean", *pair) for pair in zip(a, b, strict=True)],
        "cosine": np.square(tiny) / 2,
        "angular": 2 * np.arcsin(np.array(tiny) / 2) / np.pi,
    }[name]
    np.testing.assert_allclose(numbers(distances.paired(name)(a, b)), expected, rtol=5e-3)
    assert numbers(distances.paired(name)(a, a)).max() == 0


def unit(x):
    x = x.astype("float64")
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_half_precision_computes_in_float32(rows):
    half = [ops.cast(x, "float16") for x in rows]
    values = distances.euclidean(*half)
    assert keras.backend.standardize_dtype(values.dtype) == "float32"


def test_zero_vectors_are_far_from_everything():
    x = np.array([[0, 0], [1, 0]], "float32")
    np.testing.assert_allclose(numbers(distances.cosine(x, x)), [[1, 1], [1, 0]])
    np.testing.assert_allclose(numbers(distances.angular(x, x)), [[0.5, 0.5], [0.5, 0]], atol=1e-6)
    np.testing.assert_allclose(numbers(distances.paired("cosine")(x, x)), [1, 0])


def test_a_callable_is_its_own_distance():
    def shifted(a, c):
        return distances.manhattan(a, c) + 1

    x = np.eye(3, dtype="float32")
    assert distances.get(shifted) is shifted
    np.testing.assert_allclose(numbers(distances.paired(shifted)(x, x[::-1].copy())), [3, 1, 3])


def test_unknown_name_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="did you mean 'cosine'"):
        distances.get("cosin")
