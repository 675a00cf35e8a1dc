"""What the Omniglot recipes share: five alphabets to learn from, three unseen ones to choose on."""

from dataclasses import replace

import keras
import numpy as np

from keras_metric.losses import InfoNCELoss
from zoo import encoders
from zoo.datasets.augmentation.new_classes import ClassHalves, ClassWarp
from zoo.datasets.augmentation.warp import Warp, rotations_as_classes
from zoo.datasets.batches import GroupBatches
from zoo.datasets.images import Images, joined, stratified_split
from zoo.datasets.sources import omniglot
from zoo.encoders.ensemble import VIEWS, EnsembleLoss, ensemble, members, side_by_side
from zoo.encoders.ink_frame import InkFrame, framed
from zoo.evaluation import protocols
from zoo.recipe import Settings
from zoo.reports import embedding_pictures, one_shot_pictures
from zoo.training import experiments
from zoo.training.experiments import Experiment, Measured, Picture, Split

LICENSE = "MIT (Lake, Salakhutdinov and Tenenbaum, Omniglot)"
PROTOCOL = (
    "Evaluated by 20-way one-shot classification within alphabets that were not used for "
    "training, each query alone; these are validation alphabets, on which settings were chosen. "
    "The published runs were not read. The 20 exemplars are by one drawer, the queries by "
    "another."
)

SIDE = 105  # of a drawing as it comes

augment = Warp(rotation=15, scale=0.15, shear=0.2, translation=0.05, elastic=0.02)
of_classes = Warp(rotation=15, scale=0.3, shear=0.4, translation=0, elastic=0.05)


def unseen_alphabets(settings: Settings, folder) -> Split:
    """Learn from one minimal background set; measure on the alphabets only the other one has."""
    seen, unseen = two_backgrounds(settings, folder)
    train, validation = stratified_split(seen, 0.1, seed=settings["seed"])
    return Split(rotations_as_classes(train), validation, unseen)


def every_drawer(settings: Settings, folder) -> Split:
    """Training on all drawings and their mirror images, in frames; evaluation on whole drawings."""
    seen, unseen = two_backgrounds({**settings, "side": SIDE}, folder)
    learnt = rotations_as_classes(_in_frames(seen, settings), mirrored=True)
    return Split(learnt, _in_frames(unseen, settings), unseen)


def two_backgrounds(settings: Settings, folder) -> tuple[Images, Images]:
    """One minimal background set, and the alphabets that only the other one has."""
    others = {"small1": "small2", "small2": "small1"}
    background = settings["background"]
    if background not in others:
        raise ValueError(
            f"Unknown background set. Expected: one of {', '.join(others)}. "
            f"Received: {background!r}."
        )
    seen = _load(background, folder, settings)
    found = _load(others[background], folder, settings)
    unseen = [name for name in found.group_names if name not in seen.group_names]
    return seen, found.of_groups(unseen)


def every_alphabet(folder) -> Images:
    """The drawings of both minimal background sets, as they come: ten alphabets less the shared."""
    first, second = (omniglot.load(source, folder) for source in ("small1", "small2"))
    new = second.of_groups([x for x in second.group_names if x not in first.group_names])
    return joined(first, new.relabelled())


def build(settings: Settings, split: Split) -> keras.Model:
    """Members of the same kind, and the views of every framed drawing that they look at.

    The last 3 x 3 positions, one after the other, are the embedding: a dense layer behind them
    would fit what it was taught, and be wrong more often about new alphabets.
    """
    made = [
        encoders.build("conv5", split.train.shape, embedding=None, normalize=True)
        for _ in range(settings["members"])
    ]
    for number, encoder in enumerate(made):
        encoder.name = f"member{number}"
    together = ensemble(made, VIEWS, power=settings["power"])
    return framed(together, _frame(settings), split.test.shape)


def experiment(settings: Settings, model: keras.Model, split: Split) -> Experiment:
    """Every member alone under InfoNCE, all on the same batches."""
    encoders, loss = members(model), InfoNCELoss(settings["temperature"])
    trained = encoders[0]
    if len(encoders) > 1:
        images = keras.Input(split.train.shape)
        trained = keras.Model(images, side_by_side(encoders, images))
        loss = EnsembleLoss(loss, len(encoders))
    trained.compile(experiments.adam(settings), loss)
    _, watched = experiments.labelled_batches(settings, split)
    return Experiment(trained, _batches(settings, split.train), watched)


def measure(settings: Settings, encoder: keras.Model, split: Split):
    """20-way one-shot runs; raw pixels are compared in the size of omniglot-triplet."""
    small = omniglot.prepare(split.test, 28)
    return protocols.one_shot(encoder, split.test, ways=20, runs=100, seed=0, shown=small)


def measure_views(settings: Settings, model: keras.Model, split: Split) -> Measured:
    """The ensemble, and in a table what one member makes of one view."""
    results, baselines = measure(settings, model, split)
    alone, _ = measure(settings, members(model)[0], split._replace(test=split.validation))
    return Measured(results, baselines, {"One member, one view": {"one member, one view": alone}})


def pictures(settings: Settings, model: keras.Model, split: Split) -> dict[str, Picture]:
    """The usual pictures, and the errors with their maps."""
    drawn = one_shot_pictures.errors(members(model)[0], split.validation)
    return {**drawn, **embedding_pictures.pictures(settings, model, split)}


def _batches(settings: Settings, train: Images) -> GroupBatches:
    """P classes x K images; a share `within` of the batches is of one alphabet, turned alike."""
    characters = len(train.names) // 8
    return GroupBatches(
        train.images,
        train.labels,
        groups=train.groups * 8 + train.labels // characters,
        within=settings["within"],
        classes_per_batch=settings["classes_per_batch"],
        images_per_class=settings["images_per_class"],
        batches_per_epoch=settings["batches_per_epoch"],
        seed=settings["seed"],
        augment=_augment(settings),
    )


def _augment(settings: Settings):
    """A share `warped` of the classes of a batch is distorted into characters nobody drew; a share
    `halves` is put together from two before that.
    """
    each = replace(augment, elastic=settings["elastic"])
    warp = ClassWarp(each, of_classes, settings["warped"], settings["images_per_class"])
    if not settings["halves"]:
        return warp
    return ClassHalves(settings["halves"], settings["images_per_class"], warp)


def _frame(settings: Settings) -> InkFrame:
    return InkFrame(settings["side"], strength=settings["framed"], name="frame")


def _in_frames(images: Images, settings: Settings) -> Images:
    seen = keras.Sequential([keras.Input(images.shape), _frame(settings)])
    pictures = seen.predict(images.images, batch_size=256, verbose=0)
    return replace(images, images=np.rint(pictures).astype(np.uint8))


def _load(source: str, folder, settings: Settings) -> Images:
    return omniglot.prepare(omniglot.load(source, folder), settings["side"])
