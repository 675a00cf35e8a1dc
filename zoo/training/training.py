"""Train a recipe into a run: model, results, pictures and card; resumes after interruptions."""

import contextlib
import math
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import keras

from keras_metric.preprocessing import attach
from zoo.datasets.reading.photographs import as_setting
from zoo.evaluation import evaluation
from zoo.files import write, write_json
from zoo.recipe import PHOTOGRAPHS, Recipe, get, is_file, names
from zoo.reports import pictures
from zoo.runs.preprocessing import preprocessing
from zoo.runs.runs import Run, load
from zoo.training import loggers
from zoo.training.callbacks import Checkpoint, ShowProgress
from zoo.training.diagnosis import Diagnosis
from zoo.training.distribution import ONE_DEVICE, Distribution
from zoo.training.experiments import Experiment, Split


def train(
    name: str | Path,
    out: str | Path | None = None,
    *,
    settings: dict[str, Any] | None = None,
    data: str | Path | None = None,
    force: bool = False,
    distribution: Distribution = ONE_DEVICE,
    log: str | None = None,
) -> dict[str, Any]:
    """Train into a folder and evaluate; returns the content of the run's `metrics.json`.

    If it was interrupted, the same call resumes after the last finished epoch and ends with the
    weights of an uninterrupted run; for a finished run it returns the saved results.

    Args:
        name: a recipe, the path of one (`my_recipe.py`), or photographs: a folder with a sub-folder
            a class, or a table (CSV, TSV).
        out: the folder of the run; `out/NAME` by default.
        settings: settings that replace those of the recipe.
        data: the folder of the real data sets; by default `KERAS_METRIC_DATA`, else downloaded.
        force: replace the run in the folder.
        distribution: the devices or processes that train it, with the weights of one device. Of
            several processes, which share the folder, one evaluates and writes.
        log: "tensorboard", "csv", "mlflow" or "wandb": where the values of every epoch go, too.

    Raises:
        KeyError: unknown recipe or setting.
        ValueError: a setting of the wrong type or out of range, or data that does not match.
        FileExistsError: the folder contains another run.
        ImportError: the package of `log` is missing.
    """
    if log is not None:
        loggers.check(log)
    run = Run(Path(out) if out else default_place(name))
    name, settings = named(name, settings)
    recipe = get(name)
    resolved = recipe.resolve_settings(settings)
    pictures.check_extras(recipe)
    if recipe.plan is not None:
        known = run.plan.exists() and not force and run.begun()["recipe"] == recipe.identity
        resolved = recipe.plan(resolved, run.begun()["settings"] if known else None)
    _check(resolved, recipe.settings if recipe.plan is None else {**recipe.settings, "epochs": 1})
    distribution.begin()
    if force and run.plan.exists():
        run.begun()
    elif run.holds(recipe.identity, resolved) and run.finished:
        return _finished(run, recipe, resolved, data)
    split = recipe.data(resolved, data)
    _say(f"{recipe.name}: learns from {split.train!r}")
    _say(f"{recipe.name}: measured on {split.test!r}")
    with distribution.scope():
        model, history, trained = fitted(run, recipe, resolved, split, force, distribution, log)
    distribution.leave(model)
    if not distribution.writes:
        return {"recipe": recipe.identity, "training": trained}
    carry_preprocessing(model, recipe, resolved)
    write(run.model, model.save)
    if distribution.way is not None:
        model, trained = load(run.model), {**trained, "distributed": str(distribution)}
    report = evaluation.measured(run, recipe, resolved, model, split, history, trained)
    shutil.rmtree(run.checkpoint, ignore_errors=True)
    return _left(run, recipe, resolved, model, split, report)


def named(name: str | Path, settings: dict[str, Any] | None) -> tuple[str, dict[str, Any]]:
    """The name of a recipe and its settings, of what `train` is given."""
    place = Path(name)
    if str(name) in names() or is_file(name) or name == PHOTOGRAPHS or not place.exists():
        return str(name), settings or {}
    return PHOTOGRAPHS, {"photos": as_setting([place]), **(settings or {})}


def default_place(name: str | Path) -> Path:
    """`out/NAME`: of the recipe, or of the file or folder."""
    place = Path(name)
    known = str(name) in names() or not (is_file(name) or place.exists())
    named_after = place.absolute().name if place.is_dir() else place.stem
    return Path("out") / (str(name) if known else named_after)


def _finished(run: Run, recipe: Recipe, settings: dict[str, Any], data) -> dict[str, Any]:
    """The report of a run that was trained; what was left to write when it ended is written."""
    report = run.report()
    if recipe.finish is not None and "left" not in report:
        return _left(run, recipe, settings, load(run.model), recipe.data(settings, data), report)
    _say(f"{run.folder} is trained already; --force trains it again")
    return report


def _left(run: Run, recipe: Recipe, settings, model, split: Split, report) -> dict[str, Any]:
    """The report, and in it what the recipe writes at the end."""
    if recipe.finish is not None:
        report = {**report, "left": recipe.finish(run, settings, model, split, report)}
        write_json(run.metrics, report)
    return report


def carry_preprocessing(model: keras.Model, recipe: Recipe, settings: dict[str, Any]) -> None:
    """Let a model carry how pictures become its input; one that takes no pictures carries none."""
    if recipe.preprocessing is not None:
        attach(model, recipe.preprocessing(settings))
        return
    with contextlib.suppress(ValueError):
        attach(model, preprocessing(model))


def fitted(
    run: Run,
    recipe: Recipe,
    resolved: dict[str, Any],
    split: Split,
    force: bool = False,
    distribution: Distribution = ONE_DEVICE,
    log: str | None = None,
) -> tuple[keras.Model, list[dict[str, float]], dict[str, Any]]:
    """The trained model, its history, and the time that training took; it may have two parts."""
    keras.utils.set_random_seed(resolved["seed"])
    model = recipe.build(resolved, split)
    experiment = recipe.experiment(resolved, model, split)
    if experiment is not None:
        experiment = distribution.share(experiment)
    if distribution.writes:
        if force:
            run.clear()
        run.begin(recipe.identity, resolved)
    distribution.meet("begun")
    nothing = {"seconds": 0.0, "cpu_seconds": 0.0, "epochs": 0}
    history, trained = [], {**nothing, **evaluation.today()}
    logged = log is not None and distribution.writes
    log_of = (lambda: [loggers.logger(log, run.folder, resolved)]) if logged else list
    if experiment is not None:
        history, trained = _fit(
            run.checkpoint, experiment, resolved["epochs"], distribution, log_of()
        )
    if recipe.refine is not None:
        keras.utils.set_random_seed(resolved["seed"])
        model, experiment = recipe.refine(resolved, model, split)
        first, before = history, trained
        place = run.checkpoint / "refine"
        experiment = distribution.share(experiment)
        history, trained = _fit(
            place, experiment, resolved["refine_epochs"], distribution, log_of()
        )
        trained |= {key: before[key] + trained[key] for key in ("seconds", "cpu_seconds", "epochs")}
        trained["first"] = first
    return model, history, trained


def train_seeds(
    name: str, seeds: int, out: str | Path | None = None, **options: Any
) -> dict[str, Any]:
    """Train one run per seed, 0 to `seeds` - 1, into `out/seed-N`; the report has mean and range.

    `options` are those of `train` except `settings["seed"]`, which is set for each run.

    Raises:
        ValueError: no seeds, or a seed among the settings.
        FileExistsError: the folder contains something other than runs of several seeds.
    """
    folder = Path(out) if out else default_place(name)
    settings = options.pop("settings", None) or {}
    if seeds < 1 or "seed" in settings:
        raise ValueError(
            "The seeds cannot be run. Expected: 1 or more, numbered from 0, and no setting 'seed' "
            f"beside them. Received: {seeds} seeds, settings {settings}."
        )
    _check_place(folder)
    for seed in range(seeds):
        _say(f"{name}: seed {seed}, run {seed + 1} of {seeds}")
        train(name, folder / f"seed-{seed}", settings={**settings, "seed": seed}, **options)
    if not options.get("distribution", ONE_DEVICE).writes:
        return {"recipe": name, "runs": []}
    return evaluation.summarize(folder, [Run(folder / f"seed-{seed}") for seed in range(seeds)])


def _fit(
    folder: Path, experiment: Experiment, epochs: int, distribution: Distribution, logged: list
):
    """History, and what the training took; its state lies in `folder` meanwhile."""
    checkpoint = Checkpoint(folder, experiment.batches, writes=distribution.writes)
    distribution.agree(checkpoint.epoch, "the epoch to go on from")
    if checkpoint.epoch:
        _say(f"goes on after epoch {checkpoint.epoch} of {epochs}")
    progress = ShowProgress(epochs, len(experiment.batches))
    watched = experiment.batches if distribution.way is None else None
    diagnosis = Diagnosis(watched, checkpoint.history)
    further = experiment.callbacks(folder) if experiment.callbacks is not None else ()
    try:
        experiment.model.fit(
            experiment.batches,
            validation_data=experiment.validation,
            initial_epoch=checkpoint.epoch,
            epochs=epochs,
            shuffle=False,  # Keras would draw the order of batches anew, and not as before
            callbacks=[diagnosis, *further, checkpoint, progress, *logged],
            verbose=0,
        )
    finally:
        progress.close()
    trained = {
        "seconds": round(checkpoint.seconds, 1),
        "cpu_seconds": round(checkpoint.cpu_seconds, 1),
        "epochs": checkpoint.epoch,
        "told": diagnosis.told,
        **evaluation.today(),
    }
    return checkpoint.history, trained


def _check_place(folder: Path) -> None:
    """Refuse a folder in which a summary of several seeds would replace something else."""
    summary = Run(folder)
    ours = summary.finished and "runs" in summary.report()
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    others = sorted(name for name in names if not name.startswith(("seed-", ".")))
    if others and not ours:
        raise FileExistsError(
            f"{folder} is in use. Expected: an empty folder, or runs of several seeds. "
            f"Received: a folder with {', '.join(others[:5])}."
        )


def _check(settings: dict[str, Any], defaults: Mapping[str, Any]) -> None:
    """Numbers from 1 on; from 0 those with a fraction, the seed, and what is 0 by itself.

    A recipe of 0 epochs trains nothing.
    """
    for key, value in settings.items():
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        least = 0 if key == "seed" or isinstance(value, float) or not defaults[key] else 1
        most = 2**32 - 1 if key == "seed" else math.inf
        most = 0 if key == "epochs" and not defaults[key] else most
        if not (math.isfinite(value) and least <= value <= most):
            raise ValueError(
                f"Setting {key!r} is out of range. Expected: {least} or more"
                f"{f', {most} at the most' if most < math.inf else ''}. Received: {value}."
            )


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
