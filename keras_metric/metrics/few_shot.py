"""One-shot classification: N classes with one example each; the nearest example gives the class."""

from collections.abc import Callable

import numpy as np

from keras_metric import distances
from keras_metric.batches.classes import integer_labels
from keras_metric.metrics.exact import between
from keras_metric.metrics.neighbours import Scores
from keras_metric.metrics.ranking import check_pairing, embedding_matrix

__all__ = ["one_shot", "one_shot_accuracy"]


def one_shot_accuracy(
    support, queries, answers, *, distance: str | Callable = "euclidean"
) -> float:
    """Share of queries (Q, D) nearer to the correct support (N, D) than to every other.

    answers: (Q,) integers, the correct row of `support`. A tie counts as an error, so a collapsed
    embedding scores 0.
    """
    support, queries = embedding_matrix(support), embedding_matrix(queries)
    answers = integer_labels(answers)
    check_pairing(queries, answers)
    if len(support) < 2 or answers.min() < 0 or answers.max() >= len(support):
        raise ValueError(
            "The answers do not name support rows. "
            f"Expected: two rows or more, and answers from 0 to {len(support) - 1}. "
            f"Received: answers from {answers.min()} to {answers.max()}."
        )
    return float(_right(support, queries, answers, distance).mean())


def one_shot(
    embeddings,
    labels,
    *,
    groups=None,
    drawers=None,
    ways: int = 20,
    runs: int = 400,
    seed: int = 0,
    distance: str | Callable = "euclidean",
) -> Scores:
    """`ways`-way one-shot accuracy over `runs` random runs.

    A run draws a group, `ways` of its classes and two drawers; one image of each class by the
    first drawer is the support, one by the second is the query, so a run has `ways` trials.

    Args:
        embeddings: (N, D). labels: (N,) integers.
        groups: (N,) integers, such as the alphabet of a character; without it all classes are one
            group. Groups with fewer than `ways` usable classes are never drawn.
        drawers: (N,) integers, who drew the image. Without it a class needs two images, and the
            run uses two different ones. With it, the two drawers of a run are drawn among those who
            have at least `ways` classes of the group in common.

    Returns:
        `{"one_shot": accuracy}`; `.per_query` holds the accuracy of every run, and
        `.interval("one_shot")` its bootstrap interval over runs.

    Raises:
        ValueError: no group has `ways` usable classes.

    Lake et al., "Human-level concept learning through probabilistic program induction", 2015.
    """
    embeddings, labels = embedding_matrix(embeddings), integer_labels(labels)
    check_pairing(embeddings, labels)
    groups = np.zeros_like(labels) if groups is None else integer_labels(groups)
    drawers = None if drawers is None else integer_labels(drawers)
    check_pairing(embeddings, groups)
    check_pairing(embeddings, labels if drawers is None else drawers)
    plans = [_plan(np.flatnonzero(groups == g), labels, drawers, ways) for g in np.unique(groups)]
    plans = [plan for plan in plans if plan]
    if not plans or ways < 2 or runs < 1:
        raise ValueError(
            "No run can be drawn. Expected: ways from 2 on, runs from 1 on, and a group with "
            f"{ways} classes seen twice (by two drawers, where they are given). "
            f"Received: ways={ways}, runs={runs}, {len(np.unique(labels))} classes in "
            f"{len(np.unique(groups))} groups, none large enough."
        )
    rng, distance = np.random.default_rng(seed), distances.get(distance)
    accuracy = np.empty(runs)
    for run in range(runs):
        choices = plans[rng.integers(len(plans))]
        first, second = _draw(choices[rng.integers(len(choices))], ways, rng)
        right = _right(embeddings[first], embeddings[second], np.arange(ways), distance)
        accuracy[run] = right.mean()
    return Scores({"one_shot": accuracy}, np.arange(runs))


def _right(support, queries, answers, distance: str | Callable) -> np.ndarray:
    """(Q,) whether the right support row is strictly nearer than all others."""
    rows = np.arange(len(queries))
    apart = np.array(between(queries, support, distance)(rows))
    own = apart[rows, answers]
    apart[rows, answers] = np.inf
    return own < apart.min(axis=1)


def _plan(rows: np.ndarray, labels, drawers, ways: int) -> list[list[tuple]]:
    """The choices of one group: for each pair of drawers, (rows of one, rows of other) a class.

    Without drawers there is one choice, with the same rows on both sides.
    """
    if drawers is None:
        classes = [rows[labels[rows] == name] for name in np.unique(labels[rows])]
        usable = [(members, members) for members in classes if len(members) > 1]
        return [usable] if len(usable) >= ways else []
    names = np.unique(drawers[rows])
    by = {
        drawer: {
            name: rows[(drawers[rows] == drawer) & (labels[rows] == name)]
            for name in np.unique(labels[rows][drawers[rows] == drawer])
        }
        for drawer in names
    }
    choices = []
    for one in names:
        for other in names[names != one]:
            shared = [name for name in by[one] if name in by[other]]
            if len(shared) >= ways:
                choices.append([(by[one][name], by[other][name]) for name in shared])
    return choices


def _draw(choice: list[tuple], ways: int, rng) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of support and queries, one of each for `ways` classes."""
    first, second = [], []
    for place in rng.choice(len(choice), ways, replace=False):
        ours, theirs = choice[place]
        if ours is theirs:
            pair = rng.choice(ours, 2, replace=False)
        else:
            pair = rng.choice(ours), rng.choice(theirs)
        first.append(pair[0])
        second.append(pair[1])
    return np.array(first), np.array(second)
