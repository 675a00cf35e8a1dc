"""One-shot runs: who is drawn, what counts as right."""

import numpy as np
import pytest

from keras_metric import metrics


def test_the_nearest_support_is_the_answer():
    support = np.array([[0.0, 0], [5, 0], [0, 5]])
    queries = np.array([[0.4, 0], [4, 1], [3, 3.1], [0, 1]])
    assert metrics.one_shot_accuracy(support, queries, [0, 1, 2, 0]) == 1
    assert metrics.one_shot_accuracy(support, queries, [0, 1, 1, 2]) == 0.5


def test_a_tie_is_an_error():
    assert metrics.one_shot_accuracy(np.ones((3, 2)), np.ones((3, 2)), [0, 1, 2]) == 0


@pytest.mark.parametrize("distance", ["cosine", "manhattan"])
def test_equals_loops(distance, rng):
    support, queries = rng.normal(size=(5, 4)), rng.normal(size=(30, 4))
    answers = rng.integers(5, size=30)
    apart = {
        "cosine": lambda a, b: -a @ b / np.linalg.norm(a) / np.linalg.norm(b),
        "manhattan": lambda a, b: np.abs(a - b).sum(),
    }[distance]
    right = [
        np.argmin([apart(query, row) for row in support]) == answer
        for query, answer in zip(queries, answers, strict=True)
    ]
    found = metrics.one_shot_accuracy(support, queries, answers, distance=distance)
    assert found == np.mean(right)


def alphabets(rng, drawn=4):
    """3 groups of 6 classes, each drawn by the same `drawn` drawers of its group."""
    groups, classes, drawers = (x.ravel() for x in np.mgrid[:3, :6, :drawn])
    return groups, groups * 6 + classes, groups * 100 + drawers


class Spy:
    """A distance that reads what was compared out of the embeddings themselves."""

    def __init__(self):
        self.runs = []

    def __call__(self, queries, support):
        queries, support = np.asarray(queries), np.asarray(support)
        self.runs.append((support, queries))
        return (queries[:, None, 1] != support[None, :, 1]).astype("float32")


def test_a_run_is_one_group_different_classes_and_two_drawers(rng):
    groups, labels, drawers = alphabets(rng)
    embeddings = np.stack([groups, labels, drawers], axis=1).astype("float64")
    spy = Spy()
    scores = metrics.one_shot(
        embeddings, labels, groups=groups, drawers=drawers, ways=5, runs=40, distance=spy
    )
    assert scores["one_shot"] == 1
    seen = set()
    for support, queries in spy.runs:
        assert len(support) == len(queries) == len(set(support[:, 1])) == 5
        np.testing.assert_array_equal(support[:, :2], queries[:, :2])
        assert len(set(support[:, 0])) == 1
        assert len(set(support[:, 2])) == len(set(queries[:, 2])) == 1
        assert support[0, 2] != queries[0, 2]
        seen.add((support[0, 0], support[0, 2], queries[0, 2]))
    assert {group for group, _, _ in seen} == {0, 1, 2}
    assert len(seen) > 15


def test_without_drawers_two_different_images_of_each_class(rng):
    _, labels, _ = alphabets(rng)
    embeddings = np.stack([np.arange(72), labels], axis=1).astype("float64")
    spy = Spy()
    metrics.one_shot(embeddings, labels, ways=18, runs=10, distance=spy)
    for support, queries in spy.runs:
        np.testing.assert_array_equal(support[:, 1], queries[:, 1])
        assert (support[:, 0] != queries[:, 0]).all()


def test_seeds_repeat_runs_and_have_an_interval(rng):
    groups, labels, drawers = alphabets(rng)
    embeddings = rng.normal(size=(18, 5))[labels] + rng.normal(size=(72, 5))
    options = {"groups": groups, "drawers": drawers, "ways": 6, "runs": 60}
    first, again, other = (
        metrics.one_shot(embeddings, labels, **options, seed=seed) for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(first.per_query["one_shot"], again.per_query["one_shot"])
    assert (first.per_query["one_shot"] != other.per_query["one_shot"]).any()
    low, high = first.interval("one_shot")
    assert 1 / 6 < low < first["one_shot"] < high < 1


@pytest.mark.parametrize("options", [{"ways": 7}, {"ways": 1}, {"ways": 6, "runs": 0}])
def test_refuses_runs_that_cannot_be_drawn(options, rng):
    groups, labels, drawers = alphabets(rng)
    with pytest.raises(ValueError, match=r"No run can be drawn. Expected.*18 classes in 3 groups"):
        metrics.one_shot(np.ones((72, 2)), labels, groups=groups, drawers=drawers, **options)


def test_refuses_one_drawer(rng):
    groups, labels, drawers = alphabets(rng, drawn=1)
    with pytest.raises(ValueError, match="No run can be drawn"):
        metrics.one_shot(np.ones((18, 2)), labels, groups=groups, drawers=drawers, ways=5)


def test_refuses_answers_that_name_no_support():
    with pytest.raises(ValueError, match=r"answers from 0 to 2. Received: answers from 0 to 3"):
        metrics.one_shot_accuracy(np.eye(3), np.eye(3)[:2], [0, 3])
