"""Who is it, if anybody: matchers and open-set rates against plain loops."""

import numpy as np
import pytest

from keras_metric.retrieval import Found, open_set
from keras_metric.retrieval.matchers import matched


def found(distances, labels):
    shape = np.shape(distances)
    names = np.empty(shape, object)
    names[:] = labels
    return Found(np.zeros(shape, int), np.array(distances, "float32"), names, names)


def test_matchers():
    neighbours = found([[1, 2, 3, 4, 5]], [["a", "b", "b", "c", "b"]])
    nearest, vote, weighted = (matched(neighbours, m) for m in ("nearest", "vote", "weighted"))
    assert [x.labels[0] for x in (nearest, vote, weighted)] == ["a", "b", "b"]
    assert [x.distances[0] for x in (nearest, vote, weighted)] == [1, 2, 2]
    # Dudani: (5 - d) / 4 = 1, 0.75, 0.5, 0.25, 0
    assert weighted.shares[0] == pytest.approx(1.25 / 2.5)
    assert vote.shares[0] == pytest.approx(3 / 5)
    steep = found([[1, 9, 9.5, 10]], [["a", "b", "b", "b"]])
    assert [matched(steep, m).labels[0] for m in ("vote", "weighted")] == ["b", "a"]


def test_of_equally_many_votes_the_nearest_wins():
    for labels, expected in ((["b", "a", "a", "b"], "b"), (["a", "b", "b", "a"], "a")):
        assert matched(found([[1, 1, 1, 1]], [labels]), "vote").labels[0] == expected
        assert matched(found([[1, 1, 1, 1]], [labels]), "weighted").labels[0] == expected


def test_what_has_no_label_has_no_say():
    neighbours = found([[1, 2, np.inf], [np.inf] * 3], [[None, 3, None], [None] * 3])
    answers = matched(neighbours)
    assert answers.labels.tolist() == [3, None]
    assert answers.distances.tolist() == [2, np.inf]
    assert answers.shares.tolist() == [1, 0]
    with pytest.raises(ValueError, match="Unknown matcher. Expected: one of nearest.*'votes'"):
        matched(neighbours, "votes")


@pytest.mark.parametrize("seed", range(3))
def test_open_set_is_as_in_plain_loops(seed):
    rng = np.random.default_rng(seed)
    gallery, queries = rng.normal(size=(30, 3)), rng.normal(size=(60, 3))
    gallery_labels, labels = rng.integers(8, size=30), rng.integers(16, size=60)
    rates = open_set(queries, labels, gallery, gallery_labels, far=(0.2, 0.1), distance="euclidean")
    known = np.isin(labels, gallery_labels)
    apart = np.sqrt(((queries[:, None] - gallery) ** 2).sum(-1))
    best, nearest = gallery_labels[apart.argmin(1)], apart.min(1)
    assert (rates["known"], rates["unknown"]) == (known.sum(), (~known).sum())
    assert rates["rank1"] == pytest.approx((best == labels)[known].mean())
    for rate in (0.2, 0.1):
        threshold = rates[f"threshold@{rate}"]
        assert (nearest[~known] <= threshold).mean() <= rate
        beyond = np.sort(nearest[~known][nearest[~known] > threshold])
        assert (nearest[~known] <= beyond[0]).mean() > rate, "the largest such threshold"
        named = (best == labels) & (nearest <= threshold)
        assert rates[f"dir@{rate}"] == pytest.approx(named[known].mean())


def test_a_collapsed_embedding_names_nobody():
    rates = open_set(np.ones((20, 2)), np.arange(20) % 4, np.ones((2, 2)), [0, 1], far=(0.1,))
    assert rates["rank1"] == 0
    assert rates["dir@0.1"] == 0


@pytest.mark.parametrize(
    ("labels", "far", "words"),
    [
        ([0] * 4, (0.5,), "2 unknown ones.*Received: 4 known, 0 unknown"),
        ([7] * 4, (0.5,), "Received: 0 known, 4 unknown"),
        ([0, 7, 7, 7], (0.1,), "10 unknown ones for far=.0.1,"),
    ],
)
def test_open_set_refusals(labels, far, words):
    with pytest.raises(ValueError, match=words):
        open_set(np.eye(4), labels, np.eye(4)[:1], [0], far=far)
