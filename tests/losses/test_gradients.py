"""Gradients of every loss against differences of its values, in float64."""

from contextlib import nullcontext
from functools import lru_cache
from math import exp, log

import keras
import numpy as np
import pytest

from keras_metric import losses
from keras_metric.losses import PairLoss

pytestmark = pytest.mark.skipif(
    keras.backend.backend() == "torch", reason="Keras on torch takes float64 for float32 in places"
)
HELD = ("CircleLoss", "RankedListLoss", "SimSiamLoss")  # part of the value carries no gradient
# Keras on JAX takes float64 for float32 in `logaddexp` and `mean`: larger steps there
COARSE = ("LiftedStructureLoss", "VICRegLoss", "row blocks")
LABELS = np.array([0, 1, 2, 0, 1, 3, 0, 2, 3, 0, 1, 2, 4])


def few(loss):
    """The loss as it is in batches that are not short."""
    loss.few_positives_from = 0
    return loss


VARIANTS = {
    **{name: getattr(losses, name) for name in losses.__all__ if name not in HELD},
    "hard": lambda: losses.TripletLoss(mining="hard", swap=True),
    "easy": lambda: losses.TripletLoss(mining="easy_positive", soft=True),
    "all": lambda: losses.TripletLoss(mining="all", distance="cosine"),
    "hard in blocks": lambda: losses.TripletLoss(mining="hard", rows_per_block=4),
    "all in blocks": lambda: losses.TripletLoss(mining="all", rows_per_block=4),
    "angular in blocks": lambda: losses.MarginLoss(miner="angular", rows_per_block=4),
    "linear": lambda: losses.PairwiseContrastiveLoss(2.0, 0.5, squared=False),
    "mined": lambda: losses.MultiSimilarityLoss(miner="multi_similarity"),
    "row blocks": lambda: losses.LiftedStructureLoss(rows_per_block=4),
    "few positives": lambda: few(losses.InfoNCELoss()),
    "few positives in blocks": lambda: few(losses.SupConLoss(rows_per_block=4)),
    "signal": lambda: losses.InfoNCELoss(distance="signal_to_noise"),
}


# The formulas' own gradients are those of TensorFlow; JAX has what we give it a gradient for.
ON_JAX = (
    *("TripletLoss", "InfoNCELoss", "LiftedStructureLoss", "MarginLoss", "MultiSimilarityLoss"),
    *("hard in blocks", "all in blocks", "row blocks", "few positives", "few positives in blocks"),
)


def double():
    """JAX has float64 where it is asked for it."""
    if keras.backend.backend() != "jax":
        return nullcontext()
    import jax

    return jax.enable_x64(True)


def value(loss, labels, x):
    return value_and_gradient(loss, labels, x)[0]


def gradient(loss, labels, x):
    return value_and_gradient(loss, labels, x)[1]


def value_and_gradient(loss, labels, x):
    if keras.backend.backend() == "jax":
        import jax

        total, slope = compiled_by_jax(loss)(jax.numpy.asarray(x), labels)
        return float(total), np.asarray(slope)
    import tensorflow as tf

    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = loss(labels, x)
    return float(total), tape.gradient(total, x).numpy()


@lru_cache(maxsize=1)
def compiled_by_jax(loss):
    """Compiled once for a loss, not an operation at a time for each difference."""
    import jax

    return jax.jit(jax.value_and_grad(lambda x, labels: loss(labels, x)))


def given(name, x):
    away = np.linalg.norm(x, axis=1)
    if name == "ContrastiveLoss":
        return np.arange(13) % 2, away / 3
    if name == "TripletMarginLoss":
        return np.zeros(13, int), np.stack([away, away[::-1]], 1)
    if name in ("VICRegLoss", "BarlowTwinsLoss"):
        return np.zeros(13, int), np.stack([x, x[:, ::-1] + x], 1)
    return LABELS, x


def assert_slopes(slope, function, x, rng, step=1e-6, rtol=1e-5):
    """Along random directions the value changes as the gradient says."""
    for _ in range(3):
        along = rng.normal(size=x.shape)
        change = (function(x + step * along) - function(x - step * along)) / (2 * step)
        np.testing.assert_allclose(np.sum(slope * along), change, rtol=rtol, atol=1e-8)


@pytest.mark.parametrize("name", ON_JAX if keras.backend.backend() == "jax" else VARIANTS)
def test_gradient_is_the_slope_of_the_value(name, rng):
    labels, x = given(name, rng.normal(size=(13, 4)))
    with double():
        loss = VARIANTS[name]()
        coarse = name in COARSE and keras.backend.backend() == "jax"
        options = {"step": 1e-3, "rtol": 1e-2} if coarse else {}
        slope = gradient(loss, labels, x)
        assert_slopes(slope, lambda x: value(loss, labels, x), x, rng, **options)


def pairs_of(i):
    return (
        [j for j in range(13) if j != i and LABELS[i] == LABELS[j]],
        [j for j in range(13) if LABELS[i] != LABELS[j]],
    )


def cosines(x):
    x = x / np.linalg.norm(x, axis=1, keepdims=True)
    return x @ x.T


def circle(x, fixed, m=0.4, gamma=9.0):
    """The circle loss whose weights are those of the points `fixed`."""
    total = []
    for i in range(12):
        near, far = pairs_of(i)
        s, w = cosines(x)[i], cosines(fixed)[i]
        push = sum(exp(gamma * max(0, w[n] + m) * (s[n] - m)) for n in far)
        pull = sum(exp(-gamma * max(0, 1 + m - w[p]) * (s[p] - 1 + m)) for p in near)
        total.append(log(1 + push * pull))
    return np.mean(total)


def ranked_list(x, fixed, m=0.5, boundary=3.0, temperature=2.0):
    total = []
    for i in range(13):
        near, far = pairs_of(i)
        d, w = np.linalg.norm(x - x[i], axis=1), np.linalg.norm(fixed - fixed[i], axis=1)
        pull = [d[p] - boundary + m for p in near if d[p] > boundary - m]
        active = [n for n in far if d[n] < boundary]
        weights = [exp(temperature * (boundary - w[n])) for n in active]
        push = [v * (boundary - d[n]) for v, n in zip(weights, active, strict=True)]
        total.append(np.mean(pull or [0]) / 2 + sum(push) / max(sum(weights), 1e-30) / 2)
    return np.mean(total)


def sim_siam(x, fixed):
    unit, held = (r / np.linalg.norm(r, axis=2, keepdims=True) for r in (x, fixed))
    first, second = (unit[:, i] * held[:, 3 - i] for i in (0, 1))
    return np.mean(1 - (first.sum(1) + second.sum(1)) / 2)


@pytest.mark.parametrize(
    ("loss", "reference", "shape"),
    [
        (losses.CircleLoss(0.4, 9.0), circle, (13, 4)),
        (losses.RankedListLoss(0.5, 3.0, temperature=2.0), ranked_list, (13, 4)),
        (losses.SimSiamLoss(), sim_siam, (13, 4, 4)),
    ],
    ids=HELD,
)
def test_what_is_held_constant_carries_no_gradient(loss, reference, shape, rng):
    x = rng.normal(size=shape)
    with double():
        assert value(loss, LABELS, x) == pytest.approx(reference(x, x), rel=1e-6)
        assert_slopes(gradient(loss, LABELS, x), lambda moved: reference(moved, x), x, rng)


def test_every_labelled_loss_is_here():
    labelled = {n for n in losses.__all__ if issubclass(getattr(losses, n), PairLoss)}
    assert labelled <= {*VARIANTS, *HELD}
