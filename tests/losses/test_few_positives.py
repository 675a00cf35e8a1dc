"""Positives taken out of the row by themselves give the loss that is read off whole rows."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_metric import losses

LOSSES = [n for n in losses.__all__ if getattr(getattr(losses, n), "few_positives_from", None)]
SIZES = (4, 7, 15)  # classes of 4 take the first tier, of 7 the second; 15 are more than any
CASES = [
    *[(name, {}) for name in LOSSES],
    ("InfoNCELoss", {"rows_per_block": 7}),
    ("MultiSimilarityLoss", {"miner": "multi_similarity"}),
    ("InfoNCELoss", {"distance": lambda a, c: losses.InfoNCELoss()._distance(a, c) * 2}),
    ("SupConLoss", {"reduction": "sum"}),
]


def both_ways(name, options):
    few, whole = (getattr(losses, name)(**options) for _ in range(2))
    few.few_positives_from, whole.fast = 0, False
    return few, whole


def test_the_families_are_here():
    assert {"InfoNCELoss", "NPairsLoss", "SupConLoss", "CircleLoss"} <= set(LOSSES)


@pytest.mark.parametrize(("name", "options"), CASES)
def test_value_and_step_are_those_of_whole_rows(name, options, rng, after_a_step):
    few, whole = both_ways(name, options)
    for size in SIZES:
        labels = rng.permutation(np.arange(30) // size)
        x = rng.normal(size=(30, 5)).astype("float32")
        value, weights = after_a_step(few, labels, x)
        expected, expected_weights = after_a_step(whole, labels, x)
        np.testing.assert_allclose(value, expected, rtol=1e-5, err_msg=f"classes of {size}")
        np.testing.assert_allclose(weights, expected_weights, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
def test_anchors_without_positives_or_negatives_are_the_same(name, rng):
    x = rng.normal(size=(6, 3)).astype("float32")
    x[1] = x[0]
    ways = [compiled(loss) for loss in both_ways(name, {"reduction": None})]
    for labels in ([0, 0, 1, 2, 2, 2], [0, 0, 0, 0, 0, 0], [0, 1, 2, 3, 4, 5]):
        values = (ops.convert_to_numpy(loss(np.array(labels), x)) for loss in ways)
        np.testing.assert_allclose(*values, rtol=1e-5, atol=1e-6)


def compiled(loss):
    """On JAX one function for all labels, where each call of a loss would be compiled."""
    if keras.backend.backend() != "jax":
        return loss
    import jax

    return jax.jit(lambda labels, x: loss(labels, x))


@pytest.mark.parametrize("offset", [None, 2])
def test_candidates_may_be_others(offset, rng):
    candidates = rng.normal(size=(11, 3)).astype("float32")
    labels = rng.integers(4, size=11)
    few, whole = both_ways("InfoNCELoss", {})
    own = slice(offset or 0, (offset or 0) + 5)
    given = labels[own], candidates[own], labels, candidates, offset
    values = (ops.convert_to_numpy(loss.against(*given)) for loss in (few, whole))
    np.testing.assert_allclose(*values, rtol=1e-5)
