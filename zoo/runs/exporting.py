"""Export of a model of the zoo as a SavedModel, with its labels, threshold and facts."""

from pathlib import Path
from typing import Any

from zoo.recipe import get, names
from zoo.runs import hub
from zoo.runs.runs import Run, load


def export(
    path: str | Path,
    out: str | Path | None = None,
    *,
    gallery: str | Path | None = None,
    top: int = 5,
) -> Path:
    """Export a model as a SavedModel; returns its version folder.

    For a run it is the model that its recipe serves; for a preset the labels, threshold and facts
    are included. A calibration saved next to the model gives the threshold of the `similarity`
    signature, unless the preset has one.

    Args:
        path: a run's or preset's folder, a `.keras` file, or `hf://OWNER/NAME`.
        out: the folder of the versions; `saved_model` beside the model by default.
        gallery: the folder of an index of the model, for the signature `neighbours`.
        top: number of classes or neighbors that are returned.
    """
    from keras_metric.export import saved_model
    from keras_metric.retrieval import Index

    index = None if gallery is None else Index.load(gallery)
    if hub.is_name(path):
        out = Path(out) if out else Path("saved_model")
        path = hub.fetch(str(path), whole=False)
    path = Path(path)
    model = load(path)
    run = Run(path if path.is_dir() else path.parent)
    model, facts, options = _as_served(path, run, model)
    target = Path(out) if out else run.saved_model
    options = {"top": top, **options}
    return saved_model(model, target, metadata=facts, gallery=index, **options)


def _as_served(path: Path, run: Run, model) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    """The model to export, the facts to write with it, and options of the export."""
    from zoo.runs.searchable import served_threshold

    facts, options = {}, {}
    if path.is_dir():
        kept = run.kept()
        facts = kept["facts"]
        options = {key: kept[key] for key in ("labels", "threshold") if kept[key] is not None}
        served = get(run.report()["recipe"]).served if run.finished else None
        if served is not None:
            model, more = served(run.report()["settings"], model)
            options = {**more, **options}
    if "threshold" not in options:
        options |= served_threshold(path, model)
    return model, facts or {"model": path.name}, options


def known_labels(path: str | Path, model) -> list[str] | None:
    """The names of the classes of a run's or preset's model; None if they are unknown."""
    run = Run(Path(path))
    if hub.is_name(path) or not run.folder.is_dir():
        return None
    labels = run.kept()["labels"]
    if labels is None and run.finished and run.report()["recipe"] in names():
        served = get(run.report()["recipe"]).served
        labels = served(run.report()["settings"], model)[1].get("labels") if served else None
    return labels
