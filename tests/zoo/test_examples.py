"""The examples run as their first lines say."""

import subprocess
import sys
from pathlib import Path

import pytest

from zoo.cli import main

pytestmark = pytest.mark.tensorflow

ROOT = Path(__file__).resolve().parent.parent.parent


def test_serve_a_query(tmp_path, capsys):
    small = ["epochs=1", "steps=2", "classes=4", "images=4", "embedding=8"]
    settings = [word for value in small for word in ("--set", value)]
    options = ["train", "digits-triplet", "--out", str(tmp_path), "--export", *settings]
    assert main(options) == 0
    assert f"{tmp_path / 'saved_model' / '1'}: the SavedModel" in capsys.readouterr().out
    example = [sys.executable, ROOT / "examples" / "01_serve_a_query.py", tmp_path]
    answer = subprocess.run(example, capture_output=True, text=True)
    assert answer.returncode == 0, answer.stderr
    assert [line[2] for line in answer.stdout.splitlines()[1:6]] == list("56789")
    assert (tmp_path / "pictures" / "served.png").exists()
