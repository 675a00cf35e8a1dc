"""`Budget`: a training ends when its time is over."""

import time
from pathlib import Path

import keras

from zoo.files import read_json

OVER = 1.05  # times the budget: no epoch begins that would end later


class Budget(keras.callbacks.Callback):
    """Ends a training after the last epoch that the budget has time for.

    Args:
        minutes: of all epochs, those before an interruption included.
        folder: where the state of the training lies, which knows of those.
    """

    def __init__(self, minutes: float, folder: Path):
        super().__init__()
        self.seconds, self.state = 60 * minutes, folder / "state.json"
        self.before = 0.0

    def on_train_begin(self, logs=None):
        if self.state.exists():
            self.before = read_json(self.state)["seconds"]
        self.begun = self.epoch_begun = time.monotonic()

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch_begun = time.monotonic()

    def on_epoch_end(self, epoch, logs=None):
        now = time.monotonic()
        taken, last = self.before + now - self.begun, now - self.epoch_begun
        if taken + last > OVER * self.seconds:
            self.model.stop_training = True
