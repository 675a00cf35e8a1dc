"""What one of several devices has of a batch, and what makes them one in losses and layers."""

from typing import Any

import keras


class Share(keras.utils.PyDataset):
    """The rows of each batch that belong to one process of `count`, in order."""

    def __init__(self, batches: Any, process: int, count: int):
        super().__init__(workers=batches.workers, max_queue_size=batches.max_queue_size)
        self.batches, self.process, self.count = batches, process, count

    @property
    def epoch(self) -> int:
        """The epoch that the batches are in."""
        return self.batches.epoch

    @epoch.setter
    def epoch(self, value: int):
        self.batches.epoch = value

    def __len__(self) -> int:
        return len(self.batches)

    def __getitem__(self, index: int):
        return keras.tree.map_structure(self._rows, self.batches[index])

    def _rows(self, array):
        share = len(array) // self.count
        return array[self.process * share : (self.process + 1) * share]

    def on_epoch_begin(self):
        self.batches.on_epoch_begin()

    def on_epoch_end(self):
        self.batches.on_epoch_end()


def check_even(batches: Any, count: int) -> None:
    rows = len(keras.tree.flatten(batches[0])[0])
    if rows % count:
        raise ValueError(
            f"A batch cannot be shared. Expected: a number of rows that {count} divides, so that "
            f"every device has as many. Received: {rows}."
        )


def over_replicas(model: keras.Model, on: bool = True) -> None:
    """Losses compare the rows of all replicas, batch normalisation counts over them; or no more."""
    for layer in model._flatten_layers():
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.synchronized = on
    for loss in keras.tree.flatten(getattr(model, "loss", None)):
        if hasattr(loss, "gather"):
            loss.gather = on
