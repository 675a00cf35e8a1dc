"""What is in a folder is looked at before it is believed."""

import json
import subprocess
import zipfile

import numpy as np
import pytest

import zoo
from zoo import encoders
from zoo.runs.runs import Run


@pytest.mark.parametrize("content", ["{}", "[]", "null", '{"recipe": "digits-triplet"}'])
def test_metrics_of_another_kind_are_refused(content, tmp_path):
    (tmp_path / "metrics.json").write_text(content)
    with pytest.raises(ValueError, match="Expected: the keys baselines, data, recipe"):
        Run(tmp_path).report()


def test_a_damaged_model_is_named(tmp_path):
    (tmp_path / "model.keras").write_bytes(b"PK cut off")
    with pytest.raises(ValueError, match=r"model.keras cannot be read\. Expected: a whole .keras"):
        zoo.load(tmp_path)


OPENED = {
    "zoo": "import sys, zoo; print(zoo.load(sys.argv[1]).name)",
    "convert": "import sys; from keras_metric.convert import load; print(load(sys.argv[1]).name)",
}


@pytest.mark.parametrize("how", OPENED)
def test_a_model_of_our_own_layers_opens_in_a_new_process(how, python, tmp_path):
    from zoo import encoders
    from zoo.encoders.ensemble import ensemble
    from zoo.encoders.ink_frame import InkFrame, framed

    encoder = encoders.build("conv5", (16, 16, 1), embedding=None, normalize=True)
    framed(ensemble([encoder]), InkFrame(16), (30, 30, 1)).save(tmp_path / "model.keras")
    command = [*python, "-c", OPENED[how], str(tmp_path / "model.keras")]
    opened = subprocess.run(command, capture_output=True, text=True, check=False)
    assert opened.stdout.strip() == "framed", opened.stderr


def test_a_file_is_no_place_for_a_run(tmp_path):
    (tmp_path / "file").write_text("mine")
    with pytest.raises(FileExistsError, match="Expected: a folder, or nothing. Received: a file"):
        Run(tmp_path / "file").holds("digits-triplet", {})


def test_what_an_interrupted_write_leaves_does_not_block_the_folder(tmp_path):
    (tmp_path / ".123-run.json").write_text("half")
    assert not Run(tmp_path).holds("digits-triplet", {"seed": 0})
    Run(tmp_path).begin("digits-triplet", {"seed": 0})
    assert json.loads(Run(tmp_path).plan.read_text())["settings"] == {"seed": 0}
    assert Run(tmp_path).holds("digits-triplet", {"seed": 0})


def test_a_run_of_an_older_version_is_read_under_the_names_of_this_one(tmp_path):
    run = Run(tmp_path)
    old = {"seed": 0, "epochs": 2, "steps": 3, "classes": 4, "images": 5}
    new = {"seed": 0, "epochs": 2} | {
        "batches_per_epoch": 3, "classes_per_batch": 4, "images_per_class": 5,
    }  # fmt: skip
    run.plan.write_text(json.dumps({"recipe": "digits-triplet", "settings": old}))
    assert run.begun() == {"recipe": "digits-triplet", "settings": new}
    assert run.holds("digits-triplet", new)
    report = {key: {} for key in ("results", "baselines", "versions", "training")}
    report |= {"recipe": "digits-triplet", "settings": old, "data": {"licence": "MIT"}}
    run.metrics.write_text(json.dumps(report))
    assert run.report()["settings"] == new
    assert run.kept()["facts"]["data"] == {"license": "MIT"}
    run.plan.write_text(json.dumps({"recipe": "mine", "settings": {"steps": 3}}))
    assert run.begun()["settings"] == {"steps": 3}, "a recipe of one's own keeps its names"


def test_layers_saved_under_an_older_name_of_their_module_open(tmp_path):
    """In files of 0.1.0 the views of an ensemble are of zoo.encoders.committee."""
    from zoo.encoders.ensemble import ensemble, members

    encoder = encoders.build("tiny", (8, 8, 1), embedding=4, normalize=True)
    made = ensemble([encoder])
    made.save(tmp_path / "new.keras")
    with (
        zipfile.ZipFile(tmp_path / "new.keras") as new,
        zipfile.ZipFile(tmp_path / "old.keras", "w") as old,
    ):
        for name in new.namelist():
            content = new.read(name)
            if name == "config.json":
                assert b"zoo.encoders.ensemble" in content
                content = content.replace(b"zoo.encoders.ensemble", b"zoo.encoders.committee")
                content = content.replace(b'"name": "ensemble"', b'"name": "committee"')
            old.writestr(name, content)
    loaded = zoo.load(tmp_path / "old.keras")
    assert loaded.name == "committee"
    assert len(members(loaded)) == 1
    images = np.ones((2, 8, 8, 1), "float32")
    np.testing.assert_allclose(loaded.predict(images, verbose=0), made.predict(images, verbose=0))
