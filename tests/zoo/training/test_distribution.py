"""A recipe over several devices or processes ends at the weights of one device."""

import json
import os
import signal
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import keras
import numpy as np
import pytest

import zoo
from zoo.cli import main
from zoo.training.distribution import Distribution, Share, check_even

pytestmark = pytest.mark.every_backend

SCRIPT = Path(__file__).with_name("train_apart.py")
# Adam divides a gradient by its own size, its rounding too: a small rate keeps that small
SETTINGS = {
    "epochs": 2,
    "batches_per_epoch": 2,
    "classes_per_batch": 6,
    "images_per_class": 4,
    "embedding": 16,
} | {"learning_rate": 1e-4}
JAX = keras.config.backend() == "jax"


def start(folder: Path, *, last_epoch: int | None = None, **arguments) -> subprocess.Popen:
    """A short training in a process of its own, which may kill itself after an epoch."""
    root = str(SCRIPT.parents[3])
    path = os.pathsep.join(filter(None, [root, os.environ.get("PYTHONPATH")]))
    killed = [] if last_epoch is None else [str(last_epoch)]
    return subprocess.Popen(
        [sys.executable, SCRIPT, folder, json.dumps(SETTINGS), json.dumps(arguments), *killed],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": path},
    )


def finish(*processes: subprocess.Popen) -> list[dict]:
    """What each process found, when all have ended well."""
    with ThreadPoolExecutor() as pool:  # read side by side: none may wait for a full pipe
        said = list(pool.map(lambda process: process.communicate(), processes))
    assert not any(process.returncode for process in processes), said[-1][1][-3000:]
    return [json.loads(out.splitlines()[-1]) for out, _ in said]


def assert_trained_alike(one: dict, *others: dict) -> None:
    """The same weights, not those of the start, and the same losses."""
    keras.utils.set_random_seed(0)
    recipe = zoo.get("digits-triplet")
    resolved = recipe.resolve_settings(SETTINGS)
    before = recipe.build(resolved, recipe.data(resolved, None)).get_weights()
    assert np.abs(before[0] - np.array(one["weights"][0])).max() > SETTINGS["learning_rate"]
    for other in others:
        for a, b in zip(one["weights"], other["weights"], strict=True):
            np.testing.assert_allclose(b, a, rtol=1e-6, atol=1e-6)
        for a, b in zip(one["history"], other["history"], strict=True):
            assert b == pytest.approx(a, abs=1e-6)


@pytest.mark.tensorflow
def test_two_replicas_train_as_one_device(tmp_path):
    one, two = finish(start(tmp_path / "one"), start(tmp_path / "two", way="mirrored", devices=2))
    assert_trained_alike(one, two)
    assert two["devices"] == "mirrored, 2 devices"
    assert two["synchronized"] == [False, False]  # so that the file loads on any backend


@pytest.mark.skipif(not JAX, reason="processes are those of JAX")
def test_two_processes_train_as_one_device(tmp_path):
    two = two_processes(tmp_path / "two")
    assert_trained_alike(*finish(start(tmp_path / "one"), *two))
    assert (tmp_path / "two" / "checkpoint" / "epoch-2.weights.h5").exists()


@pytest.mark.slow
@pytest.mark.skipif(keras.config.backend() == "torch", reason="nothing is distributed on torch")
def test_killed_and_started_again_they_train_as_one_device(tmp_path):
    def both(**options):
        if JAX:
            return two_processes(tmp_path / "run", **options)
        return [start(tmp_path / "run", way="mirrored", devices=2, **options)]

    for process in both(last_epoch=1):
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    state = json.loads((tmp_path / "run" / "checkpoint" / "state.json").read_text())
    assert state["epoch"] == 1
    assert_trained_alike(*finish(start(tmp_path / "one"), *both()))


def two_processes(folder: Path, **options) -> list[subprocess.Popen]:
    with socket.socket() as free:
        free.bind(("localhost", 0))
        where = f"localhost:{free.getsockname()[1]}"
    options |= {"way": "processes", "coordinator": where, "processes": 2}
    return [start(folder, process=process, **options) for process in (0, 1)]


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--distribute", "multiworker"], ["keras-team/keras#20585", "--distribute processes"]),
        (["--distribute", "mirored"], ["Unknown way", "mirrored, processes"]),
        (["--devices", "2"], ["no meaning here"]),
        (["--distribute", "processes", "--processes", "2"], ["are not configured"]),
        (
            [
                "--distribute",
                "processes",
                "--coordinator",
                "a:1",
                "--processes",
                "2",
                "--process",
                "2",
            ],
            ["are not configured"],
        ),
    ],
)
def test_what_does_not_work_is_refused(options, words, tmp_path, capsys):
    assert main(["train", "digits-triplet", "--out", str(tmp_path / "run"), *options]) == 1
    error = capsys.readouterr().err
    for word in [*words, "Expected", "Received"]:
        assert word in error
    assert not (tmp_path / "run").exists()


def test_workers_of_tensorflow_are_refused(tmp_path, monkeypatch, capsys):
    config = '{"cluster": {"worker": ["a:1", "b:1"]}, "task": {"type": "worker", "index": 0}}'
    monkeypatch.setenv("TF_CONFIG", config)
    assert main(["train", "digits-triplet", "--out", str(tmp_path / "run")]) == 1
    error = capsys.readouterr().err
    assert "MultiWorkerMirroredStrategy" in error
    assert "keras-team/keras#20585" in error
    assert "--distribute processes" in error
    assert "Received: TF_CONFIG with 2 workers" in error


@pytest.mark.skipif(JAX, reason="about the other backends")
def test_processes_need_jax():
    options = {"coordinator": "localhost:1", "processes": 2, "process": 0}
    with pytest.raises(ValueError, match="KERAS_BACKEND=jax. Received"):
        Distribution("processes", **options)


class Counted(keras.utils.PyDataset):
    epoch = 3

    def __len__(self):
        return 2

    def __getitem__(self, index):
        rows = np.arange(6) + 6 * index
        return (rows[:, None], rows[:, None] * 2), rows * 3


def test_shares_make_the_whole_batch_in_its_order():
    whole = Counted()
    shares = [Share(whole, process, 3) for process in range(3)]
    for index in range(2):
        flat = [keras.tree.flatten(share[index]) for share in shares]
        joined = [np.concatenate(parts) for parts in zip(*flat, strict=True)]
        for ours, all_rows in zip(joined, keras.tree.flatten(whole[index]), strict=True):
            np.testing.assert_array_equal(ours, all_rows)
    assert [len(share) for share in shares] == [2, 2, 2]
    shares[0].epoch = 5
    assert whole.epoch == 5
    check_even(whole, 3)
    with pytest.raises(ValueError, match="4 divides.*Received: 6"):
        check_even(whole, 4)
