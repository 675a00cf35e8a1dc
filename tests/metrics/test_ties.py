"""Equal rows are equally far, and no value depends on block, order or number of rows."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_metric import distances, metrics, retrieval
from keras_metric.metrics.exact import _Grid, between

NAMES = [name for name in distances.names() if isinstance(between(*[np.eye(2)] * 2, name), _Grid)]
OTHERS = sorted({*distances.names()} - {*NAMES})  # compared on rows that differ


@pytest.mark.parametrize("distance", distances.names())
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_exact_distances_are_those_of_float64(distance, dtype, rng):
    a, c = rng.normal(size=(20, 33)).astype(dtype), rng.normal(size=(30, 33)).astype(dtype)
    a[0], c[0] = 0, 0
    found = between(a, c, distance)(np.arange(20))
    assert found.dtype == dtype or distance in OTHERS
    expected = ops.convert_to_numpy(
        distances.paired(distance)(np.repeat(a, 30, axis=0), np.tile(c, (20, 1)))
    ).reshape(20, 30)
    np.testing.assert_allclose(found, expected, rtol=1e-5, atol=5e-6)


def test_usual_distances_have_an_exact_form():
    assert {"cosine", "euclidean", "squared_euclidean", "negative_dot"} <= {*NAMES}
    assert "manhattan" in OTHERS


@pytest.mark.parametrize("scale", [1e-20, 1.0, 1e12])
def test_lengths_that_differ_widely_are_still_resolved(scale, rng):
    """One row a million times as long as the others does not make them equal."""
    x = rng.normal(size=(50, 8))
    x[0] *= 1e6
    x = (x * scale).astype("float32")
    found = between(x, x, "euclidean")(slice(None))
    differences = x.astype("float64")[:, None] - x.astype("float64")[None]
    np.testing.assert_allclose(found, np.sqrt((differences**2).sum(-1)), rtol=1e-6)


def test_float64_rows_keep_their_digits(rng):
    x = 1 + rng.normal(size=(40, 6)) * 1e-7
    found = between(x, x, "euclidean")(slice(None))
    expected = np.sqrt(((x[:, None] - x[None]) ** 2).sum(-1))
    np.testing.assert_allclose(found, expected, rtol=1e-8)


@pytest.mark.parametrize("distance", distances.names())
def test_a_collapsed_set_scores_nothing(distance, rng):
    size = 29
    point = rng.normal(size=(1, 24)).astype("float32")
    labels = np.arange(size) % 4
    found = metrics.retrieval(np.repeat(point, size, axis=0), labels, k=1, distance=distance)
    assert found["recall@1"] == found["map@r"] == 0
    chosen = np.eye(4)[labels]
    many = metrics.retrieval(
        np.repeat(point, size, axis=0), chosen, k=1, distance=distance, multi_label=True
    )
    assert many["recall@1"] == 0


@pytest.mark.parametrize("distance", NAMES)
def test_copies_of_rows_under_other_labels_are_found_never_first(distance, rng):
    points = np.tile(rng.normal(size=(50, 12)).astype("float32"), (3, 1))
    labels = np.arange(150)
    labels[100:] = labels[50:100]  # a row, its copy of another label, and one of its own
    blocks = [1, 150 * 7, 150 * 64, 2**24]
    values = [
        metrics.retrieval(points, labels, k=1, distance=distance, block=block)["recall@1"]
        for block in blocks
    ]
    assert values == [0, 0, 0, 0]


@pytest.mark.parametrize("distance", NAMES)
def test_values_do_not_depend_on_block_or_order(distance, rng):
    """Points of a lattice: many distances are equal by symmetry, not because rows are."""
    points = (rng.integers(-2, 3, size=(120, 6)) / 3).astype("float32")
    labels = rng.integers(9, size=120)
    order = rng.permutation(120)
    whole = metrics.retrieval(points, labels, k=(1, 5), distance=distance)
    for block in (1, 1000, 5000):
        assert whole == metrics.retrieval(points, labels, k=(1, 5), distance=distance, block=block)
    moved = metrics.retrieval(points[order], labels[order], k=(1, 5), distance=distance)
    for name, values in whole.per_query.items():
        np.testing.assert_array_equal(values[order], moved.per_query[name])


@pytest.mark.parametrize("distance", distances.names())
def test_a_collapsed_batch_scores_nothing(distance, rng):
    metric = metrics.RecallAtK(1, distance=distance)
    metric.update_state(np.arange(29) % 4, np.repeat(rng.normal(size=(1, 37)), 29, axis=0))
    assert float(metric.result()) == 0


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_a_batch_in_another_order_scores_the_same(distance, rng):
    points = (rng.integers(-2, 3, size=(90, 300)) / 4).astype("float32")
    points[:30] = points[30:60]
    labels = rng.integers(9, size=90)
    order, values = rng.permutation(90), []
    for rows in (np.arange(90), order):
        metric = metrics.MAPAtR(distance=distance)
        metric.update_state(labels[rows], points[rows])
        values.append(float(metric.result()))
    assert values[0] == pytest.approx(values[1], rel=1e-6)
    exact = metrics.map_at_r(points, labels, distance=distance)
    assert values[0] == pytest.approx(exact, rel=1e-5)


@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_pairs_of_a_collapsed_batch_are_all_equally_far(distance, rng):
    metric = metrics.ROCAUC(distance=distance)
    metric.update_state(np.arange(53) % 4, np.repeat(rng.normal(size=(1, 40)), 53, axis=0))
    assert float(metric.result()) == pytest.approx(0.5)


def test_in_fit_a_collapsed_model_scores_nothing(rng):
    dense = keras.layers.Dense(40, kernel_initializer="zeros", bias_initializer="ones")
    model = keras.Sequential([keras.Input((5,)), dense])
    model.compile(loss=lambda y, x: ops.mean(x), metrics=[metrics.RecallAtK(1, distance="cosine")])
    logs = model.evaluate(
        rng.normal(size=(60, 5)), np.arange(60) % 3, batch_size=20, verbose=0, return_dict=True
    )
    assert logs["recall@1"] == 0


def test_open_set_and_one_shot_count_ties_against_the_model(rng):
    point = rng.normal(size=(1, 24)).astype("float32")
    copies = np.repeat(point, 61, axis=0)
    for distance in NAMES:
        rates = retrieval.open_set(
            copies, np.arange(61) % 8, copies[:4], np.arange(4), far=(0.1,), distance=distance
        )
        assert rates["rank1"] == rates["dir@0.1"] == 0
        found = metrics.one_shot_accuracy(
            copies[:20], copies, np.arange(61) % 20, distance=distance
        )
        assert found == 0
        report = metrics.verification_of_embeddings(copies, np.arange(61) % 8, distance=distance)
        assert report["roc_auc"] == pytest.approx(0.5)
