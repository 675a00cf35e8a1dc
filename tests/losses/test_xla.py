import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("compile_with_xla.py")


def compiled(python, *names):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [*python, PROGRAM, *names]
    run = subprocess.run(command, capture_output=True, text=True, env=env)
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout


@pytest.mark.tensorflow
def test_losses_train_under_xla_with_any_batch_size(python):
    names = ["InfoNCELoss", "TripletLoss", "LiftedStructureLoss"]
    assert "compiled 3" in compiled(python, *names)


@pytest.mark.tensorflow
def test_row_blocks_compile_under_xla(python):
    """A branch around a loop over blocks: XLA broke the memory of the process."""
    program = """if True:
        import numpy as np, tensorflow as tf
        from keras_metric import losses
        loss = losses.TripletLoss(rows_per_block=64)
        x = tf.constant(np.random.default_rng(0).normal(size=(256, 8)).astype("float32"))
        def both(labels, x):
            with tf.GradientTape() as tape:
                tape.watch(x)
                value = loss(labels, x)
            return value, tape.gradient(value, x)
        labels = tf.constant(np.arange(256) // 4)
        expected, wanted = both(labels, x)
        value, gradient = tf.function(both, jit_compile=True)(labels, x)
        assert abs(value - expected) < 1e-5, (value, expected)
        assert np.abs(gradient - wanted).max() < 1e-6
        print("compiled")
    """
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    run = subprocess.run([*python, "-c", program], capture_output=True, text=True, env=env)
    assert "compiled" in run.stdout, run.stderr[-2000:]


@pytest.mark.tensorflow
@pytest.mark.slow
def test_every_loss_trains_under_xla_with_any_batch_size(python):
    assert "compiled" in compiled(python)
