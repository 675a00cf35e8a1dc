"""Retrieval as Keras metrics: each batch its own gallery, equal to the exact functions on it."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_metric import metrics

FUNCTIONS = {
    "recall": (metrics.RecallAtK, metrics.recall_at_k, {"k": 3}),
    "precision": (metrics.PrecisionAtK, metrics.precision_at_k, {"k": 3}),
    "map": (metrics.MAPAtK, metrics.map_at_k, {"k": 4}),
    "ndcg": (metrics.NDCGAtK, metrics.ndcg_at_k, {"k": 4}),
    "map_at_r": (metrics.MAPAtR, metrics.map_at_r, {}),
    "r_precision": (metrics.RPrecision, metrics.r_precision, {}),
    "mrr": (metrics.MeanReciprocalRank, metrics.mean_reciprocal_rank, {}),
}
EVERY = pytest.mark.parametrize(("kind", "function", "options"), FUNCTIONS.values(), ids=FUNCTIONS)


def batch(rng, size=12, classes=5):
    labels = rng.integers(classes, size=size) + 2**30
    return labels, rng.normal(size=(size, 5)).astype("float32")


@EVERY
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_equals_the_function_on_one_batch(kind, function, options, distance, rng):
    labels, embeddings = batch(rng)
    metric = kind(**options, distance=distance)
    metric.update_state(labels, ops.convert_to_tensor(embeddings))
    expected = function(embeddings, labels, **options, distance=distance)
    np.testing.assert_allclose(float(metric.result()), expected, rtol=1e-5)


@EVERY
def test_rows_of_labels_make_companions_of_those_that_share_one(kind, function, options, rng):
    if kind is metrics.NDCGAtK:  # graded by the number of labels shared, in `retrieval` alone
        return
    rows = (rng.random((12, 5)) < 0.25).astype("int32")
    embeddings = rng.normal(size=(12, 5)).astype("float32")
    metric = kind.from_config(kind(**options, multi_label=True).get_config())
    metric.update_state(rows, ops.convert_to_tensor(embeddings))
    expected = metrics.retrieval(embeddings, rows, k=options.get("k", 1), multi_label=True)
    np.testing.assert_allclose(float(metric.result()), expected[metric.name], rtol=1e-5)


@EVERY
def test_averages_over_queries_of_all_batches(kind, function, options, rng):
    metric, values, counts = kind(**options), [], []
    for size in (12, 6):
        labels, embeddings = batch(rng, size)
        metric.update_state(labels[:, None], embeddings)
        values.append(function(embeddings, labels, **options))
        counts.append(sum((labels == label).sum() > 1 for label in labels))
    np.testing.assert_allclose(
        float(metric.result()), np.average(values, weights=counts), rtol=1e-5
    )
    metric.reset_state()
    assert float(metric.result()) == 0


@EVERY
def test_comes_back_from_its_config(kind, function, options, rng):
    labels, embeddings = batch(rng)
    metric = kind(**options, distance="manhattan", name="mine")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    metric.update_state(labels, embeddings)
    again.update_state(labels, embeddings)
    assert again.name == "mine"
    assert float(again.result()) == float(metric.result()) != 0


@EVERY
@pytest.mark.parametrize(
    "embeddings",
    [np.ones((6, 3)), np.full((6, 3), np.nan), np.zeros((6, 3)), np.full((6, 3), 1e30)],
    ids=["collapsed", "nan", "zero", "huge"],
)
def test_a_broken_embedding_scores_badly_not_by_luck(kind, function, options, embeddings):
    metric = kind(**options)
    metric.update_state(np.repeat([0, 1, 2], 2), embeddings.astype("float32"))
    worst = 1 / 5 if kind is metrics.MeanReciprocalRank else 0
    assert float(metric.result()) <= worst + 1e-6


@EVERY
def test_nothing_to_find_leaves_the_value_alone(kind, function, options):
    metric = kind(**options)
    metric.update_state(np.arange(6), np.eye(6, dtype="float32"))
    metric.update_state(np.array([3]), np.eye(1, dtype="float32"))
    assert float(metric.result()) == 0
    metric.update_state(np.repeat([1, 2, 3], 2), np.eye(6, dtype="float32")[[0, 0, 1, 1, 2, 2]])
    assert float(metric.result()) == pytest.approx(1 / 3 if kind is metrics.PrecisionAtK else 1)


def test_weights_weigh_queries():
    labels, points = np.repeat([1, 2, 3], 2), np.float32([[0], [1], [2.5], [9], [20], [21]])
    weights = np.array([1, 0, 2, 5.0, 1, 1])
    metric = metrics.RecallAtK(1)
    metric.update_state(labels, points, sample_weight=weights)
    per_query = metrics.retrieval(points, labels, k=1).per_query["recall@1"]
    assert set(per_query) == {0, 1}
    assert float(metric.result()) == pytest.approx(np.average(per_query, weights=weights))


@pytest.mark.parametrize("dtype", ["float32", "mixed_bfloat16"])
def test_in_compile_labels_stay_exact(dtype, rng):
    labels = np.repeat(2**24 + np.arange(4), 2)
    points = np.repeat(np.arange(4.0), 2)[:, None] * 3 + np.tile([0, 1.0], 4)[:, None]
    identity = keras.layers.Dense(1, kernel_initializer="ones", dtype=dtype)
    net = keras.Sequential([keras.Input((1,)), identity])
    net.compile(loss="mse", metrics=[metrics.RecallAtK(1), metrics.RPrecision()])
    logs = net.evaluate(points, labels, batch_size=8, verbose=0, return_dict=True)
    assert logs["recall@1"] == logs["r_precision"] == 1


@pytest.mark.parametrize("k", [0, -1, 1.5, True])
def test_refuses_a_k_that_is_not_a_rank(k):
    with pytest.raises(ValueError, match=r"Expected: an integer from 1 on. Received"):
        metrics.RecallAtK(k)
