"""An approximate index says how good it is, and is right."""

import numpy as np
import pytest

from keras_metric.retrieval import Index

pytest.importorskip("faiss")


def points(count: int, seed: int):
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(0).normal(size=(1000, 16))
    found = centres[rng.integers(1000, size=count)] + 0.7 * rng.normal(size=(count, 16))
    return found.astype("float32")


@pytest.fixture(scope="module")
def vectors():
    return points(10_000, seed=1)


@pytest.mark.parametrize(
    ("kind", "options"),
    [("ivf", {"nlist": 64, "nprobe": 20}), ("hnsw", {"m": 8, "ef_search": 40}), ("ivf", {})],
)
@pytest.mark.parametrize("distance", ["euclidean", "cosine"])
def test_it_is_within_a_point_of_the_truth(kind, options, distance, vectors, tmp_path):
    index = Index(kind=kind, options=options, distance=distance)
    index.add(vectors)
    said = index.recall(k=10, sample=1000)
    exact, queries = Index(distance=distance), points(4000, seed=2)
    exact.add(vectors)
    found, truth = index.search(queries, 10).ids, exact.search(queries, 10).ids
    true = np.mean([len(np.intersect1d(a, b)) / 10 for a, b in zip(found, truth, strict=True)])
    assert 0.8 < true < 0.9999
    assert said.value == pytest.approx(true, abs=0.01)
    assert (said.k, said.sample) == (10, 1000)
    again = Index.load(index.save(tmp_path / "index"))
    assert f"recall@10 {said.value:.4f}" in repr(again)


def test_it_is_measured_anew_when_the_index_has_grown(vectors, tmp_path):
    index = Index(kind="ivf", options={"nlist": 16, "nprobe": 1}, distance="euclidean")
    index.add(vectors[:1000])
    index.save(tmp_path / "index")
    first = repr(index)
    index.add(vectors[1000:1100])
    index.save(tmp_path / "index")
    assert repr(index).partition("recall")[2] == first.partition("recall")[2]
    index.add(vectors[1100:3000])
    index.save(tmp_path / "index")
    assert repr(index).partition("recall")[2] != first.partition("recall")[2]


def test_an_exact_index_finds_everything(vectors):
    index = Index()
    index.add(vectors[:500])
    assert index.recall(k=5).value == 1


def test_refusals(vectors):
    with pytest.raises(ValueError, match="nothing to find. Expected.*Received: an empty one"):
        Index(kind="hnsw").recall()
    index = Index(kind="hnsw")
    index.add(vectors[:11])
    with pytest.raises(ValueError, match="Expected: an index of more than k.*k=10, 11 vectors"):
        index.recall(k=10)
