"""Losses of samples with several labels: a positive shares at least one."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_metric import losses
from keras_metric.losses import PairLoss

LABELLED = [n for n in losses.__all__ if issubclass(getattr(losses, n), PairLoss)]

# the ways from pairs to values: few positives, what lies beyond the row, whole rows, chosen pairs
OF_EACH_WAY = ["InfoNCELoss", "LiftedStructureLoss", "MarginLoss", "TripletLoss"]
NAMES = LABELLED if keras.backend.backend() == "tensorflow" else OF_EACH_WAY


def number(value):
    return float(ops.convert_to_numpy(value))


@pytest.mark.parametrize("name", NAMES)
def test_one_label_each_gives_the_value_of_single_labels(name, rng):
    x, labels = rng.normal(size=(10, 4)).astype("float32"), np.arange(10) % 3
    for rows in (None, 4) if name in OF_EACH_WAY else (None,):
        single = getattr(losses, name)(rows_per_block=rows)
        several = getattr(losses, name)(multi_label=True, rows_per_block=rows)
        value = number(several(np.eye(3, dtype=int)[labels], x))
        np.testing.assert_allclose(value, number(single(labels, x)), rtol=1e-6)


@pytest.mark.parametrize("dtype", ["int64", "bool"])
def test_any_overlap_makes_a_positive(dtype, rng):
    x, labels = rng.normal(size=(12, 4)), (rng.random((12, 5)) < 0.25).astype(dtype)
    away = np.linalg.norm(x[:, None] - x[None], axis=-1)
    values = []
    for i in range(12):
        shared = [j for j in range(12) if j != i and (labels[i] * labels[j]).any()]
        others = [j for j in range(12) if j != i and j not in shared]
        if shared and others:
            values.append(max(0, away[i, shared].max() - away[i, others].min() + 0.4))
    assert 0 < len(values) < 12
    loss = losses.TripletLoss(0.4, "hard", multi_label=True)
    np.testing.assert_allclose(number(loss(labels, x)), np.mean(values), rtol=1e-5)


def test_in_fit(rng):
    x, labels = rng.normal(size=(12, 4)), (rng.random((12, 3)) < 0.4).astype("int32")
    model = keras.Sequential([keras.Input((4,)), keras.layers.Dense(2, dtype="mixed_bfloat16")])
    model.compile(keras.optimizers.SGD(0.1), losses.SupConLoss(multi_label=True))
    history = model.fit(x, labels, batch_size=12, epochs=5, verbose=0).history["loss"]
    assert history[-1] < history[0]


def test_single_labels_are_refused(rng):
    loss = losses.TripletLoss(multi_label=True)
    with pytest.raises(ValueError, match=r"Expected: integers of shape \(B, L\).*shape \(12,\)"):
        loss(np.arange(12), rng.normal(size=(12, 4)))
