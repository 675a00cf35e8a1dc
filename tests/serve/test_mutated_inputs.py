"""Broken files and requests of every kind end in an answer or a refusal, never in a crash or hang.

In a process of its own, as a server loads the model: a crash is an exit code, a hang a time-out.
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.tensorflow

SCRIPT = Path(__file__).with_name("mutated_inputs.py")
COUNTS = [300, pytest.param(10_000, marks=pytest.mark.slow)]


def mutated(folder, count, *more) -> dict:
    command = [sys.executable, SCRIPT, folder / "1", str(count), *more]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60 + count / 10)
    assert done.returncode == 0, done.stderr[-2000:]
    print(done.stdout)
    told = json.loads(done.stdout)
    assert told["inputs"] >= count
    assert min(told["refused"], told["invalid"], told["valid"]) > 0
    return told


@pytest.mark.parametrize("count", COUNTS)
def test_through_the_c_library(home, count):
    mutated(home, count)


@pytest.mark.parametrize("count", COUNTS)
@pytest.mark.parametrize("way", ["rest", "grpc"])
def test_through_the_server(home, server, way, count):
    port = {"rest": server.rest, "grpc": server.rpc}[way]
    mutated(home, count, f"--{way}", str(port))
    assert server.process.poll() is None
