"""Query expansion and k-reciprocal re-ranking: formulas in loops, and how an index uses them."""

import numpy as np
import pytest

from keras_metric.retrieval import Index, Refinement, expanded, k_reciprocal, matched
from keras_metric.retrieval.found import Found

pytest.importorskip("faiss")


def loops_expanded(queries, neighbors, alpha):
    found = []
    for query, near in zip(queries, neighbors, strict=True):
        total, mass = query.copy(), 1.0
        for vector in near:
            if not vector.any():
                continue
            cosine = query @ vector / (np.linalg.norm(query) * np.linalg.norm(vector))
            weight = max(0.0, cosine) ** alpha
            total, mass = total + weight * vector, mass + weight
        found.append(total / mass)
    return np.array(found)


def loops_k_reciprocal(distances, queries, k1, k2, weight):
    d, count = distances / distances.max(), len(distances)

    def near(p, k):
        others = sorted((g for g in range(count) if g != p), key=lambda g: (d[p, g], g))
        return {p, *others[:k]}

    def reciprocal(p, k):
        return {g for g in near(p, k) if p in near(g, k)}

    shares = np.zeros((count, count))
    for p in range(count):
        own = reciprocal(p, k1)
        members = set(own)
        for q in own:
            half = reciprocal(q, k1 // 2)
            if 3 * len(own & half) >= 2 * len(half):
                members |= half
        for g in members:
            shares[p, g] = np.exp(-d[p, g])
        shares[p] /= shares[p].sum()
    means = np.array([np.mean([shares[g] for g in near(p, k2 - 1)], axis=0) for p in range(count)])
    found = np.empty((queries, count - queries))
    for p in range(queries):
        for g in range(queries, count):
            smaller = sum(min(a, b) for a, b in zip(means[p], means[g], strict=True))
            larger = sum(max(a, b) for a, b in zip(means[p], means[g], strict=True))
            jaccard = 1 - smaller / larger
            found[p, g - queries] = (1 - weight) * jaccard + weight * d[p, g]
    return found


def squared(x):
    return np.square(x[:, None] - x[None]).sum(-1)


@pytest.fixture
def clusters(rng):
    """Embeddings (40, 6) of five classes, close to one another, and their labels."""
    labels = np.arange(40) % 5
    return rng.normal(size=(5, 6))[labels] + 0.8 * rng.normal(size=(40, 6)), labels


@pytest.mark.parametrize("alpha", [0, 1, 3.5])
def test_an_expanded_query_is_that_of_loops(rng, alpha):
    queries, neighbors = rng.normal(size=(7, 5)), rng.normal(size=(7, 4, 5))
    neighbors[2, 1] = 0
    found = expanded(queries, neighbors, alpha)
    np.testing.assert_allclose(found, loops_expanded(queries, neighbors, alpha), rtol=1e-12)
    assert found.dtype == np.float64


@pytest.mark.parametrize(("k1", "k2"), [(6, 3), (20, 6), (7, 1), (60, 30)])
def test_reranked_distances_are_those_of_loops(clusters, k1, k2):
    distances = squared(clusters[0])
    found = k_reciprocal(distances, 4, k1=k1, k2=k2, weight=0.3)
    np.testing.assert_allclose(found, loops_k_reciprocal(distances, 4, k1, k2, 0.3), rtol=1e-10)


def test_a_batch_is_its_matrices_and_the_unit_has_no_influence(clusters):
    parts = [squared(clusters[0][:20]), squared(clusters[0][20:])]
    together = k_reciprocal(np.stack(parts), 2, k1=5)
    for part, found in zip(parts, together, strict=True):
        np.testing.assert_allclose(found, k_reciprocal(1000 * part, 2, k1=5), rtol=1e-12)


def test_an_item_is_its_own_nearest_among_copies_of_it(clusters):
    x = clusters[0][:16]
    x[8:12] = x[2]
    wanted = loops_k_reciprocal(squared(x), 1, 3, 2, 0.3)
    np.testing.assert_allclose(k_reciprocal(squared(x), k1=3, k2=2), wanted, rtol=1e-10)


def test_a_copy_of_the_query_stays_first():
    x = np.random.default_rng(3).normal(size=(12, 4))
    x[5] = x[0]
    assert k_reciprocal(squared(x), k1=4, k2=2)[0].argmin() == 4
    assert not np.isnan(k_reciprocal(np.zeros((5, 5)))).any()


@pytest.mark.parametrize("distance", ["cosine", "euclidean"])
@pytest.mark.parametrize("refine", [Refinement(expand=3), Refinement(rerank=15, k1=5, k2=3)])
def test_an_index_orders_by_the_formulas(clusters, distance, refine):
    vectors, labels = clusters
    index = Index(distance=distance)
    ids = index.add(vectors.astype(np.float32), labels)
    stored = index.records()[1].astype(np.float64)
    found = index.search(vectors[:6], 8, refine=refine, exclude=ids[:6])
    for row, query in enumerate(stored[:6]):
        others = np.delete(np.arange(len(stored)), row)
        apart = np.square(stored[others] - query).sum(1)
        near = others[np.argsort(apart)]
        if refine.expand:
            query = loops_expanded(query[None], stored[near[None, : refine.expand]], refine.alpha)
            query = query[0] / (np.linalg.norm(query) if distance == "cosine" else 1)
            near = others[np.argsort(np.square(stored[others] - query).sum(1))]
        if refine.rerank:
            pool = near[: refine.rerank]
            between = squared(np.concatenate([query[None], stored[pool]]))
            near = pool[np.argsort(loops_k_reciprocal(between, 1, 5, 3, refine.weight)[0])]
        np.testing.assert_array_equal(found.ids[row], near[:8])
        own = np.square(stored[near[:8]] - stored[row]).sum(1)
        wanted = own / 2 if distance == "cosine" else np.sqrt(own)
        np.testing.assert_allclose(found.distances[row], wanted, atol=1e-5)
        np.testing.assert_array_equal(found.labels[row], labels[near[:8]])


def test_answers_depend_on_no_other_query_and_blocks_change_nothing(clusters, monkeypatch):
    index = Index()
    index.add(clusters[0].astype(np.float32), clusters[1])
    refine = Refinement(expand=2, rerank=10, k1=4)
    whole = index.search(clusters[0], 5, refine=refine)
    monkeypatch.setattr("keras_metric.retrieval.refinement.BLOCK", 500)
    for one, other in zip(whole, index.search(clusters[0], 5, refine=refine), strict=True):
        np.testing.assert_array_equal(one, other)


def test_fewer_records_than_asked_for_and_none(clusters):
    refine = Refinement(expand=3, rerank=30)
    assert (Index().search(clusters[0], 3, refine=refine).ids == -1).all()
    index = Index()
    index.add(clusters[0][:4].astype(np.float32), ["a", "a", "b", "b"])
    found = index.search(clusters[0][:2], 6, {"label": "a"}, refine=refine, exclude=[0, 99])
    assert [sorted(row) for row in found.ids.tolist()] == [[-1] * 5 + [1], [-1] * 4 + [0, 1]]
    assert np.isinf(found.distances[found.ids < 0]).all()


def test_it_finds_more_of_the_class_in_real_digits():
    from zoo.datasets.sources import digits

    data = digits.load()
    vectors = data.images.reshape(len(data.labels), -1)[:300].astype(np.float32)
    labels = data.labels[:300]
    index = Index(distance="euclidean")
    ids = index.add(vectors, labels)
    share = {}
    for name, refine in {
        "plain": None,
        "expanded": Refinement(expand=3),
        "reranked": Refinement(rerank=60),
    }.items():
        found = index.search(vectors, 25, refine=refine, exclude=ids)
        share[name] = (found.labels == labels[:, None]).mean()
    assert share["expanded"] > share["plain"] + 0.01
    assert share["reranked"] > share["plain"] + 0.01


def test_weights_of_a_vote_do_not_need_sorted_distances():
    order = np.array([[2, 0, 1]])
    found = Found(
        order,
        np.array([[0.3, 0.1, 0.2]], np.float32),
        np.array([["c", "a", "b"]], object),
        np.array([[{}, {}, {}]], object),
    )
    answer = matched(found, "weighted")
    assert answer.labels[0] == "a"
    assert answer.shares[0] == pytest.approx(2 / 3)


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (lambda: Refinement(expand=-1), "expand=-1"),
        (lambda: Refinement(rerank=1), "rerank=1"),
        (lambda: Refinement(weight=2), "weight=2"),
        (lambda: Refinement(k1=0), "k1=0"),
        (lambda: Refinement(alpha=-1), "alpha=-1"),
        (lambda: expanded(np.ones((2, 3)), np.ones((2, 3))), r"\(2, K, 3\). Received: \(2, 3\)"),
        (lambda: expanded(np.ones((2, 3)), np.ones((2, 1, 4))), "Received: 3 and 4"),
        (lambda: k_reciprocal(np.ones((2, 3))), r"Received: \(2, 3\)"),
        (lambda: k_reciprocal(np.eye(3), 3), "queries=3"),
        (lambda: k_reciprocal(-np.eye(3)), "negative"),
        (lambda: k_reciprocal(np.full((3, 3), np.nan)), "NaN"),
        (lambda: Index().search(np.ones((2, 3)), 1, exclude=[1]), r"Received: shape \(1,\)"),
    ],
)  # fmt: skip
def test_what_cannot_be_refined_is_refused(wrong, words):
    with pytest.raises(ValueError, match=words):
        wrong()
