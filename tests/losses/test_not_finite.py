"""NaN in, NaN out: a training that has died says so."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_metric import diagnostics, heads, losses, miners

LABELLED = [n for n in losses.__all__ if issubclass(getattr(losses, n), losses.PairLoss)]
LABELS = np.arange(12) % 3
CASES = [*((name, None) for name in LABELLED), *(("MarginLoss", m) for m in miners.names())]


def number(value):
    return float(ops.convert_to_numpy(value))


def of_batches(loss):
    """x -> the loss of LABELS and x; on JAX one compiled function for all."""
    if keras.backend.backend() != "jax":
        return lambda x: loss(LABELS, x)
    import jax

    return jax.jit(lambda x: loss(LABELS, x))


def broken(rng, wrong, row=5):
    x = rng.normal(size=(12, 4)).astype("float32")
    x[row, 2] = wrong
    return x


@pytest.mark.parametrize(("name", "miner"), [*CASES, ("MultiSimilarityLoss", "multi_similarity")])
def test_a_row_that_is_not_finite_makes_the_loss_nan(name, miner, rng):
    loss = getattr(losses, name)(miner=miner, rows_per_block=5 if name == "NCALoss" else None)
    value = of_batches(loss)
    for wrong in (np.nan, np.inf, -np.inf):
        assert np.isnan(number(value(broken(rng, wrong))))
    assert np.isnan(number(value(np.full((12, 4), np.nan, "float32"))))


def test_so_does_a_candidate_that_is_not_finite(rng):
    x = broken(rng, np.nan)
    value = losses.MarginLoss().loss_against(LABELS[:4], x[:4], LABELS, x, 0)
    assert np.isnan(number(value))


@pytest.mark.parametrize("scale", [1e-30, 1e30])
def test_rows_of_any_finite_size_are_finite(scale, rng):
    x = (broken(rng, 0.0) * np.float32(scale)).astype("float32")
    assert np.isfinite(number(losses.TripletLoss()(LABELS, x)))


@pytest.mark.parametrize("name", heads.__all__)
def test_the_losses_of_heads(name, rng):
    head = getattr(heads, name)(3)
    assert np.isnan(number(head.loss()(LABELS, head(broken(rng, np.nan)))))


def test_losses_of_given_pairs_and_views(rng):
    pairs, views = np.full(12, np.nan, "float32"), np.stack(2 * [broken(rng, np.nan)], axis=1)
    triplets = np.stack([pairs, pairs], axis=1)
    given = [(losses.ContrastiveLoss(), pairs), (losses.TripletMarginLoss(), triplets)]
    for loss, x in [*given, (losses.VICRegLoss(), views), (losses.BarlowTwinsLoss(), views)]:
        assert np.isnan(number(loss(LABELS % 2, x)))
    assert np.isnan(number(losses.SimSiamLoss()(LABELS, np.concatenate([views, views], axis=1))))


def test_diagnostics_count_the_rows(rng):
    metric = diagnostics.NonFiniteRows()
    x = broken(rng, np.nan)
    x[7, 0] = np.inf
    metric.update_state(LABELS, x)
    assert float(metric.result()) == 2
