"""Settings of every test: quiet backends, few threads, and where the real data is."""

import os
import shutil
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
# As many processes as processors: threads of one would wait for those of the other.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# Tests compile much and compute little.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")
# What one test, module or process has compiled for JAX is there for the next.
FIRST = "JAX_COMPILATION_CACHE_DIR" not in os.environ
if FIRST and os.environ["KERAS_BACKEND"] == "jax":
    os.environ["JAX_COMPILATION_CACHE_DIR"] = tempfile.mkdtemp(prefix="keras-metric-jax-")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")

import keras  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
BACKEND = os.environ["KERAS_BACKEND"]

# Files, pages, commands and NumPy: what these hold does not depend on the backend, and runs on
# TensorFlow. A file below them that does runs on all: it says `every_backend`.
ON_TENSORFLOW = (
    "plots",
    "retrieval",
    "serve",
    "zoo/commands",
    "zoo/datasets",
    "zoo/demo",
    "zoo/evaluation",
    "zoo/inference",
    "zoo/reports",
    "zoo/runs",
)


def pytest_ignore_collect(collection_path, config):
    """On JAX and torch, no file of `ON_TENSORFLOW` is even imported, unless asked for by name."""
    if BACKEND == "tensorflow" or collection_path.suffix != ".py":
        return None
    place = collection_path.relative_to(Path(__file__).parent).as_posix()
    if not place.startswith(tuple(f"{folder}/" for folder in ON_TENSORFLOW)):
        return None
    if any(Path(argument.split("::")[0]).name == collection_path.name for argument in config.args):
        return None
    return "every_backend" not in collection_path.read_text(encoding="utf-8") or None


def pytest_unconfigure(config):
    if FIRST and BACKEND == "jax" and not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)


def pytest_collection_modifyitems(config, items):
    if BACKEND == "tensorflow":
        return
    skip = pytest.mark.skip(reason=f"needs the TensorFlow backend, this run is on {BACKEND}")
    for item in items:
        if "tensorflow" in item.keywords:
            item.add_marker(skip)


@pytest.fixture(autouse=True)
def seeded():
    """Every test draws the same random numbers, whatever ran before it."""
    keras.utils.set_random_seed(0)


@pytest.fixture(scope="module", autouse=True)
def forget_compiled_code():
    """JAX keeps every function it has compiled; over a whole run that is gigabytes."""
    keras.utils.set_random_seed(0)
    yield
    if BACKEND == "jax":
        import jax

        jax.clear_caches()


@pytest.fixture
def rng():
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def real_data():
    """The folder of real data sets: KERAS_METRIC_DATA, else `shared/data` beside the checkout."""
    folder = Path(os.environ.get("KERAS_METRIC_DATA", ROOT.parent / "shared" / "data"))
    if folder.is_dir():
        return folder
    reason = f"no real data: expected a folder at {folder} (set KERAS_METRIC_DATA)"
    if os.environ.get("CI") == "true":
        pytest.fail(reason)
    pytest.skip(reason)
