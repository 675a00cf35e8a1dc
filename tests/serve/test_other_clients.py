"""Two clients that others wrote get the answers of the Keras model from our server.

Each has an environment of its own, made by benchmarks/peers/make.py.
"""

import io
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from keras_metric.export import Runtime

Image = pytest.importorskip("PIL.Image")
pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]

ROOT = Path(__file__).resolve().parent.parent.parent
MAKE = ROOT / "benchmarks" / "peers" / "make.py"
CLIENTS = Path(__file__).with_name("clients")


@pytest.fixture(scope="module")
def asked(pixels, tmp_path_factory):
    """Inputs of every signature, files among them of which one is broken."""
    files = []
    for image, form in zip(pixels, ("PNG", "WEBP", "BMP", "PNG"), strict=True):
        file = io.BytesIO()
        Image.fromarray(image).save(file, form, lossless=True)
        files.append(file.getvalue())
    files[3] = files[3][:40]
    names = ("serving_default", "classify", "explain")
    arrays = {f"{name}|images": pixels.astype("float32") for name in names}
    names = ("bytes", "classify_bytes", "explain_bytes")
    arrays |= {f"{name}|image_bytes": np.array(files, object) for name in names}
    place = tmp_path_factory.mktemp("clients") / "asked.npz"
    np.savez(place, **arrays)
    return place


def answers_through(client: str, script: str, *arguments) -> tuple[dict, dict]:
    """What the client printed, and the arrays it was answered."""
    made = subprocess.run(
        [sys.executable, MAKE, client], capture_output=True, text=True, check=True, timeout=1500
    )
    python = Path(made.stdout.strip().rpartition(" ")[2]) / "bin" / "python"
    answered = arguments[-1]
    done = subprocess.run(
        [python, CLIENTS / script, *map(str, arguments)],
        capture_output=True, text=True, timeout=120,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-2000:]
    with np.load(answered, allow_pickle=True) as file:
        return json.loads(done.stdout), {key: file[key] for key in file}


def test_ovmsclient_without_tensorflow(server, model, pixels, asked, tmp_path):
    ports = (server.rpc, server.rest)
    told, answers = answers_through(
        "ovmsclient", "ask_ovmsclient.py", *ports, "tiny", asked, tmp_path / "answered.npz"
    )
    print(told)
    wanted = np.asarray(model(pixels.astype("float32"), training=False))
    for way in ("gRPC", "REST"):
        np.testing.assert_allclose(answers[way], wanted, atol=1e-5)
        assert told[way]["status"]["1"]["state"] == "AVAILABLE"
        assert told[way]["refused"] == ["InvalidInputError", "ModelNotFoundError"]
    assert told["gRPC"]["metadata"]["inputs"]["images"]["shape"] == [-1, 8, 6, 3]
    facts = told["REST"]["metadata"]["metadata"]["signature_def"]["signature_def"]
    assert facts["serving_default"]["outputs"]["scores"]["dtype"] == "DT_FLOAT"


def test_the_messages_of_tensorflow_serving(server, home, model, pixels, asked, tmp_path):
    told, answers = answers_through(
        "tensorflow-serving-api", "ask_stubs.py", server.rpc, "tiny", asked, tmp_path / "a.npz"
    )
    print({key: value for key, value in told.items() if key != "signatures"})
    wanted = np.asarray(model(pixels.astype("float32"), training=False))
    np.testing.assert_allclose(answers["serving_default|scores"], wanted, atol=1e-5)
    np.testing.assert_allclose(answers["bytes|scores"][:3], wanted[:3], atol=1e-5)
    assert answers["bytes|valid"].tolist() == [True, True, True, False]
    with np.load(asked, allow_pickle=True) as file, Runtime(home / "1", xla=True) as served:
        assert told["signatures"] == sorted(served.signatures)
        for signature in served.signatures:
            given = {k.partition("|")[2]: file[k] for k in file if k.startswith(f"{signature}|")}
            for key, values in served(signature, **given).items():
                answer = answers[f"{signature}|{key}"]
                if values.dtype.kind == "f":
                    np.testing.assert_allclose(answer, values, atol=1e-5)
                else:
                    np.testing.assert_array_equal(answer, values)
    assert told["states"] == [[1, 30, 0]]
    assert told["refused"] == ["NOT_FOUND", "FAILED_PRECONDITION"]
