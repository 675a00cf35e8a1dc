"""Finds a handwritten digit in a crowded scene from one picture of it; five digits unseen.

    keras-metric train digits-locate --seeds 3

Like omniglot-locate, on the digits of scikit-learn, rotated and scaled: scenes of the digits 5 to
9 are searched for each of them, with pictures that are in no scene. Half of each batch are
windows of the digits 0 to 4, whose rotations and mirror images are further classes if they look
different; half are windows of the alphabets of Omniglot's `images_background_small1` and `small2`,
which have no digits, at the same coarse resolution. Settings were chosen with `--set unseen=01234`.

Measured: 3 seeds, 40 epochs, 99.4 minutes on two cores in all: average precision 0.7855 (0.7518
to 0.8053), recall@1 0.8433 (0.8139 to 0.86).
"""

from zoo.datasets import split_by_class, stratified_split
from zoo.datasets.augmentation.coarse import coarse
from zoo.datasets.augmentation.warp import rotations_as_classes
from zoo.datasets.scenes.glyphs import resized
from zoo.datasets.sources import digits
from zoo.recipe import Recipe
from zoo.recipes import _digits, _locate, _omniglot
from zoo.training.experiments import Split

SCENES = {"scale": (0.8, 1.3), "rotation": 20.0}
SCALES = (0.8, 1.0, 1.25)


def data(settings, folder):
    pictures = resized(digits.load(), settings["side"])
    seen, unseen = split_by_class(pictures, list(settings["unseen"]))
    train, validation = stratified_split(seen, 0.1, seed=settings["seed"])
    bank, exemplars = stratified_split(unseen, 0.5, seed=0)
    alphabets = coarse(_omniglot.every_alphabet(folder), settings["side"])
    return Split(
        (_digits.distinct_symmetries(train), rotations_as_classes(alphabets)),
        validation,
        _locate.search(settings, exemplars, bank, scales=SCALES, **SCENES),
    )


RECIPE = Recipe(
    settings={
        "seed": 0,
        "unseen": "56789",
        "side": 28,
        "epochs": 40,
        "batches_per_epoch": 40,
        "classes_per_batch": 16,
        "images_per_class": 4,
        "embedding": 64,
        "temperature": 0.1,
        "learning_rate": 2e-3,
        "exemplars": 6,
        "scenes": 60,
        "size": 128,
        "blur": 1.0,
    },
    data=data,
    build=_locate.build,
    experiment=_locate.experiment,
    measure=_locate.measure,
    license=f"digits: {_digits.LICENSE}; alphabets: {_omniglot.LICENSE}",
    pictures=_locate.pictures,
    protocol=_locate.PROTOCOL,
    limits=_locate.LIMITS,
)
