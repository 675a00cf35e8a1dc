"""What a recipe hands to the trainer: a split of the data, a compiled model and its batches."""

from typing import NamedTuple

import keras

from zoo.datasets.images import Images


class Split(NamedTuple):
    """Images to learn from and images to measure on, without a common class but for validation.

    `validation` holds images that choices may be made on; `test` is only ever measured.
    """

    train: Images
    validation: Images
    test: Images


class Experiment(NamedTuple):
    """A compiled model, the batches of one epoch, and batches that watch it learn (or None)."""

    model: keras.Model
    batches: keras.utils.PyDataset
    validation: keras.utils.PyDataset | None = None
