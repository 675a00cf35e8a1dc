"""Retrieval over a whole set: plain loops, scikit-learn, blocks, ties, lone queries."""

import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_metric import metrics

NAMES = ("recall@1", "recall@4", "precision@4", "map@4", "ndcg@4", "map@r", "r_precision", "mrr")


def loops(apart, labels, gallery_labels, itself):
    """The measures of every query, from its sorted candidates; ties against the query."""
    rows = []
    for i, label in enumerate(labels):
        others = [j for j in range(len(gallery_labels)) if not (itself and i == j)]
        others.sort(key=lambda j: (apart[i, j], gallery_labels[j] == label))
        hits = [int(gallery_labels[j] == label) for j in others]
        r = sum(hits)
        if r == 0:
            rows.append([np.nan] * len(NAMES))
            continue
        precision = [sum(hits[: n + 1]) / (n + 1) for n in range(len(hits))]
        gains = [1 / np.log2(n + 2) for n in range(len(hits))]
        rows.append(
            [
                hits[0],
                max(hits[:4]),
                sum(hits[:4]) / 4,
                sum(p * h for p, h in zip(precision[:4], hits[:4], strict=True)) / min(4, r),
                sum(g * h for g, h in zip(gains[:4], hits[:4], strict=True)) / sum(gains[:4][:r]),
                sum(p * h for p, h in zip(precision[:r], hits[:r], strict=True)) / r,
                sum(hits[:r]) / r,
                1 / (hits.index(1) + 1),
            ]
        )
    return np.array(rows, float)


def measured(*arguments, **options):
    scores = metrics.retrieval(*arguments, k=(1, 4), **options)
    return np.stack([scores.per_query[name] for name in NAMES], axis=1)


def far_apart(a, b):
    return np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))


def cosine(a, b):
    return 1 - (a @ b.T) / np.linalg.norm(a, axis=1)[:, None] / np.linalg.norm(b, axis=1)[None]


def data(rng, size=60, classes=30):
    return rng.normal(size=(size, 6)), rng.integers(classes, size=size) + 2**53


@pytest.mark.parametrize(
    ("distance", "reference"),
    [
        ("euclidean", far_apart),
        ("squared_euclidean", far_apart),
        ("cosine", cosine),
        ("angular", cosine),
        ("manhattan", lambda a, b: np.abs(a[:, None] - b[None]).sum(-1)),
    ],
)
def test_equals_loops(distance, reference, rng):
    embeddings, labels = data(rng)
    expected = loops(reference(embeddings, embeddings), labels, labels, itself=True)
    assert np.isnan(expected[:, 0]).any()
    found = measured(embeddings, labels, distance=distance)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_equals_loops_with_a_gallery(rng):
    (queries, labels), (gallery, gallery_labels) = data(rng, 25), data(rng, 40)
    expected = loops(far_apart(queries, gallery), labels, gallery_labels, itself=False)
    assert np.isnan(expected[:, 0]).any()
    found = measured(queries, labels, gallery, gallery_labels)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(data=st.data(), size=st.integers(6, 14), block=st.integers(1, 60))
def test_equals_loops_under_ties_in_any_block(data, size, block):
    """Whole numbers in one dimension: many equal distances, and no rounding."""
    points = data.draw(st.lists(st.integers(-2, 2), min_size=size, max_size=size))
    labels = np.array(data.draw(st.lists(st.integers(0, 3), min_size=size, max_size=size)))
    if np.unique(labels).size == size:
        return
    points = np.array(points, "float64")[:, None]
    expected = loops(np.abs(points - points.T), labels, labels, itself=True)
    found = measured(points, labels, distance=whole_numbers, block=block)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def whole_numbers(a, b):
    return np.abs(np.asarray(a) - np.asarray(b).T)


def test_blocks_change_nothing(rng):
    embeddings, labels = data(rng, 500, 40)
    whole = measured(embeddings.astype("float32"), labels)
    for block in (1, 5000, 12_345):
        np.testing.assert_array_equal(
            measured(embeddings.astype("float32"), labels, block=block), whole
        )


@pytest.mark.parametrize(("scale", "far"), [(1e-25, 0), (1e25, 0), (1, 1e3), (1e25, 1e27)])
def test_scale_and_place_of_the_embeddings_do_not_matter(scale, far, rng):
    embeddings, labels = data(rng, 80)
    moved = (embeddings * scale + far).astype("float32")
    reference = (moved.astype("float64") - far) / scale
    np.testing.assert_array_equal(measured(moved, labels), measured(reference, labels))


def test_memory_is_a_few_blocks(rng):
    embeddings, labels = data(rng, 4000, 400)
    tracemalloc.start()
    metrics.retrieval(embeddings.astype("float32"), labels, k=10, block=100_000)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 4000 * 4000 * 4 / 10


def test_agrees_with_scikit_learn(rng):
    from sklearn.metrics import label_ranking_average_precision_score, ndcg_score

    (queries, labels), (gallery, gallery_labels) = data(rng, 50, 5), data(rng, 40, 5)
    nearness = -far_apart(queries, gallery)
    relevant = labels[:, None] == gallery_labels[None]
    scores = metrics.retrieval(queries, labels, gallery, gallery_labels, k=(7, 40))
    average_precision = label_ranking_average_precision_score(relevant, nearness)
    assert scores["map@40"] == pytest.approx(average_precision, rel=1e-12)
    for k in (7, 40):
        assert scores[f"ndcg@{k}"] == pytest.approx(ndcg_score(relevant, nearness, k=k), rel=1e-12)


def test_a_perfect_embedding_scores_1_and_a_collapsed_one_as_badly_as_it_can():
    labels = np.repeat(np.arange(5), 4)
    perfect = np.eye(5)[labels]
    scores = metrics.retrieval(perfect, labels, k=3)
    assert set(scores.values()) == {1.0}
    collapsed = metrics.retrieval(np.ones((20, 3), "float32") / 3, labels, k=3)
    assert collapsed.pop("mrr") == pytest.approx(1 / 17)
    assert set(collapsed.values()) == {0.0}


@pytest.mark.parametrize("distance", ["euclidean", "cosine", "manhattan"])
@pytest.mark.parametrize("size", [1, 1e-30, 1e18])
def test_a_gallery_that_is_one_point_is_a_tie(distance, size, rng):
    queries, gallery = rng.normal(size=(6, 3)) * size, np.full((9, 3), 0.25 * size)
    labels, gallery_labels = np.arange(6) % 3, np.arange(9) % 3
    arrays = queries.astype("float32"), labels, gallery.astype("float32"), gallery_labels
    scores = metrics.retrieval(*arrays, k=3, distance=distance)
    assert scores.pop("mrr") == pytest.approx(1 / 7)
    assert set(scores.values()) == {0.0}


def test_lone_queries_are_left_out_and_counted():
    points = np.array([[0.0], [1.0], [50.0], [60.0]])
    scores = metrics.retrieval(points, np.array([1, 1, 2, 3]), k=1)
    assert scores.lone == 2
    assert scores["recall@1"] == 1
    assert np.isnan(scores.per_query["mrr"]).tolist() == [False, False, True, True]


def test_the_first_match_is_found_however_far_it_is():
    points = np.concatenate([[0.0], np.arange(1, 400), [1000.0]])[:, None]
    labels = np.concatenate([[7], np.zeros(399, int), [7]])
    scores = metrics.retrieval(points, labels, k=1)
    assert scores.per_query["mrr"][0] == 1 / 400


@pytest.mark.parametrize(
    ("function", "options", "name"),
    [
        (metrics.recall_at_k, {"k": 3}, "recall@3"),
        (metrics.precision_at_k, {"k": 3}, "precision@3"),
        (metrics.map_at_k, {"k": 3}, "map@3"),
        (metrics.ndcg_at_k, {"k": 3}, "ndcg@3"),
        (metrics.map_at_r, {}, "map@r"),
        (metrics.r_precision, {}, "r_precision"),
        (metrics.mean_reciprocal_rank, {}, "mrr"),
    ],
)
def test_single_measures_equal_those_of_one_pass(function, options, name, rng):
    embeddings, labels = data(rng)
    scores = metrics.retrieval(embeddings, labels, k=3, distance="cosine")
    assert function(embeddings, labels, distance="cosine", **options) == scores[name]
    gallery, gallery_labels = data(rng)
    assert function(embeddings, labels, gallery, gallery_labels, **options) != scores[name]


POINTS, LABELS = np.arange(4.0)[:, None], np.array([0, 0, 1, 1])


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((POINTS, LABELS), {"k": 4}, r"Expected: k from 1 to 3. Received: k=4"),
        ((POINTS, LABELS), {"k": 0}, r"Expected: k from 1 to 3. Received: k=0"),
        ((POINTS, np.arange(4)), {"k": 1}, r"No query has a candidate.*Expected.*Received"),
        ((POINTS[:3], LABELS), {}, r"Received: 3 embeddings and 4 labels"),
        ((POINTS, LABELS / 2), {}, r"Expected: integers.*Received: float64"),
        ((POINTS[:, 0], LABELS), {}, r"Expected: shape \(N, D\). Received: \(4,\)"),
        ((POINTS * np.nan, LABELS), {}, r"Expected: finite.*NaN or infinity in 4 of 4"),
        ((POINTS, LABELS, POINTS), {}, r"both or neither. Received: only gallery"),
        ((POINTS, LABELS, np.ones((4, 2)), LABELS), {"k": 1}, r"equal width. Received: 1 and 2"),
        ((POINTS, LABELS), {"k": 1, "distance": "euclidian"}, r"Expected: one of.*euclidian"),
    ],
)
def test_refuses(arguments, options, words):
    with pytest.raises(ValueError, match=words):
        metrics.retrieval(*arguments, **options)
