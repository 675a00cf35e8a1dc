"""Positives taken out of the row by themselves give the loss that is read off whole rows."""

import numpy as np
import pytest
from keras import ops

from keras_metric import losses

LOSSES = [n for n in losses.__all__ if getattr(getattr(losses, n), "few_positives_from", None)]
CASES = [  # classes of 4 take the first tier, of 7 the second; 15 are more than any
    *[(name, size, {}) for name in LOSSES for size in (4, 15)],
    *[("InfoNCELoss", 7, {"rows_per_block": rows}) for rows in (None, 7)],
    ("MultiSimilarityLoss", 4, {"miner": "multi_similarity"}),
    ("InfoNCELoss", 4, {"distance": lambda a, c: losses.InfoNCELoss()._distance(a, c) * 2}),
    ("SupConLoss", 4, {"reduction": "sum"}),
]


def both_ways(name, options):
    few, whole = (getattr(losses, name)(**options) for _ in range(2))
    few.few_positives_from, whole.fast = 0, False
    return few, whole


def test_the_families_are_here():
    assert {"InfoNCELoss", "NPairsLoss", "SupConLoss", "CircleLoss"} <= set(LOSSES)


@pytest.mark.parametrize(("name", "size", "options"), CASES)
def test_value_and_step_are_those_of_whole_rows(name, size, options, rng, after_a_step):
    labels = rng.permutation(np.arange(30) // size)
    x = rng.normal(size=(30, 5)).astype("float32")
    few, whole = both_ways(name, options)
    value, weights = after_a_step(few, labels, x)
    expected, expected_weights = after_a_step(whole, labels, x)
    np.testing.assert_allclose(value, expected, rtol=1e-5)
    np.testing.assert_allclose(weights, expected_weights, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("labels", [[0, 0, 1, 2, 2, 2], [0, 0, 0, 0, 0, 0], [0, 1, 2, 3, 4, 5]])
def test_anchors_without_positives_or_negatives_are_the_same(name, labels, rng):
    x = rng.normal(size=(6, 3)).astype("float32")
    x[1] = x[0]
    few, whole = both_ways(name, {"reduction": None})
    values = (ops.convert_to_numpy(loss(np.array(labels), x)) for loss in (few, whole))
    np.testing.assert_allclose(*values, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("offset", [None, 2])
def test_candidates_may_be_others(offset, rng):
    candidates = rng.normal(size=(11, 3)).astype("float32")
    labels = rng.integers(4, size=11)
    few, whole = both_ways("InfoNCELoss", {})
    own = slice(offset or 0, (offset or 0) + 5)
    given = labels[own], candidates[own], labels, candidates, offset
    values = (ops.convert_to_numpy(loss.against(*given)) for loss in (few, whole))
    np.testing.assert_allclose(*values, rtol=1e-5)
