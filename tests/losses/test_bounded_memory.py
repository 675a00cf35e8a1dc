import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

pytestmark = [pytest.mark.tensorflow, pytest.mark.slow]


@pytest.mark.parametrize("loss", ["TripletLoss", "InfoNCELoss"])
def test_65536_embeddings_need_less_than_2_gib(loss):
    """Forward and backward; the (B, B) distances alone would be 16 GiB."""
    script = ROOT / "benchmarks" / "bounded_memory.py"
    run = subprocess.run(
        [sys.executable, script, loss], capture_output=True, text=True, check=True, cwd=ROOT
    )
    report = json.loads(run.stdout.splitlines()[-1])
    assert report["batch"] == 65_536
    assert report["largest_gradient"] > 0
    assert report["peak_bytes_above_baseline"] < 2 * 2**30
