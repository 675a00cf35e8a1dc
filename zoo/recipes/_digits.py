"""What the recipes on handwritten digits share: the split, the distortions, the measure."""

from collections.abc import Callable
from dataclasses import replace

import keras
import numpy as np

from zoo import encoders
from zoo.datasets.augmentation.warp import MIRRORED, Warp, rotations_as_classes
from zoo.datasets.images import Images, split_by_class, stratified_split
from zoo.datasets.sources import digits
from zoo.evaluation import protocols
from zoo.recipe import Recipe, Settings
from zoo.training.experiments import Split

UNSEEN = ("5", "6", "7", "8", "9")
LICENSE = "CC BY 4.0 (UCI, Optical Recognition of Handwritten Digits; copy in scikit-learn)"
SETTINGS = {
    "seed": 0,
    "epochs": 20,
    "batches_per_epoch": 40,
    "embedding": 256,
    "learning_rate": 1e-3,
}
BATCHES = {
    "classes_per_batch": 20,
    "images_per_class": 8,
}  # of the 40 classes, P a batch; K pictures of each

# Of 0, 90, 180 and 270 degrees, then those of the mirror image. A 6 is a 9 turned.
_DISTINCT = {"0": (0, 1), "1": (0, 1, 4, 5), "3": (0, 1, 2, 3), "8": (0, 1)}

augment = Warp(rotation=10, scale=0.1, shear=0.15, translation=0.07)


def recipe(experiment: Callable, own: Settings, **functions) -> Recipe:
    """A recipe that differs from its neighbours in its experiment and in settings of its own."""
    usual = {"data": unseen_digits, "build": build, "measure": measure}
    settings = {**SETTINGS, **BATCHES, **own}
    return Recipe(settings, experiment=experiment, license=LICENSE, **{**usual, **functions})


def unseen_digits(settings: Settings, folder) -> Split:
    """Learn from 0 to 4, turned and mirrored into 40 classes; measure on 5 to 9."""
    seen, test = split_by_class(digits.load(), UNSEEN)
    train, validation = stratified_split(seen, 0.1, seed=settings["seed"])
    return Split(symmetries(train), symmetries(validation), test)


def numbered_classes(settings: Settings, folder) -> Split:
    """The same; the 40 classes are numbered 0 to 39, as a head that owns class weights needs."""
    train, validation, test = unseen_digits(settings, folder)
    return Split(train.relabelled(), validation.relabelled(), test)


def symmetries(images: Images) -> Images:
    """Eight classes of one: the four rotations, and those of the mirror image."""
    turned = rotations_as_classes(images)
    return replace(
        turned,
        images=np.concatenate([turned.images, turned.images[:, :, ::-1]]),
        labels=np.concatenate([turned.labels, turned.labels + len(turned.names)]),
        names=(*turned.names, *(name + MIRRORED for name in turned.names)),
    )


def distinct_symmetries(images: Images) -> Images:
    """Those of the eight that look like a class of their own: 0 turned by 180 degrees is a 0."""
    every, shown = symmetries(images), {label: images.names[label] for label in images.classes}
    kept = [
        label + len(images.names) * symmetry
        for label, name in shown.items()
        for symmetry in _DISTINCT.get(name, range(8))
        if not (name == "6" and "9" in shown.values())
    ]
    return every.where(np.isin(every.labels, kept))


def build(settings: Settings, split: Split) -> keras.Model:
    return encoders.build(
        "tiny", split.train.shape, embedding=settings["embedding"], normalize=True
    )


def measure(settings: Settings, encoder: keras.Model, split: Split):
    return protocols.retrieval(encoder, split.test)
