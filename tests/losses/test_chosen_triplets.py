"""Choosing pairs without a gradient and measuring them again is the loss on all pairs."""

import numpy as np
import pytest
from keras import ops

from keras_metric import losses, miners
from keras_metric.losses._base import Batch
from keras_metric.losses._few_positives import same_class_columns

SIZES = (4, 7, 15)  # classes of 4 take the first tier, of 7 the second; 15 are more than any
CASES = [
    *[("semi_hard", {"rows_per_block": rows}) for rows in (None, 7)],
    *[(mining, {}) for mining in ("hardest_semi_hard", "hard", "easy_positive")],
    ("semi_hard", {"miner": "multi_similarity"}),
]


@pytest.mark.parametrize(("mining", "options"), CASES)
def test_value_and_step_are_those_of_all_pairs(mining, options, rng, after_a_step):
    chosen = losses.TripletLoss(0.3, mining, **options)
    every = losses.TripletLoss(0.3, mining, **options)
    every.fast = False
    for size in SIZES:
        labels = rng.permutation(np.arange(30) // size)
        x = rng.normal(size=(30, 5)).astype("float32")
        value, weights = after_a_step(chosen, labels, x)
        expected, expected_weights = after_a_step(every, labels, x)
        np.testing.assert_allclose(value, expected, rtol=1e-5, err_msg=f"classes of {size}")
        np.testing.assert_allclose(weights, expected_weights, rtol=1e-4, atol=1e-6)


def test_the_chosen_rows_are_measured_exactly():
    """Two points 1e-4 apart, far from the origin, are 1e-4 apart: all pairs would say 0."""
    x = np.array([[1, 0], [1, 1e-4], [0, 1], [0, -1], [-1, 0], [0.6, 0.8]], "float32")
    labels = np.array([0, 0, 1, 2, 3, 4])
    loss = losses.TripletLoss(3.0, "hard", reduction=None)
    farther = np.linalg.norm(x[0] - x[5])
    np.testing.assert_allclose(float(loss(labels, x)[0]), 3 + 1e-4 - farther, atol=1e-6)


@pytest.mark.parametrize("offset", [0, 3, None])
def test_columns_are_the_other_candidates_of_the_class(offset, rng):
    candidates = rng.integers(4, size=12)
    own = slice(0, 5) if offset is None else slice(offset, offset + 5)
    anchors = candidates[own]
    batch = Batch(None, column(anchors), None, column(candidates), offset)
    columns, most = map(ops.convert_to_numpy, same_class_columns(batch, 8))
    expected = [np.flatnonzero(candidates == label) for label in anchors]
    if offset is not None:
        expected = [row[row != offset + i] for i, row in enumerate(expected)]
    assert [sorted(row[row >= 0]) for row in columns] == [list(row) for row in expected]
    assert most == max(map(len, expected))


def test_a_miner_decides_which_of_the_class_are_positives(rng):
    """With every positive switched off no anchor counts."""
    labels, x = np.arange(12) // 4, rng.normal(size=(12, 2)).astype("float32")
    nothing = miners.PairMargin(positive=1e6)
    assert float(losses.TripletLoss(5.0)(labels, x)) > 0
    assert float(losses.TripletLoss(5.0, miner=nothing)(labels, x)) == 0


def column(labels):
    return ops.convert_to_tensor(labels.astype("int32"))[:, None]
