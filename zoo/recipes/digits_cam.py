"""Classifier of which digits a cluttered scene shows, trained without positions; all maps measured.

    keras-metric train digits-cam --seeds 3

Zhou et al., "Learning Deep Features for Discriminative Localization", 2016, arXiv:1512.04150, by
the protocol of Choe et al., "Evaluating Weakly Supervised Object Localization Methods Right", 2020,
arXiv:2001.07437: thresholds are chosen on scenes of the validation digits and scores measured
on scenes of the test digits, which are other drawings of the same classes. Scenes are drawn from
scikit-learn's digits among strokes and fragments.

Measured: 3 seeds, 8 epochs, 16.1 minutes on two cores in all: presence 0.9867 (0.9856 to
0.9876), pointing game 0.9281 (0.9137 to 0.9424), MaxBoxAcc 0.7026 (0.6691 to 0.7554).
"""

from zoo.datasets.scenes.scene_batches import SceneBatches, presence
from zoo.datasets.sources import digit_scenes
from zoo.evaluation.map_measures import cases_of_scenes, explainers, faithfulness, localisation
from zoo.recipe import Recipe
from zoo.recipes import _digits, _maps
from zoo.training.experiments import Measured, Split

DIGITS = 10


def data(settings, folder):
    options = {
        "size": settings["side"],
        "side": settings["digit"],
        "glyphs": (1, 4),
        "strokes": (0, 2),
        "fragments": (0, 3),
    }
    count = settings["measured"]
    return Split(
        digit_scenes.load("train", count=10**9, seed=settings["seed"], **options),
        digit_scenes.load("validation", count=count, **options),
        digit_scenes.load("test", count=count, **options),
    )


def build(settings, split):
    return _maps.build((None, None, 1), DIGITS)


def experiment(settings, model, split):
    size, steps = settings["batch_size"], settings["batches_per_epoch"]
    batches = SceneBatches(split.train, size, targets=presence, batches_per_epoch=steps)
    watched = SceneBatches(split.validation, size, targets=presence, fixed=True)
    return _maps.experiment(settings, model, batches, watched, DIGITS)


def measure(settings, model, split):
    cases = cases_of_scenes(split.test)
    explain = explainers(model, _maps.methods(settings))
    where = localisation(explain, cases_of_scenes(split.validation), cases)
    few = cases.where(range(min(len(cases.images), settings["explained"])))
    why = faithfulness(model, explain, few)
    shown = SceneBatches(split.test, settings["batch_size"], targets=presence, fixed=True)
    results = {"presence": _maps.presence(model, shown, DIGITS), **where["cam"]}
    baselines = {name: where.pop(name) for name in ("centre", "any pixel")}
    tables = {"Where the maps point": where, "What the network does without it": why}
    return Measured(results, baselines, tables)


def pictures(settings, model, split):
    cases = cases_of_scenes(split.test).where(range(min(len(split.test), 6)))
    return _maps.pictures(settings, model, cases, split.test.names)


def served(settings, model):
    """A score and a map for each digit, of scenes as they were trained on; of files, too."""
    names = [str(digit) for digit in range(DIGITS)]
    return model, {"labels": names, "image_shape": (settings["side"], settings["side"], 1)}


RECIPE = Recipe(
    settings={
        "seed": 0,
        "epochs": 8,
        "batches_per_epoch": 60,
        "batch_size": 32,
        "side": 64,
        "digit": 20,
        "measured": 60,
        "explained": 40,
        "methods": _maps.METHODS,
        "learning_rate": 2e-3,
    },
    data=data,
    build=build,
    experiment=experiment,
    measure=measure,
    pictures=pictures,
    served=served,
    license=_digits.LICENSE,
    column="cam",
    task="image-classification",
    protocol="Evaluated on scenes of drawings that were not used for training, a case for each "
    "digit in each scene. `presence` is the mean area under precision and recall; "
    "MaxBoxAcc (IoU 0.5) and MaxBoxAccV2 (0.3, 0.5, 0.7) use thresholds chosen on other "
    "scenes; the pointing game has no tolerance; PxAP is computed on the ink. `centre` "
    "is a Gaussian at the center of every scene, `any pixel` the expectation for a "
    "random pixel. Lower is better for average drop and deletion, higher for average "
    "increase, insertion and ROAD; `shuffled weights` is the correlation with the map "
    "after the weights were shuffled, near 0 for maps of what was learned. " + _maps.EQUAL,
    limits=_maps.LIMITS,
)
