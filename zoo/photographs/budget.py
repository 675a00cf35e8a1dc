"""A budget of training time: the epochs and batches that fit it, by the speed of this machine."""

import math
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

import keras

from zoo.photographs import learning

LEAST = 8  # epochs that a training has, so that there is a best one to choose
TRIED, LEFT_OUT = 12, 4  # batches that are timed, the first of them not counted


class Speed(NamedTuple):
    """Seconds of a batch, and of what follows each epoch: measuring and keeping the weights."""

    batch: float
    epoch: float


def planned(minutes: float, speed: Speed, batches_per_epoch: int) -> tuple[int, int]:
    """(epochs, batches an epoch) that take `minutes`: whole epochs, at least 8 where that goes.

    Raises:
        ValueError: not even one batch an epoch fits.
    """
    seconds = 60 * minutes
    epochs = max(LEAST, round(seconds / (speed.epoch + batches_per_epoch * speed.batch)))
    while epochs > 1 and seconds / epochs - speed.epoch < speed.batch:
        epochs -= 1
    batches = math.floor((seconds / epochs - speed.epoch) / speed.batch + 0.5)
    if batches < 1:
        raise ValueError(
            "The budget of training time is too small. Expected: --minutes "
            f"{(speed.epoch + speed.batch) / 60:.2g} or more, which one batch and one validation "
            f"take. Received: {minutes:g}."
        )
    return epochs, batches


def measured(settings, split) -> Speed:
    """The speed of this very training on this machine, of a model that is then thrown away."""
    settings = {
        **settings,
        "epochs": 1,
        "batches_per_epoch": TRIED,
        "minutes": 0.0,
        "start": "random",
    }
    keras.utils.set_random_seed(0)
    model = learning.build(settings, split)
    experiment = learning.experiment(settings, model, split)
    clock = _Clock()
    with tempfile.TemporaryDirectory() as folder:
        (best,) = experiment.callbacks(Path(folder))
        experiment.model.fit(
            experiment.batches, epochs=1, shuffle=False, callbacks=[clock, best], verbose=0
        )
        begun = time.monotonic()
        best.on_epoch_end(1, {})
        experiment.model.save_weights(Path(folder) / "kept.weights.h5")
        after = time.monotonic() - begun
    return Speed((clock.ends[-1] - clock.ends[LEFT_OUT - 1]) / (TRIED - LEFT_OUT), after)


class _Clock(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.ends: list[float] = []

    def on_train_batch_end(self, batch, logs=None):
        self.ends.append(time.monotonic())
