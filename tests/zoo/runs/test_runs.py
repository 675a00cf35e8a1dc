"""What is in a folder is looked at before it is believed."""

import json
import subprocess
import sys

import pytest

import zoo
from zoo.runs.runs import Run


@pytest.mark.parametrize("content", ["{}", "[]", "null", '{"recipe": "digits-triplet"}'])
def test_metrics_of_another_kind_are_refused(content, tmp_path):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(ValueError, match="Expected the keys baselines, data, recipe"):
        Run(tmp_path).report()


def test_a_damaged_model_is_named(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"PK cut off")
    with pytest.raises(ValueError, match=r"model.keras cannot be read\. Expected a whole .keras"):
        zoo.load(tmp_path)


OPENED = {
    "zoo": "import sys, zoo; print(zoo.load(sys.argv[1]).name)",
    "convert": "import sys; from keras_metric.convert import load; print(load(sys.argv[1]).name)",
}


@pytest.mark.parametrize("how", OPENED)
def test_a_model_of_our_own_layers_opens_in_a_new_process(how, tmp_path):
    from zoo import encoders
    from zoo.encoders.committee import committee
    from zoo.encoders.ink_frame import InkFrame, framed

    encoder = encoders.build("conv5", (16, 16, 1), embedding=None, normalize=True)
    framed(committee([encoder]), InkFrame(16), (30, 30, 1)).save(tmp_path / "model.keras")
    command = [sys.executable, "-c", OPENED[how], str(tmp_path / "model.keras")]
    opened = subprocess.run(command, capture_output=True, text=True, check=False)
    assert opened.stdout.strip() == "framed", opened.stderr


def test_a_file_is_no_place_for_a_run(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="Expected a folder, or nothing. Received: a file"):
        Run(tmp_path / "file").holds("digits-triplet", {})


def test_what_an_interrupted_write_leaves_does_not_block_the_folder(tmp_path):
    (tmp_path / ".123-run.json").write_text("half")
    assert not Run(tmp_path).holds("digits-triplet", {"seed": 0})
    Run(tmp_path).begin("digits-triplet", {"seed": 0})
    assert json.loads(Run(tmp_path).plan.read_text())["settings"] == {"seed": 0}
    assert Run(tmp_path).holds("digits-triplet", {"seed": 0})
