"""`--log`: every epoch also goes where it is asked for, without a network."""

import csv
import importlib.util

import pytest

import zoo
from zoo.training import loggers

pytestmark = pytest.mark.tensorflow

SMALL = {"epochs": 2, "batches_per_epoch": 2, "embedding": 8}


def trained(folder, kind):
    return zoo.train("digits-triplet", folder, settings=SMALL, log=kind)["history"]


def needs(*modules):
    lacking = [name for name in modules if importlib.util.find_spec(name) is None]
    return pytest.mark.skipif(bool(lacking), reason=f"not installed: {lacking}")


def test_csv(tmp_path):
    history = trained(tmp_path, "csv")
    with (tmp_path / "log.csv").open() as stream:
        rows = list(csv.DictReader(stream))
    assert [float(row["loss"]) for row in rows] == pytest.approx([x["loss"] for x in history])


@needs("tensorboard")
def test_tensorboard(tmp_path):
    trained(tmp_path, "tensorboard")
    assert list((tmp_path / "logs").rglob("events.out.tfevents.*"))


@needs("mlflow")
def test_mlflow(tmp_path, monkeypatch):
    import mlflow

    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    history = trained(tmp_path / "run", "mlflow")
    client = mlflow.MlflowClient((tmp_path / "run" / "mlruns").as_uri())
    (run,) = client.search_runs(["0"])
    values = [metric.value for metric in client.get_metric_history(run.info.run_id, "loss")]
    assert values == pytest.approx([logs["loss"] for logs in history])
    assert run.data.params["embedding"] == "8"


@needs("wandb")
def test_wandb(tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    trained(tmp_path, "wandb")
    assert list((tmp_path / "wandb").glob("offline-run-*"))


def test_what_is_refused(tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="no such log.*tensorboard.*'print'"):
        zoo.train("digits-triplet", tmp_path / "a", log="print")
    monkeypatch.setattr(
        "zoo.datasets.reading._extras.import_module",
        lambda name: importlib.import_module("no_" + name),
    )
    with pytest.raises(ImportError, match=r"needs the package.*wandb.*keras-metric\[log\]"):
        loggers.check("wandb")
    assert not (tmp_path / "a").exists()
