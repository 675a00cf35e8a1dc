"""What the Omniglot recipes share: five alphabets to learn from, three unseen ones to choose on."""

import keras

from zoo import protocols
from zoo.datasets import omniglot
from zoo.datasets.augment import Warp, rotations_as_classes
from zoo.datasets.images import Images, joined, stratified_split
from zoo.experiment import Split
from zoo.recipe import Settings

LICENCE = "MIT (Lake, Salakhutdinov and Tenenbaum, Omniglot)"

augment = Warp(rotation=15, scale=0.15, shear=0.2, translation=0.05, elastic=0.02)


def unseen_alphabets(settings: Settings, folder) -> Split:
    """Learn from one minimal background set; measure on the alphabets only the other one has."""
    seen, unseen = two_backgrounds(settings, folder)
    train, validation = stratified_split(seen, 0.1, seed=settings["seed"])
    return Split(rotations_as_classes(train), validation, unseen)


def two_backgrounds(settings: Settings, folder) -> tuple[Images, Images]:
    """One minimal background set, and the alphabets that only the other one has."""
    others = {"small1": "small2", "small2": "small1"}
    background = settings["background"]
    if background not in others:
        raise ValueError(
            f"Unknown background set. Expected one of: {', '.join(others)}. "
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


def measure(settings: Settings, encoder: keras.Model, split: Split):
    return protocols.one_shot(encoder, split.test, ways=20, runs=100, seed=0)


def _load(source: str, folder, settings: Settings) -> Images:
    return omniglot.prepare(omniglot.load(source, folder), settings["side"])
