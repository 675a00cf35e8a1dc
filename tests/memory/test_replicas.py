"""Two replicas of a `tf.distribute` strategy train as one device does, when rows are gathered."""

import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import numpy as np
import pytest

from keras_metric import heads, losses
from keras_metric.memory import gather, replica_mean

SCRIPT = Path(__file__).with_name("two_replicas.py")
MATRIX = Path(__file__).with_name("replica_matrix.py")
SOME = ("MultiSimilarityLoss", "LiftedStructureLoss", "VICRegLoss", "ContrastiveLoss", "SoftTriple")
EQUAL = [
    "hard",
    "semi-hard",
    "all",
    "row blocks",
    "context",
    "beyond the row",
    "sum",
    "memory",
    "across branches",
    "gradient cache",
]
UNEVEN = [
    "uneven last batch",
    "an empty replica",
    "weighted mean",
    "proxy anchor",
    "proxy anchor on one replica",
    "arcface",
    "sampled classes",
    "sampled proxy anchor",
]


def printed(*command):
    """What a program of this folder prints last, as JSON."""
    root = str(SCRIPT.parents[2])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    done = subprocess.run(
        [sys.executable, *command],
        capture_output=True,
        text=True,
        env={**os.environ, "KERAS_BACKEND": "tensorflow", "PYTHONPATH": path},
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def runs():
    return printed(SCRIPT)


def check_matrix(*names):
    """Gradients of every reduction, with and without weights, on replicas of 5 and 3 rows."""
    differences = printed(MATRIX, *names)
    for case, (apart, size) in differences.items():
        assert size > 1e-6, case
        assert apart < 2e-5 * max(size, 1), case
    return differences


@pytest.mark.tensorflow
def test_gradients_of_two_replicas_are_those_of_one_device():
    assert len(check_matrix(*SOME)) == 10 * len(SOME)


@pytest.mark.tensorflow
@pytest.mark.slow
def test_so_are_those_of_every_loss_and_head():
    assert len(check_matrix()) == 10 * len([*losses.__all__, *heads.__all__])


@pytest.mark.tensorflow
@pytest.mark.parametrize("case", EQUAL)
def test_gathered_training_equals_one_device(case, runs):
    one, two = runs["one"][case], runs["two"][case]
    np.testing.assert_allclose(two["loss"], one["loss"], rtol=1e-6)
    np.testing.assert_allclose(two["weights"], one["weights"], rtol=1e-6, atol=1e-6)


@pytest.mark.tensorflow
@pytest.mark.parametrize("case", UNEVEN)
def test_uneven_replicas_take_the_same_steps(case, runs):
    """The loss shown is Keras's mean over replicas by rows; the weights are what counts."""
    one, two = (runs[name][case]["weights"] for name in ("one", "two"))
    np.testing.assert_allclose(two, one, rtol=1e-6, atol=1e-6)


@pytest.mark.tensorflow
def test_without_gathering_they_differ(runs):
    one, two = (runs[name]["not gathered"] for name in ("one", "two"))
    assert abs(one["loss"][0] - two["loss"][0]) > 0.1
    assert np.abs(np.subtract(one["weights"], two["weights"])).max() > 0.01


def test_outside_of_a_strategy_nothing_happens(rng):
    labels = keras.ops.convert_to_tensor(np.arange(3, dtype="int32"))
    embeddings = keras.ops.convert_to_tensor(rng.normal(size=(3, 2)).astype("float32"))
    all_labels, all_embeddings, offset = gather(labels, embeddings)
    assert all_labels is labels
    assert all_embeddings is embeddings
    assert offset == 0
    assert replica_mean(embeddings) is embeddings


@pytest.mark.skipif(keras.backend.backend() != "torch", reason="about torch processes")
def test_refuses_several_torch_processes():
    from torch import distributed
    from torch.testing._internal.distributed.fake_pg import FakeStore

    distributed.init_process_group("fake", store=FakeStore(), rank=0, world_size=2)
    try:
        with pytest.raises(NotImplementedError, match="torch.distributed group of 2"):
            gather(np.arange(3), np.zeros((3, 2)))
    finally:
        distributed.destroy_process_group()
