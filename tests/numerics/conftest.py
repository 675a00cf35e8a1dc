import keras
import numpy as np
import pytest
from keras import ops


@pytest.fixture(scope="session")
def gradient():
    return of_sum


def of_sum(function, x):
    """Of the sum of `function(x)`, on any backend."""
    backend = keras.backend.backend()
    if backend == "jax":
        import jax

        return np.asarray(jax.grad(lambda x: ops.sum(function(x)))(jax.numpy.asarray(x)))
    if backend == "torch":
        x = ops.convert_to_tensor(x).detach().requires_grad_()
        ops.sum(function(x)).backward()
        return ops.convert_to_numpy(x.grad)
    import tensorflow as tf

    x = tf.constant(x)
    with tf.GradientTape() as tape:
        tape.watch(x)
        total = ops.sum(function(x))
    return tape.gradient(total, x).numpy()
