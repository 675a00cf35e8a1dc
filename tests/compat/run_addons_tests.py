"""Run TF Addons' own tests of its metric losses against keras_metric.compat.tfa.

    KERAS_BACKEND=tensorflow python tests/compat/run_addons_tests.py PATH_TO_ADDONS_CHECKOUT

The five test files are run as they are; the names they import are aliases of ours in sys.modules.
Ends with exit code 0 only when all cases pass, and they are as many as in the last TF Addons.
"""

import argparse
import os
import random
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType

os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
sys.path.insert(0, str(Path(__file__).resolve().parent.parent.parent))

import numpy as np
import pytest
import tensorflow as tf

from keras_metric.compat import tfa

CASES = {"contrastive": 9, "lifted": 8, "metric": 5, "npairs": 4, "triplet": 31}
TOLERANCES = {"float32": 1e-6, "float16": 1e-3, "bfloat16": 1e-2}  # those of the original helper


def assert_allclose_according_to_type(found, expected):
    """As near as the coarser of the two types allows."""
    found, expected = np.array(found), np.array(expected)
    tolerance = max(TOLERANCES.get(x.dtype.name, 1e-6) for x in (found, expected))
    np.testing.assert_allclose(
        found.astype("float64"), expected.astype("float64"), rtol=tolerance, atol=tolerance
    )


def install_aliases() -> None:
    """Let `tensorflow_addons` mean compat.tfa."""
    addons, utils = ModuleType("tensorflow_addons"), ModuleType("tensorflow_addons.utils")
    test_utils = ModuleType("tensorflow_addons.utils.test_utils")
    test_utils.assert_allclose_according_to_type = assert_allclose_according_to_type
    utils.test_utils, addons.losses, addons.utils = test_utils, tfa, utils
    aliases = {"": addons, ".losses": tfa, ".utils": utils, ".utils.test_utils": test_utils}
    for name in ("contrastive", "lifted", "metric_learning", "npairs", "triplet"):
        aliases[f".losses.{name}"] = getattr(tfa, name)
    sys.modules.update({f"tensorflow_addons{name}": module for name, module in aliases.items()})


class Fixtures:
    """The fixtures of TF Addons that these tests use, and the count of cases."""

    passed = 0

    @pytest.fixture(autouse=True)
    def set_seeds(self):
        random.seed(0)
        np.random.seed(0)
        tf.random.set_seed(0)

    @pytest.fixture(params=["eager_mode", "tf_function"])
    def maybe_run_functions_eagerly(self, request):
        tf.config.run_functions_eagerly(request.param == "eager_mode")
        yield
        tf.config.run_functions_eagerly(False)

    def pytest_runtest_logreport(self, report):
        self.passed += report.when == "call" and report.passed


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("checkout", type=Path, metavar="PATH_TO_ADDONS_CHECKOUT")
    folder = parser.parse_args().checkout / "tensorflow_addons" / "losses" / "tests"
    missing = [name for name in CASES if not (folder / f"{name}_test.py").is_file()]
    if missing:
        parser.error(
            f"expected a checkout of TF Addons. Received: no {missing}_test.py in {folder}"
        )
    install_aliases()
    fixtures = Fixtures()
    with tempfile.TemporaryDirectory() as apart:  # away from the checkout's packages
        files = [shutil.copy(folder / f"{name}_test.py", apart) for name in CASES]
        options = ["-q", "-p", "no:cacheprovider", "--rootdir", apart, "-c", os.devnull]
        code = pytest.main([*files, *options], plugins=[fixtures])
    print(f"TF Addons' own tests against compat.tfa: {fixtures.passed} of {sum(CASES.values())}")
    return int(code != 0 or fixtures.passed != sum(CASES.values()))


if __name__ == "__main__":
    sys.exit(main())
