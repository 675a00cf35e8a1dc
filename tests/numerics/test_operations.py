"""Kernels and their gradients against plain NumPy."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_metric.numerics import operations

VALUES = np.array([[0.3, -2, 1, 0.5], [2, 1, 0, -1], [4, 3, 2, 1]], "float32")
CHOSEN = np.array([[1, 0, 1, 1], [0, 1, 0, 0], [0, 0, 0, 0]], bool)


@pytest.mark.parametrize("scale", [1.0, -1.0, 0.5, -20.0])
@pytest.mark.parametrize("axis", [-1, 0])
def test_masked_logsumexp_and_its_gradient(scale, axis, gradient):
    mask = CHOSEN if axis == -1 else CHOSEN[:, [0, 1, 1, 2]]  # the last row or column is empty
    powers = np.where(mask, np.exp(scale * VALUES.astype("float64")), 0)
    total = powers.sum(axis, keepdims=True)
    some = total.squeeze(axis) > 0
    value = operations.masked_logsumexp(ops.convert_to_tensor(VALUES), mask, scale, axis=axis)
    value = ops.convert_to_numpy(value)
    np.testing.assert_allclose(value[some], np.log(total.squeeze(axis)[some]), rtol=1e-5)
    assert (value[~some] < -1e36).all()
    found = gradient(lambda x: operations.masked_logsumexp(x, mask, scale, axis=axis), VALUES)
    weights = scale * powers / np.where(total > 0, total, 1)
    np.testing.assert_allclose(found, weights, rtol=1e-5, atol=1e-7)


def test_columns_pass_their_gradient_on(gradient):
    columns = np.array([[2, 0], [1, 1], [3, 0]], "int32")

    def function(x):
        every, some = operations.with_columns(x, ops.convert_to_tensor(columns))
        return ops.sum(ops.square(every), axis=1) + ops.sum(3 * some, axis=1)

    expected = 2 * VALUES
    for row, places in enumerate(columns):
        for place in places:
            expected[row, place] += 3
    np.testing.assert_allclose(gradient(function, VALUES), expected, rtol=1e-6)
    _, some = operations.with_columns(ops.convert_to_tensor(VALUES), ops.convert_to_tensor(columns))
    np.testing.assert_array_equal(
        ops.convert_to_numpy(some), np.take_along_axis(VALUES, columns, 1)
    )


def test_cross_entropy_of_chosen_and_its_gradient(gradient):
    mask = np.array([[1, 0, 1, 1], [0, 1, 0, 0], [1, 1, 1, 1]], bool)
    logits = (VALUES * 30).astype("float64")
    powers = np.exp(logits - logits.max(1, keepdims=True))
    targets = mask / mask.sum(1, keepdims=True)
    expected = np.log(powers.sum(1)) + logits.max(1) - (targets * logits).sum(1)

    def function(x):
        return operations.cross_entropy_of_chosen(x, ops.convert_to_tensor(mask))

    value = function(ops.convert_to_tensor(VALUES * 30))
    np.testing.assert_allclose(ops.convert_to_numpy(value), expected, rtol=1e-5, atol=1e-5)
    weights = np.array([1.0, -2.0, 0.5], "float32")
    found = gradient(
        lambda x: function(x) * ops.convert_to_tensor(weights), (VALUES * 30).astype("float32")
    )
    slope = weights[:, None] * (powers / powers.sum(1, keepdims=True) - targets)
    np.testing.assert_allclose(found, slope, rtol=1e-5, atol=1e-6)


def test_softplus_and_its_gradient(gradient):
    x = np.array([[-80, -20, -1, 0, 1, 20, 80]], "float32")
    exact = x.astype("float64")
    value = ops.convert_to_numpy(operations.softplus(ops.convert_to_tensor(x)))
    np.testing.assert_allclose(value, np.log1p(np.exp(exact)), rtol=1e-6)
    np.testing.assert_allclose(
        gradient(operations.softplus, x), 1 / (1 + np.exp(-exact)), rtol=1e-6
    )


def test_all_products():
    products = operations.all_products(ops.convert_to_tensor(VALUES), ops.convert_to_tensor(VALUES))
    np.testing.assert_allclose(ops.convert_to_numpy(products), VALUES @ VALUES.T, rtol=1e-6)


@pytest.mark.skipif(keras.backend.backend() != "jax", reason="the others have no such argument")
def test_products_are_of_full_precision_unless_one_has_set_another():
    """On a GPU JAX rounds the factors otherwise; a processor computes the same either way."""
    import jax

    def asked():
        return str(jax.make_jaxpr(operations.all_products)(VALUES, VALUES))

    assert "HIGHEST" in asked()
    with jax.default_matmul_precision("bfloat16"):
        assert "HIGHEST" not in asked()


@pytest.mark.tensorflow
@pytest.mark.parametrize("graph", [False, True])
def test_second_derivatives_of_a_masked_logsumexp(graph):
    """diag(w) - w wT for the softmax w."""
    import tensorflow as tf

    x, mask = tf.constant(VALUES[:1]), CHOSEN[:1]

    def hessian():
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                total = tf.reduce_sum(operations.masked_logsumexp(x, mask, -2.0))
            first = inner.gradient(total, x)
        return outer.jacobian(first, x)[0, :, 0]

    powers = np.where(mask[0], np.exp(-2 * VALUES[0].astype("float64")), 0)
    weights = powers / powers.sum()
    expected = 4 * (np.diag(weights) - np.outer(weights, weights))
    found = (tf.function(hessian) if graph else hessian)()
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("size", [1e-30, 1e-3, 1, 1e30])
def test_rows_of_length_1_and_their_gradient(size, gradient):
    axis = [[0, 0, 5, 0]]  # its largest number is its length
    rows = np.concatenate([VALUES * size, np.multiply(axis, size), np.zeros((1, 4))])
    rows = rows.astype("float32")
    x = rows[:4].astype("float64")
    lengths = np.linalg.norm(x, axis=1, keepdims=True)
    value = ops.convert_to_numpy(operations.unit_rows(ops.convert_to_tensor(rows)))
    np.testing.assert_allclose(value[:4], x / lengths, rtol=1e-5)
    np.testing.assert_array_equal(value[4], 0)
    weights = np.array([1.0, -2.0, 0.5, 3.0])
    found = gradient(lambda x: operations.unit_rows(x) * ops.cast(weights, "float32"), rows)
    along = (weights * x).sum(1, keepdims=True) * x / lengths**2
    np.testing.assert_allclose(found[:4], (weights - along) / lengths, rtol=1e-4, atol=1e-5 / size)
    np.testing.assert_array_equal(found[4], 0)


@pytest.mark.tensorflow
@pytest.mark.parametrize("graph", [False, True])
def test_second_derivatives_of_rows_of_length_1(graph):
    """Of w . x / |x|, by central differences of its gradient, w / |x| - (w . x) x / |x|^3."""
    import tensorflow as tf

    x, weights = tf.constant(VALUES[:1]), np.array([1, -2, 0.5, 3])

    def hessian():
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as inner:
                inner.watch(x)
                total = tf.reduce_sum(operations.unit_rows(x) * weights.astype("float32"))
            first = inner.gradient(total, x)
        return outer.jacobian(first, x)[0, :, 0]

    def first(x):
        length = np.linalg.norm(x)
        return weights / length - (weights @ x) * x / length**3

    place = VALUES[0].astype("float64")
    expected = [(first(place + step) - first(place - step)) / 2e-6 for step in 1e-6 * np.eye(4)]
    found = (tf.function(hessian) if graph else hessian)()
    np.testing.assert_allclose(found, expected, atol=1e-5)
