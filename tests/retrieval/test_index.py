"""What every index does, whatever searches its vectors."""

import numpy as np
import pytest

from keras_metric import distances
from keras_metric.retrieval import Index
from keras_metric.retrieval.metric import NAMES


@pytest.fixture
def vectors(rng):
    return rng.normal(size=(200, 8)).astype("float32")


def nearest(queries, vectors, distance, k):
    apart = np.asarray(distances.get(distance)(queries, vectors))
    order = np.argsort(apart, axis=1, kind="stable")[:, :k]
    return order, np.take_along_axis(apart, order, axis=1)


@pytest.mark.parametrize("distance", NAMES)
def test_finds_the_nearest(new, vectors, rng, distance):
    index = new(distance=distance)
    assert index.add(vectors, np.arange(200) % 7).tolist() == list(range(200))
    queries = 3 * rng.normal(size=(30, 8))
    found = index.search(queries, k=5)
    ids, apart = nearest(queries.astype("float32"), vectors, distance, 5)
    np.testing.assert_array_equal(found.ids, ids)
    np.testing.assert_allclose(found.distances, apart, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(found.labels, ids % 7)
    assert found.distances.dtype == np.float32
    assert found.ids.dtype == np.int64


def test_labels_and_metadata_come_back(new, vectors):
    index = new()
    ids = index.add(
        vectors[:3], ["jay", None, 2**60], [{"year": 2024, "wild": True}, {}, {"year": 0.5}]
    )
    index.add(vectors[3:5], metadata={"camera": np.array(["a", "b"])})
    found = index.search(vectors[:5], k=1)
    assert found.ids[:, 0].tolist() == [*ids, 3, 4]
    assert found.labels[:, 0].tolist() == ["jay", None, 2**60, None, None]
    assert found.metadata[:, 0].tolist() == [
        {"year": 2024, "wild": True}, {}, {"year": 0.5}, {"camera": "a"}, {"camera": "b"},
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("filter", "rows"),
    [
        ({"label": 3}, lambda i: i % 10 == 3),
        ({"label": {3, 4}, "side": "left"}, lambda i: i % 10 in (3, 4) and i % 3 == 0),
        ({"id": range(50, 60)}, lambda i: 50 <= i < 60),
        (lambda record: record["label"] > 1 and record.get("side") == "left",
         lambda i: i % 10 > 1 and i % 3 == 0),
        ({"side": None}, lambda i: i % 3 > 0),
    ],
)  # fmt: skip
def test_a_filter_is_exact(new, vectors, filter, rows):
    index = new(distance="euclidean")
    side = [{"side": "left"} if i % 3 == 0 else {} for i in range(200)]
    index.add(vectors, np.arange(200) % 10, side)
    left = np.array([i for i in range(200) if rows(i)])
    found = index.search(vectors[:20], k=12, filter=filter)
    expected, _ = nearest(vectors[:20], vectors[left], "euclidean", 12)
    width = expected.shape[1]
    np.testing.assert_array_equal(found.ids[:, :width], left[expected])
    assert (found.ids[:, width:] == -1).all()


def test_a_filter_that_leaves_nothing(new, vectors):
    index = new()
    index.add(vectors, ["a"] * 200)
    found = index.search(vectors[:2], k=3, filter={"label": "b"})
    assert (found.ids == -1).all()
    assert np.isinf(found.distances).all()
    assert set(found.labels.ravel()) == {None}


def test_more_neighbours_than_records(new, vectors):
    index = new()
    assert (index.search(vectors[:2], k=3).ids == -1).all()
    index.add(vectors[:2], [5, 6])
    found = index.search(vectors[:1], k=4)
    assert found.ids.tolist() == [[0, 1, -1, -1]]
    assert found.labels.tolist() == [[5, 6, None, None]]
    assert np.isinf(found.distances[0, 2:]).all()


def test_ids_are_never_used_again(new, vectors, tmp_path):
    index = new(distance="euclidean")
    index.add(vectors[:150])
    assert index.remove(range(100, 150)) == 50
    assert index.remove([]) == 0
    assert index.add(vectors[:2]).tolist() == [150, 151]
    index.remove([150, 151])
    index = Index.load(index.save(tmp_path / "index"))
    assert index.add(vectors[100:150]).tolist() == list(range(152, 202))
    assert len(index) == 150
    found = index.search(vectors[100:150], k=1)
    np.testing.assert_array_equal(found.ids[:, 0], np.arange(152, 202))
    with pytest.raises(KeyError, match=r"No record has this id. Expected.*Received: \[100, 150\]"):
        index.remove([99, 100, 150])
    assert len(index) == 150


def test_almost_all_are_removed(new, vectors, tmp_path):
    index = new(distance="euclidean")
    index.add(vectors)
    index.search(vectors[:1])
    index.remove(range(197))
    for _ in range(2):
        found = index.search(vectors[:1], k=4)
        assert sorted(found.ids[0].tolist()) == [-1, 197, 198, 199]
        index = Index.load(index.save(tmp_path / "index"))
    index.remove(index.ids)
    index = Index.load(index.save(tmp_path / "index"))
    assert (len(index), index.width) == (0, 8)
    assert (index.search(vectors[:1], k=2).ids == -1).all()
    assert index.add(vectors[:1]).tolist() == [200]


def test_saved_and_loaded_it_is_the_same(new, vectors, tmp_path):
    index = new(distance="squared_euclidean")
    index.add(vectors, [f"class {i % 5}" for i in range(200)], {"n": range(200)}, model="ab" * 32)
    folder = index.save(tmp_path / "index")
    again = Index.load(folder)
    assert repr(again) == repr(index)
    assert repr(again).startswith(f"Index(200 x 8, squared_euclidean, {index.kind}")
    assert ("recall@10 1.0000" in repr(again)) == (index.kind != "exact")
    assert again.fingerprint == "ab" * 32
    for before, after in zip(index.search(vectors, 5), again.search(vectors, 5), strict=True):
        np.testing.assert_array_equal(before, after)
    chosen = {"n": {5, 6}}
    assert again.search(vectors[5:6], 1, chosen).ids == index.search(vectors[5:6], 1, chosen).ids


def test_growing_keeps_the_answers(new, rng):
    index, vectors = new(distance="euclidean"), rng.normal(size=(900, 8)).astype("float32")
    for start in (0, 10, 200):
        index.add(vectors[start : {0: 10, 10: 200, 200: 900}[start]])
        index.search(vectors[:1])
    ids, _ = nearest(vectors[:50], vectors, "euclidean", 3)
    assert (index.search(vectors[:50], 3).ids == ids).mean() > 0.97


def test_zero_vectors_are_at_one_from_everything_by_cosine(new, vectors):
    index = new(distance="cosine")
    index.add(np.concatenate([np.zeros((1, 8)), vectors[:5]]))
    found = index.search(np.concatenate([np.zeros((1, 8)), vectors[:1]]), k=6)
    np.testing.assert_array_equal(found.distances[0], 1)
    assert found.distances[1][found.ids[1] == 0] == 1


@pytest.mark.parametrize(
    ("items", "words"),
    [
        (np.full((2, 8), np.nan), "Expected: finite numbers. Received: NaN or infinity in 2 of 2"),
        (np.full((2, 8), np.inf), "Received: NaN or infinity in 2 of 2"),
        (np.zeros((2, 7)), r"another width. Expected: \(N, 8\).*Received: \(2, 7\)"),
        (np.zeros(8), r"Expected: shape \(N, D\). Received: \(8,\)"),
        (np.zeros((0, 8)), r"Received: \(0, 8\)"),
        (np.zeros((2, 4, 4, 1)), r"no encoder for images.*Received: shape \(2, 4, 4, 1\)"),
        (np.full((2, 8), 1e20), "too large to be compared. Expected: numbers up to 1e"),
    ],
)  # fmt: skip
def test_embeddings_that_cannot_be_compared_are_refused(new, vectors, items, words):
    index = new(distance="euclidean")
    index.add(vectors)
    with pytest.raises(ValueError, match=words):
        index.add(items)
    with pytest.raises(ValueError, match=words):
        index.search(items)
    assert len(index) == 200


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"labels": [1, 2]}, "Expected: an integer.* for each of 3 embeddings. Received: 2 labels"),
        ({"labels": [1, 2, 0.5]}, "Received: 0.5"),
        ({"metadata": ["a", "b", "c"]}, "for each of 3 embeddings a dictionary.*Received: 'a'"),
        ({"metadata": [{}]}, "for each of 3 embeddings a dictionary.*Received: 1"),
        ({"metadata": {"a": [1, 2]}}, "Received: {'a': 2}"),
        ({"metadata": [{"label": 1}] * 3}, "Received: 'label': 1"),
        ({"metadata": [{"a": [1]}] * 3}, "Received: 'a': .1."),
        ({"metadata": [{"a": np.nan}] * 3}, "Received: 'a': nan"),
    ],
)
def test_records_that_do_not_fit_are_refused(new, vectors, options, words):
    index = new()
    with pytest.raises(ValueError, match=words):
        index.add(vectors[:3], **options)
    assert len(index) == 0


def test_a_column_of_labels_is_taken(new, vectors):
    index = new()
    index.add(vectors[:3], np.array([[4], [5], [6]]))
    assert index.search(vectors[:3], k=1).labels.tolist() == [[4], [5], [6]]


def test_questions_that_make_no_sense_are_refused(new, vectors):
    index = new()
    index.add(vectors, metadata={"year": range(200)})
    with pytest.raises(ValueError, match="Ids are integers. Expected.*Received: float64"):
        index.remove([0.5])
    with pytest.raises(ValueError, match="Expected: an integer from 1 on. Received: k=0"):
        index.search(vectors, k=0)
    with pytest.raises(KeyError, match="Expected: one of id, label, year. .*did you mean 'year'"):
        index.search(vectors, filter={"yaer": 3})
    with pytest.raises(TypeError, match="Expected: a dictionary.* Received: 3"):
        index.search(vectors, filter=3)
