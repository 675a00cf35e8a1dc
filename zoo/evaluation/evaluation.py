"""Evaluate a run, write its results, pictures and card, and summarize several seeds."""

import datetime
import platform
import shlex
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import keras

from keras_metric.preprocessing import attached
from zoo.files import write_json, write_text
from zoo.pretrained import is_trained
from zoo.recipe import Recipe, get
from zoo.reports import cards, pictures
from zoo.runs.runs import Run, load, place
from zoo.training.experiments import Measured, Split


def evaluate(path: str | Path, *, data: str | Path | None = None) -> dict[str, Any]:
    """Evaluate a finished run again, from its saved model and settings.

    Rewrites `metrics.json`, the card and the pictures, and returns the content of `metrics.json`.
    Of a trained model, given by name, nothing is written, and `card` has the results on its card.

    Raises:
        FileNotFoundError: the folder contains no finished run.
    """
    if is_trained(path):
        return _evaluate_trained(str(path), data)
    run = Run(Path(path))
    before = run.report()
    if "runs" in before:
        for name in before["runs"]:
            evaluate(run.folder / name, data=data)
        return summarize(run.folder, [Run(run.folder / name) for name in before["runs"]])
    recipe = get(before["recipe"])
    settings = recipe.resolve_settings(before["settings"])
    split = recipe.data(settings, data)
    report = measured(
        run, recipe, settings, load(run.folder), split, before["history"], before["training"]
    )
    if "left" in before:
        report["left"] = before["left"]
        write_json(run.metrics, report)
    return report


def _evaluate_trained(name: str, data: str | Path | None) -> dict[str, Any]:
    card = Run(place(name)).report()
    recipe = get(card["recipe"])
    settings = recipe.resolve_settings(card["settings"])
    found = Measured(*recipe.measure(settings, load(name), recipe.data(settings, data)))
    return {**card, **found._asdict(), **today(), "card": card["results"]}


def measured(
    run: Run,
    recipe: Recipe,
    settings: dict[str, Any],
    model: keras.Model,
    split: Split,
    history: list[dict[str, float]],
    trained: dict[str, Any],
) -> dict[str, Any]:
    """Evaluate a model; write `metrics.json`, the pictures and the card into the run's folder."""
    found = Measured(*recipe.measure(settings, model, split))
    histories = {"The training.": history}
    if "first" in trained:
        histories["The training before it."] = trained["first"]
    made = attached(model)
    report = {
        "recipe": recipe.identity,
        "command": command(recipe, settings),
        "settings": settings,
        "column": recipe.column,
        **found._asdict(),
        "notes": (*found.notes, *map(_sentence, trained.get("told", ()))),
        "data": {"train": repr(split.train), "test": repr(split.test), "license": recipe.license},
        "training": trained,
        "parameters": model.count_params(),
        "preprocessing": made and str(made),
        **today(),
        "pictures": pictures.draw(run, recipe, settings, model, split, histories),
        "history": history,
    }
    write_text(run.card, cards.card(recipe, report))
    write_json(run.metrics, report)
    return report


def summarize(folder: Path, runs: list[Run]) -> dict[str, Any]:
    """Mean and range over runs that differ in their seed; written like the report of one run."""
    reports = [run.report() for run in runs]
    recipe = get(reports[0]["recipe"])
    settings = {k: v for k, v in reports[0]["settings"].items() if k != "seed"}
    report = {
        "recipe": recipe.identity,
        "command": f"{command(recipe, settings)} --seeds {len(runs)}",
        "settings": settings,
        "column": recipe.column,
        "runs": [run.folder.name for run in runs],
        "results": _ranges([report["results"] for report in reports]),
        "baselines": _ranges_of_each([report["baselines"] for report in reports]),
        "tables": {
            title: _ranges_of_each([report["tables"][title] for report in reports])
            for title in reports[0].get("tables", {})
        },
        "notes": list(dict.fromkeys(note for one in reports for note in one.get("notes", ()))),
        "data": reports[0]["data"],
        "training": {
            **{key: _total(reports, key) for key in ("seconds", "cpu_seconds")},
            **{key: reports[0]["training"][key] for key in ("epochs", "date", "versions")},
        },
        "parameters": reports[0]["parameters"],
        "preprocessing": reports[0].get("preprocessing"),
        **today(),
    }
    write_text(Run(folder).card, cards.card(recipe, report))
    write_json(Run(folder).metrics, report)
    return report


def _sentence(told: str) -> str:
    """What a training was told to be wrong with, as a note of the card."""
    return f"In training: {told}."


def _total(reports: list[dict[str, Any]], key: str) -> float:
    """Runs of before processor time was taken have none of it."""
    return round(sum(report["training"].get(key, 0.0) for report in reports), 1)


def command(recipe: Recipe, settings: dict[str, Any]) -> str:
    """The command line that repeats a run."""
    words = [recipe.identity] if recipe.words is None else recipe.words(settings)
    if recipe.words is None:
        words += [f"--set={k}={v}" for k, v in settings.items() if v != recipe.settings[k]]
    return " ".join(["keras-metric train", *map(_quoted, words)])


def _quoted(word: str) -> str:
    if word.startswith("--set="):
        return f"--set {shlex.quote(word.removeprefix('--set='))}"
    return shlex.quote(word)


def today() -> dict[str, Any]:
    """The date, and the versions that compute on it."""
    return {"date": datetime.date.today().isoformat(), "versions": versions()}


def versions() -> dict[str, str]:
    """Versions of what computed the numbers."""
    found = {"python": platform.python_version(), "backend": keras.config.backend()}
    for name in ("keras-metric", "keras", "numpy", "tensorflow-cpu", "tensorflow", "jax", "torch"):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _ranges_of_each(rows: list[dict[str, dict[str, float]]]) -> dict[str, dict[str, dict]]:
    common = [name for name in rows[0] if all(name in row for row in rows)]
    return {name: _ranges([row[name] for row in rows]) for name in common}


def _ranges(results: list[dict[str, float]]) -> dict[str, dict[str, float]]:
    ranges = {}
    for name in results[0]:
        values = [result[name] for result in results]
        ranges[name] = {
            "mean": round(sum(values) / len(values), 6),
            "min": min(values),
            "max": max(values),
        }
    return ranges
