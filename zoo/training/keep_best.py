"""`KeepBest`: the epoch whose embeddings retrieve best is the one that `fit` ends with."""

from collections.abc import Callable
from pathlib import Path

import keras
import numpy as np

from keras_metric.metrics import EvaluateRetrieval
from zoo.files import read_json, write, write_json


class KeepBest(EvaluateRetrieval):
    """Measures held-out images after every epoch and gives the model its best weights at the end.

        best = KeepBest(images, labels, measure="map@r", folder="out/best")
        model.fit(batches, epochs=20, callbacks=[best])

    The measures are in the logs, `val_set_recall@1` and so on. An optimizer with `use_ema=True` is
    measured, and kept, with its averaged weights; training goes on from the others. List it before
    callbacks that read the measures or save the state of an epoch.

    Args:
        images, labels: as of `EvaluateRetrieval`: pictures of classes, or pictures, that are not
            trained on.
        measure: what decides, "map@r" or "recall@1", or another name of `retrieval`; of equal
            epochs the first is kept.
        folder: where the best weights lie, so that a training which was interrupted still knows
            them; by default they are in memory.
        start: the weights before the first epoch count as epoch 0.
        encoder, batch_size, distance: as of `EvaluateRetrieval`.

    Attributes:
        epoch: the best epoch so far, counted from 1; None before the first.
        value: its measure.

    Raises:
        ValueError: images and labels that do not fit, an unknown measure, or a folder with the
            weights of another model.
    """

    def __init__(
        self,
        images,
        labels=None,
        *,
        measure: str = "map@r",
        folder: str | Path | None = None,
        start: bool = False,
        encoder: keras.Model | None = None,
        batch_size: int = 64,
        distance: str | Callable = "euclidean",
    ):
        names = tuple(dict.fromkeys(("recall@1", "map@r", measure)))
        super().__init__(
            images,
            labels,
            encoder=encoder,
            k=1,
            measures=names,
            batch_size=batch_size,
            distance=distance,
        )
        self.decides = measure
        self.folder = None if folder is None else Path(folder)
        self.start = start
        self.epoch, self.value, self._weights = None, float("-inf"), None

    def on_train_begin(self, logs: dict | None = None):
        if self.folder is not None and self._state.exists():
            self._read()
        if self.start and self.epoch is None:
            self._consider(0, self.measure())

    def on_epoch_end(self, epoch: int, logs: dict | None = None):
        before = self._averaged()
        measured = self.measure()
        self._consider(epoch + 1, measured)
        if before is not None:
            _assign(self.model.trainable_variables, before)
        if logs is not None:
            logs.update({self.prefix + name: value for name, value in measured.items()})

    def on_train_end(self, logs: dict | None = None):
        if self.epoch is not None:
            _assign(self.model.weights, self._weights)

    @property
    def _state(self) -> Path:
        return self.folder / "best.json"

    def _averaged(self) -> list[np.ndarray] | None:
        """Puts the optimizer's averages into the model; the weights that were there, if it did."""
        optimizer = getattr(self.model.optimizer, "inner_optimizer", self.model.optimizer)
        if not optimizer.use_ema:
            return None
        before = _values(self.model.trainable_variables)
        optimizer.finalize_variable_values(self.model.trainable_variables)
        # On JAX they now share the memory of the averages, which `predict` may give away.
        _assign(self.model.trainable_variables, _values(self.model.trainable_variables))
        return before

    def _consider(self, epoch: int, measured: dict[str, float]) -> None:
        value = float(measured[self.decides])
        if not value > self.value:
            return
        self.epoch, self.value, self._weights = epoch, value, _values(self.model.weights)
        if self.folder is None:
            return
        file = write(self.folder / f"best-{epoch}.npz", self._save)
        kept = {"epoch": epoch, "measure": self.decides, "value": value, "weights": file.name}
        write_json(self._state, kept)
        for old in self.folder.glob("best-*.npz"):
            if old != file:
                old.unlink()

    def _save(self, path: Path) -> None:
        np.savez(path, *self._weights)

    def _read(self) -> None:
        state = read_json(self._state)
        with np.load(self.folder / state["weights"], allow_pickle=False) as arrays:
            weights = [arrays[f"arr_{number}"] for number in range(len(arrays.files))]
        shapes = [tuple(weight.shape) for weight in self.model.weights]
        if [weight.shape for weight in weights] != shapes or state["measure"] != self.decides:
            raise ValueError(
                f"{self.folder} holds the best epoch of another training. Expected: {len(shapes)} "
                f"weights of this model, chosen by {self.decides}. Received: {len(weights)} "
                f"weights, chosen by {state['measure']}."
            )
        self.epoch, self.value, self._weights = state["epoch"], state["value"], weights


def _values(variables) -> list[np.ndarray]:
    return [np.array(keras.ops.convert_to_numpy(variable)) for variable in variables]


def _assign(variables, values) -> None:
    for variable, value in zip(variables, values, strict=True):
        variable.assign(value)
