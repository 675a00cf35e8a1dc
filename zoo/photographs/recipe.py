"""Embedding of your own photographs, by folder or table: trained, measured, made searchable.

    keras-metric train my_photos/
    keras-metric train list.csv --label-column product --group-column order

What it learns from, how and for how long is chosen by the photographs unless it is given.
"""

import sys
from dataclasses import fields, replace

from zoo.datasets.reading._extras import need
from zoo.datasets.reading.photographs import Listing, listed, places_of
from zoo.datasets.reading.tables import Columns
from zoo.photographs import budget, choices, finishing, learning, measuring, pictures, splitting
from zoo.photographs.photos import Photos, Pixels
from zoo.progress import warn
from zoo.recipe import Recipe
from zoo.reports import embedding_pictures
from zoo.training.experiments import Split

TOLD = 3  # photographs left out that are named


def listing_of(settings) -> Listing:
    """The photographs that the settings name."""
    places = places_of(settings["photos"])
    if not places:
        raise ValueError(
            "No photographs are named. Expected: keras-metric train FOLDER, or a table. Received: "
            "the recipe alone."
        )
    return listed(places, _columns(settings))


def _columns(settings) -> Columns:
    return Columns(*(settings[f"{field.name}_column"] or None for field in fields(Columns)))


def plan(settings, before=None):
    """Everything that was left open is filled in, and told in a line each."""
    embedding_pictures.check_extras()
    need("faiss", extra="search", purpose="The index of the photographs")
    repeated = bool(settings["digest"])  # nothing is left open
    if settings["minutes"] and settings["epochs"] and not repeated:
        raise ValueError(
            "The length of the training is given twice. Expected: minutes or epochs. Received: "
            f"minutes={settings['minutes']:g} and epochs={settings['epochs']}."
        )
    listing = listing_of(settings)
    _tell_skipped(listing)
    found = choices.plan(settings, listing)
    if settings["minutes"] and not repeated:
        found = _within(settings["minutes"], found, before)
    print("\n".join(found.lines()), file=sys.stderr, flush=True)
    return found.settings


def _within(minutes: float, found: choices.Plan, before) -> choices.Plan:
    """The plan with as many epochs as the budget has time for; those of `before` if it is its."""
    length = ("epochs", "batches_per_epoch")
    wanted = {key: value for key, value in found.settings.items() if key not in length}
    if before is not None and wanted.items() <= before.items():
        epochs, batches = (before[key] for key in length)
    else:
        speed = budget.measured(found.settings, data(found.settings, None))
        epochs, batches = budget.planned(minutes, speed, found.settings["batches_per_epoch"])
    why = f"{minutes:g} minutes of training"
    told = {"epochs": (str(epochs), why), "batches per epoch": (str(batches), why)}
    settings = {**found.settings, "epochs": epochs, "batches_per_epoch": batches}
    return choices.Plan(settings, {**found.told, **told})


def data(settings, folder) -> Split:
    """The parts of the split; `folder` names other photographs to measure on."""
    listing = listing_of(settings)
    settings = choices.plan(settings, listing).settings
    parts = choices.split_of(settings, listing)
    whole = _photos(listing, settings)
    train = whole.where(parts == splitting.TRAIN).relabelled()
    validation, test = (
        whole.where(parts == part) for part in (splitting.VALIDATION, splitting.TEST)
    )
    if folder is not None:
        columns = replace(_columns(settings), split=None, group=None)
        test = _photos(listed([folder], columns), settings)
    elif not len(test):
        test = validation
    return Split(train, validation, test)


def words(settings) -> list[str]:
    """The command that repeats a run: its photographs, and every setting that was chosen."""
    usual = {**RECIPE.settings, "photos": settings["photos"]}
    given = [f"--set={key}={value}" for key, value in settings.items() if value != usual[key]]
    return [*places_of(settings["photos"]), *given]


def _photos(listing: Listing, settings) -> Photos:
    frame = learning.preprocessing_of(settings)
    labels = listing.labels.astype("int64")
    return Photos(
        Pixels(listing.paths, labels, frame),
        labels,
        listing.names,
        listing.groups,
        listing.categories,
    )


def _tell_skipped(listing: Listing) -> None:
    if listing.skipped:
        shown = "; ".join(f"{path}: {reason}" for path, reason in listing.skipped[:TOLD])
        more = len(listing.skipped) - TOLD
        also = f"; and {more:,} more" if more > 0 else ""
        warn(f"{len(listing.skipped):,} files are left out: {shown}{also}")


def finish(run, settings, model, split, report):
    skipped = listing_of(settings).skipped
    return finishing.finish(run, settings, model, split, report, skipped)


RECIPE = Recipe(
    settings={
        "photos": "",
        "seed": 0,
        "path_column": "",
        "label_column": "",
        "split_column": "",
        "group_column": "",
        "category_column": "",
        "split": "auto",
        "split_seed": 0,
        "validation": 0.1,
        "test": 0.1,
        "backbone": "auto",
        "weights": "auto",
        "size": 0,
        "resize": "stretch",
        "fill": 0,
        "embedding": 128,
        "loss": "auto",
        "margin": 0.2,
        "scale": 16.0,
        "label_smoothing": 0.1,
        "start": "auto",
        "classes_per_batch": 0,
        "images_per_class": 0,
        "batches_per_epoch": 0,
        "epochs": 0,
        "minutes": 0.0,
        "learning_rate": 1e-3,
        "frozen": 0.2,
        "first_rate": 0.1,
        "weight_decay": 1e-4,
        "ema": False,
        "best_by": "map@r",
        "workers": 2,
        "digest": "",
    },
    plan=plan,
    data=data,
    build=learning.build,
    experiment=learning.experiment,
    preprocessing=learning.preprocessing_of,
    measure=measuring.measure,
    pictures=pictures.pictures,
    finish=finish,
    words=words,
    license="that of your photographs",
    protocol="Every photograph measured on was searched among the others. Nothing was chosen on "
    "them, unless a note above says so.",
    limits="The embedding is meant for comparing photographs of the kind it was trained on by "
    "their distance. It says how alike two photographs are; the calibrated threshold says from "
    "which distance on they are taken for different.",
)
