"""Settings of every test: quiet backends, few threads, and where the real data is."""

import os
import shutil
import sys
import tempfile
from collections import Counter
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
# Where processes of tests find a Python that has imported Keras: see warm_python.py.
OWNER = "KERAS_METRIC_WARM_PYTHON" not in os.environ
if OWNER:
    os.environ["KERAS_METRIC_WARM_PYTHON"] = tempfile.mkdtemp(
        prefix="keras-metric-", suffix=f"-{os.getpid()}"
    )

import keras  # noqa: E402
import numpy as np  # noqa: E402
import pytest  # noqa: E402

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
BACKEND = os.environ["KERAS_BACKEND"]

# Files, pages, commands, NumPy, and how models are taken apart and put together with Keras's own
# layers: what these hold does not depend on the backend, and runs on TensorFlow. A file below them
# that does runs on all: it says `every_backend`.
ON_TENSORFLOW = (
    *("plots", "retrieval", "serve", "zoo"),
    *("batches/test_draws.py", "batches/test_folder.py", "compat/test_tfa.py"),
    *("cam/network", "cam/scores", "cam/test_applications.py"),
    *("cam/test_refusals.py", "cam/test_rendering.py"),
    *("convert/geometry", "convert/graph", "convert/loading"),
    *("convert/apply/test_detections.py", "convert/apply/test_heat.py"),
    *("convert/apply/test_scan_inputs.py", "convert/apply/test_segmentation.py"),
    *("convert/test_applications.py", "convert/test_augmentation_inside.py"),
    *("convert/test_properties.py", "convert/test_refusals.py"),
    "export/saved_models/test_versions.py",
    *("metrics/test_all_pairs.py", "metrics/test_callbacks.py", "metrics/test_clustering.py"),
    *("metrics/test_detection.py", "metrics/test_intervals.py", "metrics/test_multi_label.py"),
    *("metrics/test_one_shot.py", "metrics/test_retrieval.py", "metrics/test_verification.py"),
    *("test_arguments.py", "test_docs.py", "test_files_visited.py"),
    *("test_floors.py", "test_inference_calls.py"),
    *("test_pages.py", "test_ratios.py", "test_readme.py", "test_repository.py"),
    *("test_saved_classes.py", "test_surface.py", "test_wheel.py"),
)


# On JAX every new shape is compiled, which is what these tests spend their time on there. The usual
# run has every third case of a test; TensorFlow and torch run all of them.
THIRDS_ON_JAX = ("cam", "convert")


def pytest_ignore_collect(collection_path, config):
    """On JAX and torch, no file of `ON_TENSORFLOW` is even imported, unless asked for by name."""
    if BACKEND == "tensorflow" or collection_path.suffix != ".py":
        return None
    place = collection_path.relative_to(HERE).as_posix()
    if not f"{place}/".startswith(tuple(f"{there}/" for there in ON_TENSORFLOW)):
        return None
    if any(Path(argument.split("::")[0]).name == collection_path.name for argument in config.args):
        return None
    return "every_backend" not in collection_path.read_text(encoding="utf-8") or None


def pytest_unconfigure(config):
    if OWNER:
        shutil.rmtree(os.environ.pop("KERAS_METRIC_WARM_PYTHON"), ignore_errors=True)
    if FIRST and BACKEND == "jax" and not hasattr(config, "workerinput"):
        shutil.rmtree(os.environ["JAX_COMPILATION_CACHE_DIR"], ignore_errors=True)


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config, items):
    _slow_off_the_diagonal([item for item in items if "diagonal" in item.keywords])
    if BACKEND == "tensorflow":
        return
    if BACKEND == "jax":
        _slow_but_thirds([item for item in items if item.path.is_relative_to(HERE)])
    skip = pytest.mark.skip(reason=f"needs the TensorFlow backend, this run is on {BACKEND}")
    for item in items:
        if "tensorflow" in item.keywords:
            item.add_marker(skip)


def _slow_but_thirds(items):
    counts = Counter()
    for item in items:
        if (
            not hasattr(item, "callspec")
            or item.path.relative_to(HERE).parts[0] not in THIRDS_ON_JAX
        ):
            continue
        test = item.nodeid.partition("[")[0]
        if counts[test] % 3:
            item.add_marker(pytest.mark.slow)
        counts[test] += 1


def _slow_off_the_diagonal(items):
    """Of a test marked `diagonal` the usual run has each value of each parameter once.

    The longest parameter is gone through, the others turn with it; other combinations are slow.
    """
    values = {}  # of each test: for each `parametrize` the names of its values, in their order
    for item in items:
        known = values.setdefault(item.nodeid.partition("[")[0], [])
        for place, name in enumerate(item.callspec._idlist):
            known += [{} for _ in range(place + 1 - len(known))]
            known[place].setdefault(name, len(known[place]))
    for item in items:
        known = values[item.nodeid.partition("[")[0]]
        places = [names[name] for names, name in zip(known, item.callspec._idlist, strict=True)]
        turn = places[max(range(len(known)), key=lambda place: len(known[place]))]
        if any(place != turn % len(names) for place, names in zip(places, known, strict=True)):
            item.add_marker(pytest.mark.slow)


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


@pytest.fixture(scope="session")
def python():
    """The beginning of a command: Python, which has imported Keras and nothing of ours."""
    return [sys.executable, "-I", "-S", str(ROOT / "tests" / "warm_python.py")]


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
