"""In row blocks no loss keeps anything of size B x B for its backward pass, on any backend."""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

from keras_metric import losses
from keras_metric.losses import PairLoss, TripletLoss

LABELLED = [n for n in losses.__all__ if issubclass(getattr(losses, n), PairLoss)]
MINED = [("TripletLoss", {"mining": m}) for m in ("hard", "easy_positive", "all")]
MINERS = [("MarginLoss", {"miner": m}) for m in ("angular", "distance_weighted")]
CASES = [*((name, {}) for name in LABELLED), *MINED, *MINERS]
CASES += [("TripletLoss", {"mining": "hard", "swap": True})]
BACKEND = keras.backend.backend()
ON_TENSORFLOW = BACKEND == "tensorflow"  # where a matrix has to be larger than what else may grow
ROWS, WIDTH, ANCHORS, BATCH = (128, 4, 512, 2048) if ON_TENSORFLOW else (16, 4, 64, 1024)
LIMIT = ANCHORS * BATCH / 2
LONG = ("PNPLoss", "SmoothAPLoss")  # thousands of steps in a loop


def of_anchors(loss, labels, x):
    """The anchors against the whole batch: what is cubic in it would take long of all."""
    return loss.loss_against(labels[:ANCHORS], x[:ANCHORS], labels, x, 0)


def kept_by_jax(loss, labels, x):
    """Numbers in the largest array that a gradient is computed from; nothing is computed here."""
    import jax

    labels = jax.numpy.asarray(labels, "int32")
    shapes = jax.eval_shape(lambda x: jax.vjp(lambda x: of_anchors(loss, labels, x), x)[1], x)
    return max(np.prod(leaf.shape) for leaf in jax.tree_util.tree_leaves(shapes))


def kept_by_torch(loss, labels, x):
    import torch

    kept = [0]

    def keep(tensor):
        kept.append(tensor.numel())
        return tensor

    x = ops.convert_to_tensor(x).requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        of_anchors(loss, labels, x)
    return max(kept)


def resident() -> int:
    """Bytes that this process holds now."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmRSS:"))


def kept_by_tensorflow(loss, labels, x):
    """Numbers by which the process grows while an eager tape is there."""
    import tensorflow as tf

    def grown(labels, x):
        x = tf.constant(x)
        before = resident()
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = of_anchors(loss, labels, x)
        held = resident() - before
        del tape, value
        return held / 4

    grown(labels, x)  # what a first call loads stays; memory used before may be used again
    held = grown(labels, x)
    return held if held < LIMIT else min(held, grown(labels, x))


KEPT = {"jax": kept_by_jax, "torch": kept_by_torch, "tensorflow": kept_by_tensorflow}


@pytest.mark.parametrize(("name", "options"), CASES)
def test_nothing_of_the_size_of_all_pairs_is_kept(name, options, rng):
    x = rng.normal(size=(BATCH, WIDTH)).astype("float32")
    labels = np.arange(BATCH) // 4
    if ON_TENSORFLOW and name in LONG:
        pytest.skip("takes thousands of eager steps; benchmarks/bounded_memory.py measures it")
    loss = getattr(losses, name)(rows_per_block=ROWS, **options)
    kept = KEPT[BACKEND](loss, labels, x)
    assert kept < LIMIT


@pytest.mark.skipif(
    keras.backend.backend() == "tensorflow", reason="a matrix may lie in free space"
)
def test_whole_rows_are_kept_without_blocks(rng):
    x = rng.normal(size=(BATCH, WIDTH)).astype("float32")
    loss = TripletLoss(mining="all")
    assert KEPT[BACKEND](loss, np.arange(BATCH) // 4, x) >= ANCHORS * BATCH


@pytest.mark.tensorflow
@pytest.mark.parametrize("mode", ["eager", "traced"])
def test_a_pass_in_blocks_grows_by_less_than_one_matrix(mode, rng):
    """Forward and backward, the whole batch: 4,096 rows, whose distances are 64 MiB."""
    import tensorflow as tf

    x, labels = rng.normal(size=(4096, 8)).astype("float32"), np.arange(4096) // 4
    loss = losses.InfoNCELoss(rows_per_block=64)

    def both(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            value = loss(labels[: x.shape[0]], x)
        return tape.gradient(value, x)

    both = both if mode == "eager" else tf.function(both)
    both(tf.constant(x[:128]))
    Path("/proc/self/clear_refs").write_text("5")
    before = resident()
    assert np.abs(both(tf.constant(x))).max() > 0
    lines = Path("/proc/self/status").read_text().splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    assert peak - before < 4 * 4096**2
