"""What the backend of Keras says of its devices, and what it writes while it looks for GPUs.

TensorFlow names the CUDA libraries that it cannot load only in its log of details, so that log is
switched on for the look; JAX would reserve three quarters of a GPU's memory, so that is off.
"""

import contextlib
import os
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass

DURING_THE_LOOK = {
    "TF_CPP_MIN_LOG_LEVEL": "0",
    "TF_CPP_VMODULE": "dso_loader=1",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}
NAMES = {"tensorflow": "TensorFlow", "jax": "JAX", "torch": "torch"}


@dataclass(frozen=True)
class Look:
    """What a look at the backend found.

    Attributes:
        devices: those that Keras computes on, such as "CPU:0"; empty if the backend cannot be
            loaded.
        gpus: the GPUs among them.
        cuda: version of CUDA that the backend is built for; "" for a build without CUDA, None if
            only the installed packages can tell.
        said: what the backend wrote.
        problem: why it cannot be loaded, or "".
    """

    backend: str
    devices: tuple[str, ...] = ()
    gpus: tuple[str, ...] = ()
    cuda: str | None = None
    said: str = ""
    problem: str = ""


def look() -> Look:
    """Load Keras and its backend, list the devices, and keep what is written meanwhile."""
    backend, devices, cuda, problem = os.environ.get("KERAS_BACKEND", ""), (), None, ""
    with tempfile.TemporaryFile() as log:
        with _environment(DURING_THE_LOOK), _errors_into(log):
            try:
                import keras

                backend = keras.config.backend()
                cuda = _cuda(backend)
                devices = tuple(_devices(backend))
            except Exception as error:  # a broken backend may raise anything; its words are kept
                problem = f"{type(error).__name__}: {error}"
        log.seek(0)
        said = log.read().decode(errors="replace")
    gpus = tuple(device for device in devices if not device.lower().startswith("cpu"))
    return Look(backend or "tensorflow", devices, gpus, cuda, said, problem)


def _devices(backend: str) -> list[str]:
    if backend == "tensorflow":
        import tensorflow as tf

        return [device.name.split(":", 1)[1] for device in tf.config.list_physical_devices()]
    if backend == "jax":
        import jax

        return [f"{device.platform}:{device.id}" for device in jax.devices()]
    if backend == "torch":
        import keras
        import torch

        kind = keras.ops.zeros(()).device.type
        if kind != "cuda":
            return [kind]
        count = torch.cuda.device_count()
        return [f"gpu:{number} {torch.cuda.get_device_name(number)}" for number in range(count)]
    return ["cpu"]


def _cuda(backend: str) -> str | None:
    if backend == "tensorflow":
        import tensorflow as tf

        return str(tf.sysconfig.get_build_info().get("cuda_version", ""))
    if backend == "torch":
        import torch

        return torch.version.cuda or ""
    return None


@contextlib.contextmanager
def _environment(values: dict[str, str]) -> Iterator[None]:
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@contextlib.contextmanager
def _errors_into(log) -> Iterator[None]:
    """What C++ and Python write to standard error goes into the file `log`."""
    sys.stderr.flush()
    kept = os.dup(2)
    os.dup2(log.fileno(), 2)
    try:
        yield
    finally:
        sys.stderr.flush()
        os.dup2(kept, 2)
        os.close(kept)
