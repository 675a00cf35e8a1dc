"""A folder in; a model, measured, searchable, served, out: the whole way on drawn shapes."""

import csv
import json
import shutil

import numpy as np
import pytest

import zoo
from zoo.cli import main
from zoo.evaluation.vectors import Vectors, lda, results_of
from zoo.photographs import measuring
from zoo.photographs.photos import Photos
from zoo.runs.runs import Run

QUICK = ["--backbone", "tiny", "--size", "16", "--epochs", "4"]


@pytest.fixture(scope="module")
def run(shapes, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "shapes"
    assert main(["train", str(shapes), *QUICK, "--out", str(folder)]) == 0
    return Run(folder)


def test_the_run_leaves_everything(run):
    there = {str(path.relative_to(run.folder)) for path in run.folder.rglob("*") if path.is_file()}
    names = ("best", "worst", "confusion", "projection", "distances", "curves")
    assert {f"pictures/{name}.png" for name in names} <= there
    assert {"README.md", "metrics.json", "model.keras", "calibration.json", "report.html"} <= there
    assert {"index/index.json", "saved_model/1/saved_model.pb"} <= there
    assert not run.checkpoint.exists()
    page = (run.folder / "report.html").read_text()
    assert page.count("data:image/png") == 6
    assert "By class, the weakest first" in page
    assert "keras-metric search" in page


def test_the_model_ends_with_its_best_epoch(run):
    report = run.report()
    values = [logs["val_set_map@r"] for logs in report["history"]]
    split = zoo.get("photographs").data(report["settings"], None)
    found = measuring.embedded(zoo.load(run.folder), split.validation)
    again = measuring.metrics.retrieval(found.embeddings, split.validation.labels, k=1)
    assert again["map@r"] == pytest.approx(max(values), abs=1e-6)


def test_training_is_compared_with_what_costs_none(run):
    report = run.report()
    assert set(report["baselines"]) == {"raw pixels"}
    better = [
        report["baselines"]["raw pixels"][name] >= report["results"][name]
        for name in measuring.COMPARED
    ]
    told = [note for note in report["notes"] if note.startswith("Warning: training does not beat")]
    assert bool(told) == any(better)
    worse = dict.fromkeys(report["results"], 0.1)
    assert "recall@1 0.1000 against" in measuring._vain(worse, report["baselines"])[0]


def test_the_run_is_searched_evaluated_and_indexed(run, shapes, tmp_path, capsys):
    photo = str(shapes / "disc-0" / "00.png")
    out = tmp_path / "near.png"
    assert main(["search", str(run.folder), photo, "-o", str(out), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)["searches"][0]
    assert answer["neighbours"][0]["path"] is not None
    assert out.stat().st_size > 1000
    before = run.report()["results"]
    assert main(["evaluate", str(run.folder), "--data", str(shapes)]) == 0
    assert "112 photographs" in run.report()["data"]["test"]
    assert main(["evaluate", str(run.folder)]) == 0
    assert run.report()["results"] == pytest.approx(before, abs=1e-6)
    assert "left" in run.report()


def test_the_commands_to_try_next_name_what_is_there(run):
    commands = run.report()["left"]["commands"]
    assert len(commands) == 5
    assert all(str(run.folder) in command for command in commands)


def test_other_photographs_are_not_taken_for_those_of_the_run(run, shapes, tmp_path):
    copy = tmp_path / "shapes"
    shutil.copytree(shapes, copy)
    (copy / "disc-0" / "00.png").unlink()
    settings = {**run.report()["settings"], "photos": str(copy)}
    with pytest.raises(ValueError, match="others than those of the run.*Received: 111"):
        zoo.get("photographs").data(settings, None)


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_weights(run, shapes, tmp_path, monkeypatch):
    """And what is left to write when a run ends is written by the same command."""
    from zoo.training.callbacks import Checkpoint

    keep = Checkpoint._keep
    words = ["train", str(shapes), *QUICK, "--out", str(tmp_path / "killed")]

    def killed(self):
        keep(self)
        if self.epoch == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(Checkpoint, "_keep", killed)
    assert main(words) == 130
    monkeypatch.setattr("zoo.photographs.finishing.export", unwritable)
    monkeypatch.setattr(Checkpoint, "_keep", keep)
    assert main(words) == 1
    whole, again = run.report(), Run(tmp_path / "killed").report()
    assert again["results"] == whole["results"]
    assert [logs["loss"] for logs in again["history"]] == [x["loss"] for x in whole["history"]]
    assert "left" not in again
    monkeypatch.undo()
    assert main(words) == 0
    assert Run(tmp_path / "killed").report()["left"]["saved_model"].endswith("saved_model/1")


def unwritable(folder):
    raise OSError("No space left on the disk. Expected: some. Received: none.")


@pytest.mark.slow
def test_a_table_with_groups_parts_and_missing_files(shapes, tmp_path, capsys):
    table = tmp_path / "list.csv"
    with table.open("w", encoding="utf-8-sig", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(["kind", "photo", "part"])
        for number, path in enumerate(sorted(shapes.rglob("*.png"))):
            rows.writerow([path.parent.name, path, "test" if number % 14 < 3 else "train"])
        rows.writerow(["disc-0", "lost, again.png", "train"])
    words = ["train", str(table), "--label-column", "kind", "--split-column", "part"]
    quick = ["--backbone", "tiny", "--size", "16", "--epochs", "1", "--set", "embedding=8"]
    assert (
        main([*words, *quick, "--loss", "arcface", "--out", str(tmp_path / "run"), "--json"]) == 0
    )
    caught = capsys.readouterr()
    report = json.loads(caught.out)
    assert "1 files are left out" in caught.err
    assert "lost, again.png (line 114" in caught.err
    assert "as the photographs say" in caught.err
    assert report["data"]["test"].startswith("Photos(24 photographs")
    skipped = (tmp_path / "run" / "skipped.csv").read_text()
    assert "lost, again.png" in skipped


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["no_such_folder/"], "no photographs to train on.*nothing at no_such_folder/"),
        (["digits-tripet"], "Unknown recipe.*Did you mean 'digits-triplet'"),
        (["digits-triplet", "--backbone", "tiny"], "for photographs.*backbone for digits-triplet"),
        (["{shapes}", "--loss", "best"], "Unknown loss.*joint.*'best'"),
        (["{shapes}", "--split", "half"], "no such split.*'half'"),
        (["{shapes}", "--backbone", "vgg17"], "Unknown encoder"),
    ],
)
def test_errors_come_before_work(words, message, shapes, tmp_path, capsys):
    words = [word.format(shapes=shapes) for word in words]
    assert main(["train", *words, "--out", str(tmp_path / "run")]) == 1
    import re

    assert re.search(message, capsys.readouterr().err, re.DOTALL)
    assert not (tmp_path / "run" / "model.keras").exists()


def test_baselines_of_a_backbone_and_lda():
    rng = np.random.default_rng(0)
    centers = rng.normal(size=(6, 20))
    names = np.array([f"c{label}" for label in range(6)] * 40, object)
    noise = np.diag([8.0] * 10 + [0.1] * 10)  # the first half of the features says nothing

    def drawn():
        values = centers[np.arange(240) % 6] + rng.normal(size=(240, 20)) @ noise
        return Vectors(values.astype("float32"), names)

    known, asked = drawn(), drawn()
    plain = results_of(known, asked)
    learnt = results_of(*lda(known, asked))
    assert learnt["recall@1"] > plain["recall@1"] + 0.3
    assert learnt["accuracy"] > plain["accuracy"] + 0.3
    alone = Vectors(known.vectors[:6], names[:6])
    assert lda(alone, asked) is None


def test_results_by_category():
    names = ("a", "b", "c", "d")
    photos = Photos(None, np.repeat(np.arange(4), 2), names, None, ("one", "one", "two", ""))
    line = np.array([0, 1, 10, 11, 11.9, 13, 40, 41])  # b and c meet
    asked = Vectors(line[:, None].astype("float32"), np.repeat(np.array(names, object), 2))
    (table,) = measuring.by_category(asked, photos).values()
    assert list(table) == ["two", "one", "(none)"]
    assert table["one"]["classes"] == 2
    assert table["one"]["recall@1"] == table["one"]["nearest of the category"] == 0.75
    assert table["two"] == {
        "photographs": 2,
        "classes": 1,
        "nearest of the category": 0.5,
        "recall@1": 0.5,
        "low": 0.5,
        "high": 0.5,
    }


def test_intervals_of_a_share():
    assert measuring.wilson(0, 10) == (0.0, pytest.approx(0.2775, abs=1e-3))
    assert measuring.wilson(10, 10) == (pytest.approx(0.7225, abs=1e-3), 1.0)
    low, high = measuring.wilson(50, 100)
    assert (low + high) / 2 == pytest.approx(0.5)
