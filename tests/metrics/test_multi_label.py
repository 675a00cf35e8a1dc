"""Retrieval of samples with several labels: against loops, scikit-learn, and single labels."""

from math import log2

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from keras_metric import metrics

NAMES = ["recall@3", "precision@3", "map@3", "ndcg@3", "map@r", "r_precision", "mrr"]


def loops(apart, labels, gallery_labels, *, itself):
    """One row a query, NaN where no candidate shares a label; ties go to the fewer shared."""
    rows = []
    for q, own in enumerate(labels):
        shared = [sum(a * b for a, b in zip(own, other, strict=True)) for other in gallery_labels]
        others = [c for c in range(len(gallery_labels)) if not (itself and c == q)]
        others.sort(key=lambda c: (apart[q][c], shared[c]))
        gains = [shared[c] for c in others]
        hits = [gain > 0 for gain in gains]
        r = sum(hits)
        if not r:
            rows.append([np.nan] * len(NAMES))
            continue
        precision = [sum(hits[: i + 1]) / (i + 1) for i in range(len(hits))]
        dcg = [
            sum(gain / log2(i + 2) for i, gain in enumerate(g[:3]))
            for g in (gains, sorted(gains, reverse=True))
        ]
        found = [p * h for p, h in zip(precision, hits, strict=True)]
        rows.append(
            [
                any(hits[:3]),
                sum(hits[:3]) / 3,
                sum(found[:3]) / min(3, r),
                dcg[0] / dcg[1],
                sum(found[:r]) / r,
                sum(hits[:r]) / r,
                1 / (hits.index(True) + 1),
            ]
        )
    return np.array(rows, float)


def measured(*arguments, **options):
    scores = metrics.retrieval(*arguments, k=3, multi_label=True, **options)
    return np.stack([scores.per_query[name] for name in NAMES], axis=1)


def data(rng, size):
    return rng.normal(size=(size, 4)), (rng.random((size, 6)) < 0.2).astype(int)


def far_apart(a, b):
    return np.sqrt(((a[:, None] - b[None]) ** 2).sum(-1))


@pytest.mark.parametrize("block", [1, 70, 2**20])
def test_equals_loops(block, rng):
    x, labels = data(rng, 30)
    expected = loops(far_apart(x, x), labels, labels, itself=True)
    assert np.isnan(expected[:, 0]).any()
    np.testing.assert_allclose(measured(x, labels, block=block), expected, rtol=1e-12)


def test_equals_loops_with_a_gallery(rng):
    (x, labels), (gallery, gallery_labels) = data(rng, 15), data(rng, 25)
    expected = loops(far_apart(x, gallery), labels, gallery_labels, itself=False)
    found = measured(x, labels, gallery, gallery_labels)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


@settings(max_examples=40, deadline=None)
@given(data=st.data(), size=st.integers(5, 9))
def test_ties_count_against_the_query(data, size):
    points = np.array(data.draw(st.lists(st.integers(0, 2), min_size=size, max_size=size)))
    bits = st.lists(st.integers(0, 1), min_size=3, max_size=3)
    labels = np.array(data.draw(st.lists(bits, min_size=size, max_size=size)))
    if (labels.sum(axis=0) < 2).all():
        return
    apart = np.abs(points[:, None] - points[None]).astype("float64")
    expected = loops(apart, labels, labels, itself=True)
    found = measured(points[:, None].astype("float64"), labels, distance=whole_numbers)
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def whole_numbers(a, b):
    return np.abs(np.asarray(a) - np.asarray(b).T)


def test_graded_ndcg_is_that_of_scikit_learn(rng):
    from sklearn.metrics import ndcg_score

    (x, labels), (gallery, gallery_labels) = data(rng, 20), data(rng, 30)
    labels[:, 0] = gallery_labels[0, 0] = 1
    for k in (3, 30):
        found = metrics.ndcg_at_k(x, labels, gallery, gallery_labels, k=k, multi_label=True)
        expected = ndcg_score(labels @ gallery_labels.T, -far_apart(x, gallery), k=k)
        assert found == pytest.approx(expected, rel=1e-12)


def test_one_label_each_gives_the_values_of_single_labels(rng):
    x, labels = rng.normal(size=(40, 3)), rng.integers(9, size=40)
    single = metrics.retrieval(x, labels, k=(1, 5))
    several = metrics.retrieval(x, np.eye(9, dtype=int)[labels], k=(1, 5), multi_label=True)
    assert dict(several) == pytest.approx(dict(single), rel=1e-12)
    assert several.lone == single.lone
    again = metrics.retrieval(x, np.unique(labels, return_inverse=True)[1] * -1, k=1)
    assert several.interval("map@r") == pytest.approx(again.interval("map@r"), rel=1e-12)


AT_3 = (metrics.recall_at_k, metrics.precision_at_k, metrics.map_at_k, metrics.ndcg_at_k)
AT_ANY = (metrics.map_at_r, metrics.r_precision, metrics.mean_reciprocal_rank)


@pytest.mark.parametrize("function", AT_3 + AT_ANY)
def test_single_measures_equal_those_of_one_pass(function, rng):
    name = NAMES[(AT_3 + AT_ANY).index(function)]
    x, labels = data(rng, 30)
    options = {"k": 3} if function in AT_3 else {}
    scores = metrics.retrieval(x, labels, k=3, multi_label=True)
    assert function(x, labels, multi_label=True, **options) == scores[name]


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.arange(4), r"Expected: rows of 0 and 1.*Received: int64 of shape \(4,\)"),
        (np.full((4, 2), 2), r"Expected: rows of 0 and 1"),
        (np.zeros((4, 2), int), r"No query has a candidate"),
        (np.ones((3, 2), int), r"Received: 4 embeddings and 3 labels"),
    ],
)
def test_refuses(labels, words):
    with pytest.raises(ValueError, match=words):
        metrics.retrieval(np.arange(4.0)[:, None], labels, k=1, multi_label=True)
