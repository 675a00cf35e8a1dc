"""The measures of the recipe `emoji`, by plain loops: six directions between three styles."""

from itertools import permutations

import numpy as np
import pytest

from zoo.datasets.sources.emoji import STYLES
from zoo.evaluation.vectors import Vectors
from zoo.recipes import emoji

pytestmark = pytest.mark.tensorflow


def test_directions_are_those_of_loops(rng):
    labels, drawers = np.tile(np.arange(7), 3), np.repeat([1, 2, 3], 7)
    vectors = (np.eye(7)[labels] + 0.6 * rng.normal(size=(21, 7))).astype("float32")
    names = np.array([f"thing {label}" for label in labels], object)
    found = emoji.by_direction(Vectors(vectors, names), drawers)
    assert len(found) == 6
    means = {name: [] for name in emoji.MEASURES}
    for one, other in permutations((1, 2, 3), 2):
        ranks = []
        for query in np.flatnonzero(drawers == one):
            known = np.flatnonzero(drawers == other)
            apart = [np.linalg.norm(vectors[query] - vectors[row]) for row in known]
            order = [labels[known[place]] for place in np.argsort(apart)]
            ranks.append(1 + order.index(labels[query]))
        wanted = {
            "recall@1": np.mean([rank == 1 for rank in ranks]),
            "recall@5": np.mean([rank <= 5 for rank in ranks]),
            "mrr": np.mean([1 / rank for rank in ranks]),
        }
        row = found[f"{STYLES[one - 1]} among {STYLES[other - 1]}"]
        assert row == pytest.approx(wanted, abs=1e-6)
        for name, value in wanted.items():
            means[name].append(value)
    assert 0 < np.mean(means["recall@1"]) < 1
    means = {name: np.mean(values) for name, values in means.items()}
    assert emoji.mean_of(found) == pytest.approx(means, abs=1e-6)
