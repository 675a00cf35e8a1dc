"""The walk that docs/serving.md shows, as it stands there: from training to the answers of curl."""

import json
import os
import re
import shutil
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import zoo
from keras_metric.retrieval import Index

for package in ("faiss", "pyarrow", "starlette", "uvicorn", "grpc"):
    pytest.importorskip(package)
pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.skipif(not shutil.which("curl"), reason="curl is not installed"),
]

ROOT = Path(__file__).resolve().parent.parent.parent
PAGE = (ROOT / "docs" / "serving.md").read_text(encoding="utf-8")
SETTINGS = ("epochs=1", "batches_per_epoch=3", "classes_per_batch=8", "images_per_class=4")
SHORT = " ".join(f"--set {setting}" for setting in SETTINGS)
COMMAND = f"""#!/bin/sh
case $1 in
    train) set -- "$@" {SHORT} ;;
    serve) set -- "$@" --rest-port $PORT --grpc-port 0 ;;
esac
exec {sys.executable} -m zoo "$@"
"""


@pytest.fixture(scope="module")
def walked(tmp_path_factory):
    """The folder of the walk, and what each of its lines printed to standard output."""
    home = tmp_path_factory.mktemp("walk")
    (block,) = re.findall(r"## From a clone to a curl.*?```bash\n(.*?)```", PAGE, re.DOTALL)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    (home / "bin").mkdir()
    for name, text in (
        ("keras-metric", COMMAND),
        ("python", f'#!/bin/sh\nexec {sys.executable} "$@"\n'),
    ):
        (home / "bin" / name).write_text(text)
        (home / "bin" / name).chmod(0o755)
    (home / "examples").symlink_to(ROOT / "examples")
    marked = re.sub(r"^(?=keras-metric|curl|ask |kill)", "echo @@@\n", block, flags=re.MULTILINE)
    paths = {"PATH": f"{home / 'bin'}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", "-e", "-c", marked.replace("8501", port)],
        env={**os.environ, **paths, "PORT": port}, cwd=home,
        capture_output=True, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr  # that of the server
    return home, done.stdout.split("@@@\n")


def test_every_step_says_what_it_did(walked):
    _, (_, trained, indexed, exported, audited, _, status, *_, stopped) = walked
    assert "out/walk/README.md: the card" in trained
    assert "Index(891 x 256, euclidean, exact)" in indexed
    assert exported == "out/walk/saved_model/1: the SavedModel\n"
    assert audited.endswith("verdict      ok\n")
    assert json.loads(status)["model_version_status"][0]["state"] == "AVAILABLE"
    assert stopped == "stopped\n"


def test_the_answers_are_those_of_keras_and_of_the_index(walked):
    from zoo.datasets.sources import digits

    home, parts = walked
    embedding, near, explained = (json.loads(part)["predictions"][0] for part in parts[7:10])
    seven = digits.load().of_classes("7").images[:1]
    wanted = zoo.load(home / "out/walk").predict(seven, verbose=0)
    np.testing.assert_allclose(embedding["embeddings"], wanted[0], atol=1e-5)
    found = Index.load(home / "out/walk/index").search(wanted, k=5)
    assert near["ids"] == found.ids[0].tolist()
    assert near["labels"] == found.labels[0].tolist()
    np.testing.assert_allclose(near["distances"], found.distances[0], atol=1e-5)
    assert explained["ids"] == near["ids"]
    cosines = 1 - np.square(near["distances"]) / 2
    assert np.shape(explained["maps"]) == (5, 4, 4)
    np.testing.assert_allclose(np.sum(explained["maps"], axis=(1, 2)), cosines, atol=1e-5)
