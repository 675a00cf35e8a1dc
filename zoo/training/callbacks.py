"""Callbacks of a run: a checkpoint after every epoch to resume from, and progress."""

import math
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import keras
import numpy as np
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

from zoo.files import read_json, write, write_json


class Checkpoint(keras.callbacks.Callback):
    """Saves weights, optimizer and history after each epoch, and restores them in `fit`.

    `state.json` names its weights file and is renamed into place after that file, so that there is
    always one complete state, even if the process is killed.

    Args:
        folder: where the state is saved.
        batches: the batches, whose `epoch` is set, since each batch depends on it.
        writes: whether this process saves; of several processes one does.

    Attributes:
        epoch: number of finished epochs; the `initial_epoch` of `fit`.
        history: the logs of every finished epoch.
        seconds: wall time of all finished epochs.
        cpu_seconds: CPU time of this process in them, summed over all cores.
    """

    def __init__(self, folder: Path, batches: Any, *, writes: bool = True):
        super().__init__()
        self.writes = writes
        self.folder = folder
        self.batches = batches
        self.epoch, self.history, self.seconds, self.cpu_seconds = 0, [], 0.0, 0.0
        self._weights, self._random = None, []
        if self._state.exists():
            state = self._read()
            self.epoch, self.history = state["epoch"], state["history"]
            self.seconds, self.cpu_seconds = state["seconds"], state["cpu_seconds"]
            self._weights = folder / state["weights"]
            self._random = state["random"]
        batches.epoch = self.epoch

    @property
    def _state(self) -> Path:
        return self.folder / "state.json"

    def _read(self) -> dict[str, Any]:
        state = read_json(self._state)
        keys = {"epoch", "history", "seconds", "cpu_seconds", "weights", "random"}
        if not isinstance(state, dict) or state.keys() != keys:
            raise ValueError(
                f"{self._state} cannot be used. Expected: the keys {', '.join(sorted(keys))}; "
                f"training with force begins anew. Received: {_short(state)}."
            )
        return state

    def _seeds(self) -> list[keras.Variable]:
        """Where layers like Dropout are in their random numbers; Keras saves all else."""
        states = self.model.non_trainable_variables
        return [state for state in states if state.path.endswith("seed_generator_state")]

    def on_train_begin(self, logs: dict[str, Any] | None = None):
        if self._weights is not None:
            if not self.model.optimizer.built:
                self.model.optimizer.build(self.model.trainable_variables)
            try:
                self.model.load_weights(self._weights)
            except (OSError, ValueError, KeyError) as error:
                raise ValueError(
                    f"The checkpoint {self._weights} cannot be read. Expected: the weights of this "
                    "model; training with force begins anew. Received: a damaged file, or one of "
                    f"another model ({error})."
                ) from error
            for state, value in zip(self._seeds(), self._random, strict=True):
                state.assign(value)
        self._began, self._cpu_began = time.monotonic(), time.process_time()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None):
        if not all(math.isfinite(value) for value in (logs or {}).values()):
            raise ValueError(
                f"The loss is not finite in epoch {epoch + 1}. Expected: finite numbers; a smaller "
                f"learning_rate may help. Received: {logs}."
            )
        now, cpu_now = time.monotonic(), time.process_time()
        self.seconds, self._began = self.seconds + now - self._began, now
        self.cpu_seconds += cpu_now - self._cpu_began
        self._cpu_began = cpu_now
        self.epoch = epoch + 1
        self.history.append({name: float(value) for name, value in (logs or {}).items()})
        if self.writes:
            self._keep()
            return
        with tempfile.TemporaryDirectory() as spare:  # all processes of JAX must take part in it
            self.model.save_weights(Path(spare) / "spare.weights.h5")

    def _keep(self):
        weights = write(self.folder / f"epoch-{self.epoch}.weights.h5", self.model.save_weights)
        write_json(
            self._state,
            {
                "epoch": self.epoch,
                "history": self.history,
                "seconds": self.seconds,
                "cpu_seconds": self.cpu_seconds,
                "weights": weights.name,
                "random": [np.asarray(state).tolist() for state in self._seeds()],
            },
        )
        if self._weights is not None and self._weights != weights:
            self._weights.unlink(missing_ok=True)
        self._weights = weights


def _short(state: Any) -> str:
    return f"the keys {', '.join(state) or 'none'}" if isinstance(state, dict) else repr(state)[:60]


class ShowProgress(keras.callbacks.Callback):
    """Progress over all epochs of `fit`, written to standard error.

    Args:
        epochs: number of epochs of the whole training.
        steps: batches per epoch.
        every: seconds between two lines if standard error is not a terminal.
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
                logs=_logs(logs),
            )

    def on_epoch_end(self, epoch, logs=None):
        last = epoch + 1 == self.epochs
        if self._bar is None and (last or time.monotonic() - self._said >= self.every):
            self._said = time.monotonic()
            print(f"epoch {epoch + 1}/{self.epochs}  {_logs(logs)}", file=sys.stderr, flush=True)

    def on_train_end(self, logs=None):
        self.close()

    def close(self):
        """Restore the terminal, also if the training failed."""
        if self._bar is not None:
            self._bar.stop()
            self._bar = None


def _logs(logs: dict | None) -> str:
    return "  ".join(f"{name} {float(value):.4f}" for name, value in (logs or {}).items())
