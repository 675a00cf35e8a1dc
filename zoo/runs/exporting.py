"""Export of a model of the zoo as a SavedModel, with its labels, threshold and facts."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from keras_metric.preprocessing import attach, attached
from zoo.encoders import imagenet_classes
from zoo.pretrained import is_backbone
from zoo.recipe import get, names
from zoo.runs import hub
from zoo.runs.runs import Run, load, place


def export(
    path: str | Path,
    out: str | Path | None = None,
    *,
    gallery: str | Path | None = None,
    top: int = 5,
) -> Path:
    """Export a model as a SavedModel; returns its version folder.

    For a run or trained model it is the model that its recipe serves; for a preset the labels,
    threshold and facts are included. A calibration saved next to the model gives the threshold of
    the `similarity` signature, unless the preset has one.

    Args:
        path: a run's or preset's folder, a `.keras` file, `hf://OWNER/NAME`, or the name of a
            trained model or backbone.
        out: the folder of the versions; `saved_model` beside the model by default.
        gallery: the folder of an index of the model, for the signature `neighbours`.
        top: number of classes or neighbors that are returned.
    """
    from keras_metric.export import saved_model
    from keras_metric.retrieval import Index

    index = None if gallery is None else Index.load(gallery)
    target = Path(out) if out else home(path) / "saved_model"
    path = hub.fetch(str(path), whole=False) if hub.is_name(path) else path
    model = load(path)
    model, facts, options = _as_served(path, model)
    options = {"top": top, **options}
    return saved_model(model, target, metadata=facts, gallery=index, **options)


def home(model: str | Path) -> Path:
    """The folder in which what is exported of a model lies by default."""
    if hub.is_name(model):
        return Path()
    folder = Run.of(model).folder
    return folder.parent if folder.is_file() else folder


def exported(model: str | Path) -> Path:
    """The newest SavedModel beside a model; written if there is none, or only an older one."""
    from keras_metric.export import latest, versions

    kept = home(model) / "saved_model"
    if versions(kept):
        newest, file = latest(kept), Run(place(model)).model
        if not file.is_file() or newest.stat().st_mtime >= file.stat().st_mtime:
            return newest
    return export(model)


def _as_served(path: str | Path, model) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The model to export, the facts to write with it, and options of the export."""
    from zoo.runs.searchable import served_threshold

    facts, options, run = {}, {}, Run(place(path))
    if run.folder.is_dir():
        kept = run.kept()
        facts = kept["facts"]
        options = {key: kept[key] for key in ("labels", "threshold") if kept[key] is not None}
        served = get(run.report()["recipe"]).served if run.finished else None
        if served is not None:
            trained = model
            model, more = served(run.report()["settings"], trained)
            made = attached(trained)
            if made is not None and attached(model) is None:
                attach(model, replace(made, size=None))
            options = {**more, **options}
    if "threshold" not in options:
        options |= served_threshold(path, model)
    return model, facts or {"model": Path(path).name}, options


def served_options(path: str | Path, model) -> dict[str, Any]:
    """How a model is exported by itself: `labels`, `image_shape`, ..., where something tells it."""
    if is_backbone(path):
        return {"labels": list(imagenet_classes())} if model.output_shape[-1] == 1000 else {}
    if hub.is_name(path) or not (run := Run(place(path))).folder.is_dir():
        return {}
    options = {}
    if run.finished and run.report()["recipe"] in names():
        served = get(run.report()["recipe"]).served
        options = dict(served(run.report()["settings"], model)[1]) if served else {}
    kept = run.kept()["labels"]
    return options if kept is None else {**options, "labels": kept}


def known_labels(path: str | Path, model) -> list[str] | None:
    """The names of the classes of a run's or preset's model; None if they are unknown."""
    return served_options(path, model).get("labels")
