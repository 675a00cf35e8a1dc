"""Row blocks leave no block for the backward pass of an eager tape."""

from pathlib import Path

import numpy as np
import pytest
from keras import ops

from keras_metric import losses
from keras_metric.numerics import blocks


def resident() -> int:
    """Bytes that this process holds now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


@pytest.mark.tensorflow
def test_an_eager_tape_keeps_no_row_block(rng):
    """4,096 rows in blocks of 256: the (B, B) distances alone are 64 MiB."""
    import tensorflow as tf

    x = tf.constant(rng.normal(size=(4096, 8)).astype("float32"))
    shapes = []

    def of_rows(start, rows, shared):
        distances = ops.matmul(rows, ops.transpose(shared))
        shapes.append(tuple(distances.shape))
        return ops.sum(ops.exp(ops.tanh(distances)) ** 2, axis=1)

    def kept(x):
        before = resident()
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = blocks.map_rows(of_rows, x, x, rows_per_block=256)
        held = resident() - before
        return held, tape.gradient(value, x)

    kept(x[:256])  # what a first call loads stays; memory used before would be used again
    held, gradient = kept(x)
    assert set(shapes) == {(256, 256), (256, 4096)}
    assert np.abs(gradient).max() > 0
    assert held < 40 * 2**20


@pytest.mark.tensorflow
def test_an_eager_loss_in_blocks_has_the_gradient_of_the_whole(rng):
    import tensorflow as tf

    x, labels = tf.constant(rng.normal(size=(20, 4)).astype("float32")), np.arange(20) // 4
    slopes = []
    for rows in (None, 6):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = losses.InfoNCELoss(rows_per_block=rows)(labels, x)
        slopes.append(tape.gradient(value, x).numpy())
    np.testing.assert_allclose(*slopes, rtol=1e-4, atol=1e-6)
