"""Which cells a microscope picture shows, learned from patches without positions; maps measured.

    keras-metric train bccd-cam --seeds 3 --data FOLDER

Zhou et al., "Learning Deep Features for Discriminative Localization", 2016, arXiv:1512.04150. The
only labels in training are which kinds of cells (red, white, platelets) a patch shows; boxes are
used to derive these labels, and for evaluation. Maps are computed on whole pictures: thresholds are
chosen on a fifth of the published training pictures, which is not trained on, and scores are
measured on the 87 validation pictures. The test pictures are not read.

Measured: 3 seeds, 12 epochs, 1.7 minutes on two cores in all: presence 0.9268 (0.9238 to
0.9303), pointing game 0.9125 (0.9002 to 0.9203), MaxBoxAccV2 0.7624 (0.7217 to 0.7876).
"""

import numpy as np

from keras_metric import Preprocessing
from keras_metric.cam import scores
from zoo.datasets.scenes.patches import PatchBatches
from zoo.datasets.sources import bccd
from zoo.evaluation.map_measures import cases_of_boxes, explainers, localisation
from zoo.recipe import Recipe
from zoo.recipes import _maps
from zoo.training.experiments import Measured, Split

KINDS = len(bccd.NAMES)
SCORES = ("pointing game", "MaxBoxAccV2")
BOXES = {"MaxBoxAccV2": scores.MaxBoxAccV2}


def data(settings, folder):
    known = bccd.load("train", folder, shrink=settings["shrink"])
    order = np.random.default_rng(settings["seed"]).permutation(len(known))
    held_out = len(known) // 5
    test = bccd.load("validation", folder, shrink=settings["shrink"])
    split = Split(
        known.where(np.sort(order[held_out:])),
        known.where(np.sort(order[:held_out])),
        test.where(range(min(len(test), settings["measured"]))),
    )
    _check_kinds(split.test, settings["measured"])
    return split


def preprocessing(settings):
    """Whole pictures, as they are evaluated."""
    height, width = bccd.SIZE
    return Preprocessing((height // settings["shrink"], width // settings["shrink"]))


def build(settings, split):
    return _maps.build((None, None, 3), KINDS)


def experiment(settings, model, split):
    options = {"side": settings["patch"], "seed": settings["seed"]}
    size, steps = settings["batch_size"], settings["batches_per_epoch"]
    batches = PatchBatches(split.train, size, batches_per_epoch=steps, **options)
    watched = PatchBatches(split.validation, size, batches_per_epoch=8, fixed=True, **options)
    return _maps.experiment(settings, model, batches, watched, KINDS)


def measure(settings, model, split):
    names = _maps.methods(settings)
    explain = explainers(model, names)
    found = {}
    for number, kind in enumerate(bccd.NAMES):
        held_out, cases = (cases_of_boxes(p, [number]) for p in (split.validation, split.test))
        found[kind] = localisation(explain, held_out, cases, BOXES)
    tables = {score: _by_kind(found, score, [*names, "centre"]) for score in SCORES}
    tables[SCORES[0]] |= _by_kind(found, SCORES[0], ["any pixel"])
    patches = PatchBatches(
        split.test, settings["batch_size"], side=settings["patch"], batches_per_epoch=16, fixed=True
    )
    results = {"presence": _maps.presence(model, patches, KINDS), **_means(tables, "cam")}
    baselines = {name: _means(tables, name) for name in ("centre", "any pixel")}
    return Measured(results, baselines, tables)


def pictures(settings, model, split):
    cases = cases_of_boxes(split.test)
    chosen = [i for kind in range(KINDS) for i in np.flatnonzero(cases.classes == kind)[:5][-2:]]
    return _maps.pictures(settings, model, cases.where(chosen), bccd.NAMES)


def served(settings, model):
    """A score and a map for each kind, of whole pictures; of files, too."""
    sides = (side // settings["shrink"] for side in bccd.SIZE)
    return model, {"labels": list(bccd.NAMES), "image_shape": (*sides, 3)}


def _check_kinds(measured, count: int) -> None:
    shown = set(np.concatenate(measured.labels).tolist()) if len(measured) else set()
    if len(shown) < KINDS:
        raise ValueError(
            "Setting 'measured' is too small. Expected: pictures that show each of "
            f"{', '.join(bccd.NAMES)}. "
            f"Received: measured={count}, pictures that show "
            f"{', '.join(bccd.NAMES[kind] for kind in sorted(shown)) or 'nothing'}."
        )


def _by_kind(found, score, names):
    table = {}
    for name in names:
        row = {kind: scores[name][score] for kind, scores in found.items()}
        table[name] = {**row, "mean": round(sum(row.values()) / len(row), 6)}
    return table


def _means(tables, name):
    return {score: rows[name]["mean"] for score, rows in tables.items() if name in rows}


RECIPE = Recipe(
    settings={
        "seed": 0,
        "epochs": 12,
        "batches_per_epoch": 40,
        "batch_size": 32,
        "shrink": 4,
        "patch": 40,
        "measured": 87,
        "methods": _maps.METHODS,
        "learning_rate": 2e-3,
    },
    data=data,
    build=build,
    experiment=experiment,
    measure=measure,
    pictures=pictures,
    served=served,
    preprocessing=preprocessing,
    license="MIT (Shenggan, BCCD Dataset)",
    column="cam",
    task="image-classification",
    protocol="Evaluated on whole pictures that were not used for training, a case for each kind "
    "in each picture; the mean over kinds. `presence` is the area under precision and "
    "recall on patches of them. The pointing game has no tolerance. MaxBoxAccV2 (IoU "
    "0.3, 0.5, 0.7) uses thresholds chosen for each kind on other pictures, and compares "
    "with the box of one cell: parts of a map that cover several cells are misses. "
    "`centre` is a Gaussian at the center of every picture, `any pixel` the expectation "
    "for a random pixel. " + _maps.EQUAL,
    limits=_maps.LIMITS,
)
