"""A server in a process of its own, on loopback, over a tiny exported network."""

import subprocess
import sys
from types import SimpleNamespace

import keras
import numpy as np
import pytest

STARTED = """
import sys
from keras_metric.serve import serve
serve(
    sys.argv[1], name="tiny", rest_port=0, grpc_port=0, poll_seconds=0.1, threads=1,
    max_bytes=2**20, ready=lambda name, rest, rpc: print(name, rest, rpc, flush=True),
)
"""


@pytest.fixture(scope="session")
def model():
    keras.utils.set_random_seed(4)
    layers = keras.layers
    inputs = keras.Input((8, 6, 3))
    x = layers.RandomFlip()(inputs)
    x = layers.Conv2D(4, 3, activation="relu")(x)
    x = layers.Dense(3, activation="softmax")(layers.GlobalAveragePooling2D()(x))
    return keras.Model(inputs, x)


@pytest.fixture(scope="session")
def home(model, tmp_path_factory):
    """The model's folder, with version 1."""
    from keras_metric.export import saved_model

    folder = tmp_path_factory.mktemp("served") / "model"
    saved_model(model, folder, labels=["ant", "bée", "cat"], top=2)
    return folder


@pytest.fixture(scope="session")
def launch(tmp_path_factory):
    """`folder -> server`: a process that answers, with its ports; ended after the tests.

    What it logs goes to a file: a pipe that nobody reads would fill, and hold the server up.
    """
    for package in ("starlette", "uvicorn", "grpc"):
        pytest.importorskip(package)
    processes = []

    def started(folder):
        log = tmp_path_factory.mktemp("server") / "log"
        command = [sys.executable, "-c", STARTED, str(folder)]
        with log.open("wb") as errors:
            process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=errors, text=True)
        processes.append(process)
        line = process.stdout.readline()
        if not line:
            process.wait()
            raise RuntimeError(log.read_text(errors="replace"))
        _, rest, rpc = line.split()
        return SimpleNamespace(process=process, rest=int(rest), rpc=int(rpc))

    yield started
    for process in processes:
        process.terminate()
        process.communicate(timeout=30)


@pytest.fixture(scope="session")
def server(home, launch):
    return launch(home)


@pytest.fixture(scope="session")
def pixels():
    return np.random.default_rng(2).integers(0, 256, (4, 8, 6, 3)).astype(np.uint8)
