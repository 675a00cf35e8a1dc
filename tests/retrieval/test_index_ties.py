"""A distance depends on its query and its record alone: not on order, number or neighbours."""

import numpy as np
import pytest

from keras_metric.retrieval import Calibration, Index
from keras_metric.retrieval.metric import NAMES

pytest.importorskip("faiss")


def far_apart(queries, points, distance):
    """In float64, from differences."""
    queries, points = queries.astype("float64"), points.astype("float64")
    if distance == "cosine":
        queries = queries / np.linalg.norm(queries, axis=1, keepdims=True)
        points = points / np.linalg.norm(points, axis=1, keepdims=True)
    squares = ((queries[:, None] - points[None]) ** 2).sum(-1)
    return {"cosine": squares / 2, "euclidean": np.sqrt(squares)}.get(distance, squares)


@pytest.mark.parametrize("distance", NAMES)
def test_equal_records_are_equally_far_and_come_in_the_order_of_their_ids(distance, rng):
    points = np.repeat(rng.normal(size=(7, 33)), 40, axis=0).astype("float32")
    points = points[rng.permutation(len(points))]
    index = Index(distance=distance)
    index.add(points)
    found = index.search(points[:30], k=45)
    for row in range(30):
        same = np.flatnonzero((points == points[row]).all(axis=1))
        assert found.ids[row, :40].tolist() == same.tolist()
        assert set(found.distances[row, :40]) == {0}
        assert len(set(found.distances[row, 40:].tolist())) == 1


@pytest.mark.diagonal
@pytest.mark.parametrize("kind", ["exact", "ivf", "hnsw"])
@pytest.mark.parametrize("distance", NAMES)
def test_far_from_the_origin_distances_are_those_of_float64(new_kind, distance, kind, rng):
    """Norms of 455 and D = 2048: products of float32 would be off by as much as the distances."""
    center = rng.normal(size=2048) * 10
    points = (center + rng.normal(size=(300, 2048)) * 0.002).astype("float32")
    queries = (points[:64] + rng.normal(size=(64, 2048)) * 0.001).astype("float32")
    index = new_kind(kind, distance)
    index.add(points)
    found = index.search(queries, k=300 if kind != "exact" else 5)
    apart = far_apart(queries, points, distance)
    expected = np.take_along_axis(apart, found.ids, axis=1)
    np.testing.assert_allclose(
        found.distances, expected, rtol=1e-3 if distance == "cosine" else 1e-6
    )
    if kind == "exact" and distance != "cosine":
        np.testing.assert_array_equal(found.ids, np.argsort(apart, axis=1)[:, :5])


@pytest.fixture
def new_kind():
    options = {"ivf": {"nlist": 2, "nprobe": 2}, "hnsw": {"ef_search": 400}}
    return lambda kind, distance: Index(distance=distance, kind=kind, options=options.get(kind))


@pytest.mark.parametrize("distance", NAMES)
def test_the_verdict_does_not_depend_on_how_many_queries_come_together(distance, rng):
    points = rng.normal(size=(100, 2048)).astype("float32") * 10
    queries = points[:64] + rng.normal(size=(64, 2048)).astype("float32") * 0.3
    index = Index(distance=distance)
    index.add(points, np.arange(100))
    whole = index.search(queries, k=3)
    threshold = float(np.median(whole.distances[:, 0]))
    index.calibration = Calibration(threshold, distance, "far", 0.1, {}, {}, 0.95, None, 1, 1)
    verdicts = index.match(queries, k=3).labels
    assert 20 < sum(label is not None for label in verdicts) < 44
    for size in (1, 7, 25):
        parts = [queries[start : start + size] for start in range(0, 64, size)]
        found = [index.search(part, k=3) for part in parts]
        np.testing.assert_array_equal(np.concatenate([x.ids for x in found]), whole.ids)
        np.testing.assert_array_equal(np.concatenate([x.distances for x in found]), whole.distances)
        again = np.concatenate([index.match(part, k=3).labels for part in parts])
        np.testing.assert_array_equal(again, verdicts)


def test_the_order_of_records_does_not_matter(rng):
    points = rng.normal(size=(500, 24)).astype("float32")
    order = rng.permutation(500)
    first, second = Index(distance="euclidean"), Index(distance="euclidean")
    first.add(points, np.arange(500))
    second.add(points[order], order)
    found, other = first.search(points[:40], k=30), second.search(points[:40], k=30)
    np.testing.assert_array_equal(found.labels, other.labels)
    np.testing.assert_array_equal(found.distances, other.distances)


def test_ties_under_a_filter_and_after_removal(rng):
    points = np.repeat(rng.normal(size=(1, 8)), 60, axis=0).astype("float32")
    index = Index(distance="cosine")
    ids = index.add(points, np.arange(60) % 2)
    index.remove(ids[:10])
    assert index.search(points[:1], k=5, filter={"label": 1}).ids[0].tolist() == [
        11,
        13,
        15,
        17,
        19,
    ]
    assert index.search(points[:1], k=100).ids[0, :51].tolist() == [*range(10, 60), -1]
