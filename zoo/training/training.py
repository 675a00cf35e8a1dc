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
from zoo.evaluation import evaluation
from zoo.files import write
from zoo.recipe import Recipe, get
from zoo.reports import pictures
from zoo.runs.preprocessing import preprocessing
from zoo.runs.runs import Run, load
from zoo.training.callbacks import Checkpoint, ShowProgress
from zoo.training.distribution import ONE_DEVICE, Distribution
from zoo.training.experiments import Experiment, Split


def train(
    name: str,
    out: str | Path | None = None,
    *,
    settings: dict[str, Any] | None = None,
    data: str | Path | None = None,
    force: bool = False,
    distribution: Distribution = ONE_DEVICE,
) -> dict[str, Any]:
    """Train a recipe into a folder and evaluate it; returns the content of its `metrics.json`.

    If it was interrupted, the same call resumes after the last finished epoch and ends with the
    weights of an uninterrupted run; for a finished run it returns the saved results.

    Args:
        name: the recipe.
        out: the folder of the run; `out/NAME` by default.
        settings: settings that replace those of the recipe.
        data: the folder of the real data sets; by default `KERAS_METRIC_DATA`, else downloaded.
        force: replace the run in the folder.
        distribution: the devices or processes that train it, with the weights of one device. Of
            several processes, which share the folder, one evaluates and writes.

    Raises:
        KeyError: unknown recipe or setting.
        ValueError: a setting of the wrong type or out of range, or data that does not match.
        FileExistsError: the folder contains another run.
    """
    recipe = get(name)
    resolved = recipe.resolve_settings(settings)
    _check(resolved, recipe.settings)
    pictures.check_extras(recipe)
    run = Run(Path(out) if out else Path("out") / name)
    distribution.begin()
    if force and run.plan.exists():
        run.begun()
    elif run.holds(name, resolved) and run.finished:
        _say(f"{run.folder} is trained already; --force trains it again")
        return run.report()
    split = recipe.data(resolved, data)
    _say(f"{name}: learns from {split.train!r}")
    _say(f"{name}: measured on {split.test!r}")
    with distribution.scope():
        model, history, trained = fitted(run, recipe, resolved, split, force, distribution)
    distribution.leave(model)
    if not distribution.writes:
        return {"recipe": name, "training": trained}
    carry_preprocessing(model, recipe, resolved)
    write(run.model, model.save)
    if distribution.way is not None:
        model, trained = load(run.model), {**trained, "distributed": str(distribution)}
    report = evaluation.measured(run, recipe, resolved, model, split, history, trained)
    shutil.rmtree(run.checkpoint, ignore_errors=True)
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
        run.begin(recipe.name, resolved)
    distribution.meet("begun")
    nothing = {"seconds": 0.0, "cpu_seconds": 0.0, "epochs": 0}
    history, trained = [], {**nothing, **evaluation.today()}
    if experiment is not None:
        history, trained = _fit(run.checkpoint, experiment, resolved["epochs"], distribution)
    if recipe.refine is not None:
        keras.utils.set_random_seed(resolved["seed"])
        model, experiment = recipe.refine(resolved, model, split)
        first, before = history, trained
        place = run.checkpoint / "refine"
        experiment = distribution.share(experiment)
        history, trained = _fit(place, experiment, resolved["refine_epochs"], distribution)
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
    folder = Path(out) if out else Path("out") / name
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


def _fit(folder: Path, experiment: Experiment, epochs: int, distribution: Distribution):
    """History, and what the training took; its state lies in `folder` meanwhile."""
    checkpoint = Checkpoint(folder, experiment.batches, writes=distribution.writes)
    distribution.agree(checkpoint.epoch, "the epoch to go on from")
    if checkpoint.epoch:
        _say(f"goes on after epoch {checkpoint.epoch} of {epochs}")
    progress = ShowProgress(epochs, len(experiment.batches))
    try:
        experiment.model.fit(
            experiment.batches,
            validation_data=experiment.validation,
            initial_epoch=checkpoint.epoch,
            epochs=epochs,
            shuffle=False,  # Keras would draw the order of batches anew, and not as before
            callbacks=[checkpoint, progress],
            verbose=0,
        )
    finally:
        progress.close()
    trained = {
        "seconds": round(checkpoint.seconds, 1),
        "cpu_seconds": round(checkpoint.cpu_seconds, 1),
        "epochs": epochs,
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
