"""Logits of many classes, and their written gradients, against plain loops in float64."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_metric.numerics import class_logits

COLUMNS = np.array([2, 0, 2, 1], "int32")
WEIGHTS = np.array([1.0, -2.0, 0.5, 3.0], "float32")


def numbers(x):
    return ops.convert_to_numpy(x).astype("float64")


def logits(rng, classes=5, scale=3.0):
    return (scale * rng.normal(size=(4, classes))).astype("float32")


def others(x, axis):
    """log sum exp of everything but the own entries of a row, or of a column."""
    rows = x.tolist() if axis == 1 else x.T.tolist()
    mine = [{c} for c in COLUMNS] if axis == 1 else [
        {i for i, c in enumerate(COLUMNS) if c == k} for k in range(x.shape[1])
    ]  # fmt: skip
    left = [[v for j, v in enumerate(r) if j not in m] for r, m in zip(rows, mine, strict=True)]
    return np.array([np.log(np.sum(np.exp(r))) if r else -1e37 for r in left])


@pytest.mark.parametrize("axis", [1, 0])
def test_others_and_own_equal_loops(axis, rng):
    x = logits(rng)
    found, own = class_logits.others_and_own(ops.convert_to_tensor(x), COLUMNS, axis=axis)
    np.testing.assert_allclose(numbers(found), others(x.astype("float64"), axis), rtol=1e-5)
    np.testing.assert_array_equal(numbers(own), x[np.arange(4), COLUMNS])


@pytest.mark.parametrize("axis", [1, 0])
def test_their_gradient_is_that_of_differences(axis, rng, gradient):
    x = logits(rng)
    weights = WEIGHTS if axis == 1 else np.concatenate([WEIGHTS, [-1.0]]).astype("float32")

    def function(x):
        found, own = class_logits.others_and_own(x, ops.convert_to_tensor(COLUMNS), axis=axis)
        return ops.sum(found * ops.convert_to_tensor(weights)) + ops.sum(own * own)

    def exact(x):
        return others(x, axis) @ weights.astype("float64") + (x[np.arange(4), COLUMNS] ** 2).sum()

    place, expected = x.astype("float64"), np.zeros(x.shape)
    for at in np.ndindex(*x.shape):
        step = np.zeros(x.shape)
        step[at] = 1e-6
        expected[at] = (exact(place + step) - exact(place - step)) / 2e-6
    np.testing.assert_allclose(gradient(function, x), expected, rtol=1e-4, atol=1e-5)


def test_an_own_logit_far_above_the_others_loses_none_of_them(rng, gradient):
    x = logits(rng)
    x[np.arange(4), COLUMNS] += 500
    found, _ = class_logits.others_and_own(ops.convert_to_tensor(x), COLUMNS)
    np.testing.assert_allclose(numbers(found), others(x.astype("float64"), 1), rtol=1e-5)
    slope = gradient(lambda x: class_logits.others_and_own(x, COLUMNS)[0], x)
    assert np.isfinite(slope).all()


@pytest.mark.parametrize("axis", [1, 0])
def test_of_one_class_there_are_no_others(axis, gradient):
    x, columns = np.ones((4, 1), "float32"), np.zeros(4, "int32")
    found, _ = class_logits.others_and_own(ops.convert_to_tensor(x), columns, axis=axis)
    assert (numbers(found) < -1e36).all()
    slope = gradient(lambda x: class_logits.others_and_own(x, columns, axis=axis)[0], x)
    np.testing.assert_array_equal(slope, 0)


def test_centers_and_their_gradient(rng, gradient):
    x = rng.normal(size=(2, 3, 4)).astype("float32")
    x[0, 0, 1] = x[0, 0, 2] = 5  # shared among the equal
    upstream = rng.normal(size=(2, 3)).astype("float32")
    functions = {
        "nearest": (class_logits.nearest_of_centers, lambda x: x.max(-1)),
        "softly": (
            lambda x: class_logits.softly_of_centers(x, 0.3),
            lambda x: (np.exp(x / 0.3) * x).sum(-1) / np.exp(x / 0.3).sum(-1),
        ),
    }
    for name, (function, exact) in functions.items():
        place = x.astype("float64")
        np.testing.assert_allclose(
            numbers(function(ops.convert_to_tensor(x))), exact(place), rtol=1e-5, err_msg=name
        )
        found = gradient(lambda x, f=function: f(x) * ops.convert_to_tensor(upstream), x)
        expected = np.zeros(x.shape)
        for at in np.ndindex(*x.shape):
            step = np.zeros(x.shape)
            step[at] = 1e-6
            ends = [(exact(place + sign * step) * upstream).sum() for sign in (1, -1)]
            expected[at] = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4, err_msg=name)


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="torch tells what it keeps")
def test_the_logits_alone_are_kept_for_the_gradient(rng):
    import torch

    kept = []

    def keep(tensor):
        if tensor.numel() >= x.numel():
            kept.append(tensor.data_ptr())
        return tensor

    x = ops.convert_to_tensor(logits(rng, 50)).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        found, own = class_logits.others_and_own(x, ops.convert_to_tensor(COLUMNS))
        ops.sum(ops.softplus(found - own))
    assert set(kept) == {x.data_ptr()}


def test_unit_products_in_blocks_and_their_gradients(rng, gradient, monkeypatch):
    monkeypatch.setattr(class_logits, "AT_ONCE", 3)
    rows = rng.normal(size=(2, 4)).astype("float32")
    weights = rng.normal(size=(8, 4)).astype("float32")
    sizes = np.array([1, 1, 1e-20, 1, 1e20, 1, 1, 1], "float32")[:, None]
    upstream = rng.normal(size=(2, 8)).astype("float32")

    def exact(rows, weights):
        unit = weights / np.linalg.norm(weights, axis=1, keepdims=True)
        return rows @ unit.T

    found = class_logits.unit_products(
        ops.convert_to_tensor(rows), ops.convert_to_tensor(weights * sizes)
    )
    place = rows.astype("float64"), weights.astype("float64")
    np.testing.assert_allclose(numbers(found), exact(*place), rtol=1e-5, atol=1e-6)
    for which in (0, 1):

        def function(x, which=which):
            both = [ops.convert_to_tensor(rows), ops.convert_to_tensor(weights)]
            both[which] = x
            return class_logits.unit_products(*both) * ops.convert_to_tensor(upstream)

        expected = np.zeros(place[which].shape)
        for at in np.ndindex(*expected.shape):
            ends = []
            for sign in (1e-6, -1e-6):
                moved = [x.copy() for x in place]
                moved[which][at] += sign
                ends.append((exact(*moved) * upstream).sum())
            expected[at] = (ends[0] - ends[1]) / 2e-6
        np.testing.assert_allclose(
            gradient(function, (rows, weights)[which]), expected, rtol=1e-3, atol=1e-4
        )


def test_a_zero_row_has_no_product_and_no_gradient(gradient):
    rows, weights = np.ones((2, 3), "float32"), np.zeros((4, 3), "float32")
    found = class_logits.unit_products(ops.convert_to_tensor(rows), ops.convert_to_tensor(weights))
    np.testing.assert_array_equal(numbers(found), 0)
    slope = gradient(lambda x: class_logits.unit_products(ops.convert_to_tensor(rows), x), weights)
    np.testing.assert_array_equal(slope, 0)
