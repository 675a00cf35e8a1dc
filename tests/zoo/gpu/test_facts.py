"""The facts of this machine, which has no GPU, and its backend, which is built for the CPU."""

import importlib.metadata
import json
import os
import subprocess
import sys
from pathlib import Path

import keras
import pytest

from zoo.cli import main
from zoo.gpu.backends import look
from zoo.gpu.facts import gather
from zoo.gpu.reasons import reasons

pytestmark = pytest.mark.every_backend
BACKEND = keras.config.backend()
ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def seen():
    found = look()
    if found.gpus or found.cuda:
        pytest.skip("this machine has a GPU, or its backend is built for one")
    return found


def test_the_backend_is_built_for_the_cpu(seen):
    assert (seen.backend, seen.gpus, seen.problem) == (BACKEND, (), "")
    assert [device.lower().rstrip(":0") for device in seen.devices] == ["cpu"]
    facts = gather(seen)
    assert facts.cuda == ""
    assert facts.unmet == ()
    assert facts.system == {"linux": "Linux", "darwin": "Darwin"}.get(sys.platform, "Windows")
    package = "tensorflow-cpu" if BACKEND == "tensorflow" else BACKEND
    assert facts.packages[package] == importlib.metadata.version(package)
    if not facts.pci:
        assert (facts.module, dict(facts.device_files), facts.cards) == ("", {}, ())
        assert [reason.name for reason in reasons(facts)] == ["no_gpu"]


def test_on_a_machine_with_a_gpu_this_build_is_the_reason(seen, machine):
    """The packages are the real ones of this environment."""
    facts = gather(seen, machine.root, None, machine.environment)
    found = reasons(facts)
    assert [reason.name for reason in found] == ["cpu_build"]
    package = "tensorflow-cpu" if BACKEND == "tensorflow" else BACKEND
    assert f"{package} {importlib.metadata.version(package)}" in found[0].seen


HIDES = {
    "tensorflow": "CUDA_VISIBLE_DEVICES",
    "jax": "JAX_PLATFORMS",
    "torch": "KERAS_TORCH_DEVICE",
}


def test_doctor_says_why(seen, monkeypatch, capsys):
    variable = HIDES[BACKEND]
    value = "-1" if BACKEND == "tensorflow" else "cpu"
    monkeypatch.setenv(variable, value)
    assert main(["doctor"]) == 0
    text = capsys.readouterr().out
    assert "gpu       not used" in text
    assert f"  seen  {variable}={value!r}" in text
    assert f"  mend  unset {variable}" in text
    assert main(["doctor", "--json"]) == 0
    gpu = json.loads(capsys.readouterr().out)["gpu"]
    assert gpu["used"] is False
    assert gpu["reasons"][0]["name"] == ("hidden" if value == "-1" else "forced_to_cpu")
    assert set(gpu["reasons"][0]) == {"name", "seen", "means", "mend"}
    assert gpu["facts"]["environment"][variable] == value


def test_the_look_leaves_the_environment_and_the_streams_as_they_were(capfd):
    before = dict(os.environ)
    look()
    assert dict(os.environ) == before
    os.write(2, b"heard")
    assert capfd.readouterr().err.endswith("heard")


PLUGIN = """
def initialize():
    raise RuntimeError("Unable to load cuDNN. Is it installed?")
"""
LOOK = "from zoo.gpu.backends import look; print(look().said)"


@pytest.mark.slow
@pytest.mark.skipif(BACKEND != "jax", reason="a plugin of JAX")
def test_what_the_backend_writes_is_heard(tmp_path):
    """A plugin that cannot start: JAX says so on standard error, and goes on without it."""
    plugin = tmp_path / "jax_plugins/broken/__init__.py"
    plugin.parent.mkdir(parents=True)
    plugin.write_text(PLUGIN)
    folders = f"{tmp_path}{os.pathsep}{ROOT}"
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        env={**os.environ, "PYTHONPATH": folders},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert "Unable to load cuDNN. Is it installed?" in done.stdout
    assert done.stderr == ""


def test_a_backend_that_does_not_load_is_reported(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "zoo", "doctor", "--json"],
        env={**os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "abacus"},
        capture_output=True,
        text=True,
        cwd=tmp_path,
    )
    assert done.returncode == 1
    found = json.loads(done.stdout)
    assert (found["usable"], found["backend"], found["devices"]) == (False, "abacus", [])
    assert found["problem"] == "ValueError: Unable to import backend : abacus"
    assert found["gpu"]["reasons"] == []
