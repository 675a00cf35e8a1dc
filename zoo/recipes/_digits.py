"""What the recipes on handwritten digits share: the split, the distortions, the measure."""

from dataclasses import replace

import keras
import numpy as np

from zoo import encoders, protocols
from zoo.datasets import digits
from zoo.datasets.augment import Warp, rotations_as_classes
from zoo.datasets.images import Images, split_by_class, stratified_split
from zoo.experiment import Split
from zoo.recipe import Settings

UNSEEN = ("5", "6", "7", "8", "9")
LICENCE = "CC BY 4.0 (UCI, Optical Recognition of Handwritten Digits; copy in scikit-learn)"

augment = Warp(rotation=10, scale=0.1, shear=0.15, translation=0.07)


def unseen_digits(settings: Settings, folder) -> Split:
    """Learn from 0 to 4, turned and mirrored into 40 classes; measure on 5 to 9."""
    seen, test = split_by_class(digits.load(), UNSEEN)
    train, validation = stratified_split(seen, 0.1, seed=settings["seed"])
    return Split(symmetries(train), symmetries(validation), test)


def symmetries(images: Images) -> Images:
    """Eight classes of one: the four rotations, and those of the mirror image."""
    turned = rotations_as_classes(images)
    return replace(
        turned,
        images=np.concatenate([turned.images, turned.images[:, :, ::-1]]),
        labels=np.concatenate([turned.labels, turned.labels + len(turned.names)]),
        names=(*turned.names, *(f"{name} mirrored" for name in turned.names)),
    )


def build(settings: Settings, split: Split) -> keras.Model:
    return encoders.build(
        "tiny", split.train.shape, embedding=settings["embedding"], normalize=True
    )


def measure(settings: Settings, encoder: keras.Model, split: Split):
    return protocols.retrieval(encoder, split.test)
