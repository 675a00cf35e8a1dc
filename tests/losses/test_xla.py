import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = Path(__file__).with_name("compile_with_xla.py")


def compiled(python, *names):
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [*python, PROGRAM, *names]
    run = subprocess.run(command, capture_output=True, text=True, env=env)
    assert run.returncode == 0, run.stderr[-2000:]
    return run.stdout


@pytest.mark.tensorflow
def test_losses_train_under_xla_with_any_batch_size(python):
    names = ["InfoNCELoss", "TripletLoss", "LiftedStructureLoss"]
    assert "compiled 3" in compiled(python, *names)


@pytest.mark.tensorflow
@pytest.mark.slow
def test_every_loss_trains_under_xla_with_any_batch_size(python):
    assert "compiled" in compiled(python)
