"""Indexes that store less: principal components, a byte a number, a bit a number."""

import json

import numpy as np
import pytest

from keras_metric.retrieval import PCA, Index, Refinement

pytest.importorskip("faiss")
KINDS = ("int8", "binary")


@pytest.fixture
def vectors(rng):
    """(300, 12) float32, with correlated columns and a mean that is not zero."""
    return (rng.normal(size=(300, 12)) @ rng.normal(size=(12, 12)) + 2).astype(np.float32)


def decoded(vectors, kind, distance):
    """What the codes stand for, a number at a time."""
    found = []
    for vector in vectors.astype(np.float64):
        if distance == "cosine":
            vector = vector / max(np.linalg.norm(vector), 1e-300)
        peak, mean = max(map(abs, vector)), sum(map(abs, vector)) / len(vector)
        if kind == "int8":
            coded = [round(127 * x / peak) * peak / 127 if peak else 0.0 for x in vector]
        else:
            coded = [mean if x > 0 else -mean for x in vector]
        length = np.linalg.norm(coded) if distance == "cosine" else 1
        found.append(np.array(coded) / max(length, 1e-300))
    return np.array(found)


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("kind", KINDS)
def test_it_finds_the_nearest_of_what_is_stored(vectors, kind, distance, monkeypatch):
    monkeypatch.setattr("keras_metric.retrieval.engines.compressed.BLOCK", 12 * 70)
    vectors = vectors - 2
    index = Index(kind=kind, distance=distance)
    index.add(vectors[:100], np.arange(100))
    index.add(vectors[100:])
    stored = decoded(vectors, kind, distance)
    np.testing.assert_allclose(index.records()[1], stored, atol=2e-6)
    queries = vectors[:20].astype(np.float64)
    if distance == "cosine":
        queries /= np.linalg.norm(queries, axis=1, keepdims=True)
    apart = np.square(queries[:, None] - stored).sum(-1)
    apart = apart / 2 if distance == "cosine" else np.sqrt(apart)
    found = index.search(vectors[:20], 7)
    order = np.argsort(apart, axis=1, kind="stable")[:, :7]
    np.testing.assert_allclose(
        found.distances, np.take_along_axis(apart, order, axis=1), atol=1e-5, rtol=1e-5
    )
    if kind == "int8":
        np.testing.assert_array_equal(found.ids, order)


@pytest.mark.parametrize("kind", KINDS)
def test_records_come_filtered_go_and_are_saved(vectors, kind, tmp_path):
    index = Index(kind=kind)
    index.add(vectors, np.arange(300) % 5)
    assert index.remove([0, 7]) == 2
    found = index.search(vectors[:9], 4, {"label": {1, 2}}, refine=Refinement(rerank=30))
    assert set(found.labels.ravel()) == {1, 2}
    assert 7 not in found.ids
    again = Index.load(index.save(tmp_path / "index"))
    again.add(vectors[:3])
    assert (len(again), again.kind, again.ids[-1]) == (301, kind, 302)
    for one, other in zip(
        index.search(vectors[:9], 4), again.search(vectors[:9], 4, lambda r: r["id"] < 300),
        strict=True,
    ):  # fmt: skip
        np.testing.assert_array_equal(one, other)
    empty = Index(kind=kind)
    empty.add(vectors[:1])
    empty.remove([0])
    assert (Index.load(empty.save(tmp_path / "empty")).search(vectors[:1], 2).ids == -1).all()


@pytest.mark.parametrize(("kind", "least"), [("exact", 400), ("int8", 104), ("binary", 17)])
def test_files_are_as_small_as_said(rng, kind, least, tmp_path):
    vectors = rng.normal(size=(2000, 100)).astype(np.float32)
    index = Index(kind=kind)
    index.add(vectors)
    index.save(tmp_path / "index")
    files = json.loads((tmp_path / "index" / "index.json").read_text())["files"]
    (size,) = (files[name]["bytes"] for name in ("vectors.faiss", "codes.npz") if name in files)
    assert size / 2000 == pytest.approx(least, abs=0.5)


@pytest.mark.parametrize("kind", KINDS)
def test_a_vector_of_zeros_stays_one(kind):
    index = Index(kind=kind)
    index.add(np.array([[0, 0], [1, 2]], np.float32))
    np.testing.assert_array_equal(index.records()[1][0], [0, 0])
    np.testing.assert_allclose(index.search([[1.0, 2.0]], 2).distances[0, 1], 1)


@pytest.mark.parametrize("whiten", [False, True])
def test_components_are_those_of_loops(vectors, whiten):
    pca, x = PCA.fit(vectors, 5, whiten=whiten), vectors.astype(np.float64)
    mean = sum(x) / len(x)
    covariance = sum(np.outer(row - mean, row - mean) for row in x) / len(x)
    rest, found = covariance.copy(), pca(x)
    for column in range(5):
        direction = np.ones(12)
        for _ in range(3000):  # the power method
            direction = rest @ direction
            direction /= np.linalg.norm(direction)
        variance = direction @ covariance @ direction
        rest -= variance * np.outer(direction, direction)
        wanted = (x - mean) @ direction / (np.sqrt(variance) if whiten else 1)
        sign = np.sign(wanted @ found[:, column])
        np.testing.assert_allclose(found[:, column], sign * wanted, rtol=1e-3, atol=2e-3)
    assert (pca.width, pca.components.dtype) == (5, np.float32)
    if whiten:
        np.testing.assert_allclose(np.cov(found.T, bias=True), np.eye(5), atol=1e-4)


def test_an_index_projects_records_and_queries_and_keeps_how(vectors, tmp_path):
    pca = PCA.fit(vectors[:200], 4, whiten=True)
    index, plain = Index(distance="euclidean", pca=pca), Index(distance="euclidean")
    index.add(vectors, np.arange(300))
    plain.add(pca(vectors), np.arange(300))
    again = Index.load(index.save(tmp_path / "index"))
    wanted = plain.search(pca(vectors[:9]), 3)
    for searched in (index, again):
        for one, other in zip(searched.search(vectors[:9], 3), wanted, strict=True):
            np.testing.assert_array_equal(one, other)
    assert again.width == 4
    assert not again.keeps_distances
    with pytest.raises(ValueError, match="Received: 4 and 12"):
        again.add(vectors[:, :4])


def test_images_go_through_encoder_and_components(vectors):
    import keras

    encoder = keras.Sequential([keras.Input((2, 2, 3)), keras.layers.Flatten()])
    pca = PCA.fit(vectors, 4)
    index = Index(encoder, pca=pca)
    index.add(vectors.reshape(-1, 2, 2, 3))
    assert index.search(vectors[:5].reshape(-1, 2, 2, 3), 1).ids.ravel().tolist() == [*range(5)]
    assert index.width == 4


def test_an_index_without_components_has_no_file_of_them(vectors, tmp_path):
    index = Index()
    index.add(vectors)
    facts = json.loads((index.save(tmp_path / "index") / "index.json").read_text())
    assert sorted(facts["files"]) == ["ids.npy", "records.json", "slots.npy", "vectors.faiss"]
    assert facts["facts"]["format"] == 1
    assert Index.load(tmp_path / "index").pca is None


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda x: PCA.fit(x, 13), "at most 12"),
        (lambda x: PCA.fit(x[:4], 4), "at most 3"),
        (lambda x: PCA.fit(np.ones((5, 3)), 1), "at most 0"),
        (lambda x: PCA.fit(x, 0), "width=0"),
        (lambda x: PCA.fit(x * np.nan, 2), "NaN"),
        (lambda x: PCA.fit(x, 2)(x[:, :3]), "Received: 3 and 12"),
        (lambda x: Index(kind="int8", engine="a.db"), "kind='int8' in a.db"),
        (lambda x: Index(pca=PCA.fit(x, 2), engine="a.db"), "a PCA in a.db"),
        (lambda x: Index(kind="int4"), "int8"),
        (lambda x: Index(kind="binary", options={"m": 3}), "Received: 'm'"),
    ],
)  # fmt: skip
def test_what_cannot_be_compressed_is_refused(vectors, wrong, words):
    with pytest.raises(ValueError, match=words):
        wrong(vectors)
