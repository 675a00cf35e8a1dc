"""Shows a training as it goes: a moving bar on a terminal, now and then a line in a log."""

import sys
import time

import keras
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn


class ShowProgress(keras.callbacks.Callback):
    """Progress over all epochs of `fit`, written to standard error.

    Args:
        epochs: number of epochs of the whole training.
        steps: batches an epoch.
        every: seconds between two lines where standard error is no terminal.
    """

    def __init__(self, epochs: int, steps: int, *, every: float = 10.0):
        super().__init__()
        self.epochs, self.steps, self.every = epochs, steps, every
        self._console = Console(file=sys.stderr)
        self._bar = None
        self._said = -every
        self._epoch = 0

    def on_train_begin(self, logs=None):
        if self._console.is_terminal:
            self._bar = Progress(
                TextColumn("{task.description}"),
                BarColumn(),
                TextColumn("{task.percentage:>3.0f}%"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[logs]}"),
                console=self._console,
            )
            self._task = self._bar.add_task("training", total=self.epochs * self.steps, logs="")
            self._bar.start()

    def on_epoch_begin(self, epoch, logs=None):
        self._epoch = epoch

    def on_train_batch_end(self, batch, logs=None):
        if self._bar is not None:
            self._bar.update(
                self._task,
                completed=self._epoch * self.steps + batch + 1,
                description=f"epoch {self._epoch + 1}/{self.epochs}",
                logs=_short(logs),
            )

    def on_epoch_end(self, epoch, logs=None):
        last = epoch + 1 == self.epochs
        if self._bar is None and (last or time.monotonic() - self._said >= self.every):
            self._said = time.monotonic()
            print(f"epoch {epoch + 1}/{self.epochs}  {_short(logs)}", file=sys.stderr, flush=True)

    def on_train_end(self, logs=None):
        self.close()

    def close(self):
        """Leave the terminal as it was; for a training that ended by an error, too."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _short(logs: dict | None) -> str:
    return "  ".join(f"{name} {float(value):.4f}" for name, value in (logs or {}).items())
