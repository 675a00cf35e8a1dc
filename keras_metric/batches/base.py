"""The base class of all batches: epoch, random numbers, shards, augmentation."""

from collections.abc import Callable

import keras
import numpy as np

from keras_metric.arguments import whole
from keras_metric.batches.ahead import Ahead

CLASSES, MEMBERS, PAIRS, AUGMENT = range(4)  # separate streams of random numbers


class Batches(keras.utils.PyDataset):
    """A `PyDataset` whose batch is a pure function of `(seed, epoch, index)`.

    `epoch` counts the epochs that `fit` and `evaluate` have finished; if you set it to k before
    `fit(initial_epoch=k)`, the batches are those of epoch k. Keras calls `on_epoch_end` once
    before the first epoch (after a trial batch, when it still has to build the model); this does
    not count. In your own training loop, set `epoch` yourself.

    With `workers` above 1 the next batches, at most `max_queue_size`, are computed in advance in
    threads, or in processes with `use_multiprocessing`. Then use `fit(shuffle=False)`: in a random
    order the batches computed in advance are not the ones needed next.
    """

    def __init__(
        self,
        *,
        batches_per_epoch: int | None,
        images_per_epoch: int,
        images_per_batch: int,
        seed: int,
        augment: Callable | None,
        fixed: bool,
        shard: tuple[int, int],
        workers: int,
        use_multiprocessing: bool,
        max_queue_size: int,
    ):
        super().__init__()  # one worker of Keras's, which asks for one batch after the other
        several = whole("workers", workers, least=0) > 1 or (workers and use_multiprocessing)
        depth = whole("max_queue_size", max_queue_size)
        self._ahead = Ahead(self._at, workers, depth, use_multiprocessing) if several else None
        self.shard = checked_shard(shard)
        if batches_per_epoch is None:
            batches_per_epoch = max(1, images_per_epoch // (images_per_batch * self.shard[1]))
        self.batches_per_epoch = whole("batches_per_epoch", batches_per_epoch)
        self.seed = whole("seed", seed, least=0)
        if augment is not None and not callable(augment):
            raise ValueError(
                "augment must be called with a random generator and the images. "
                f"Expected: a callable (rng, images) -> images. Received: {augment!r}."
            )
        self.augment = augment
        self.fixed = fixed
        self.epoch = 0

    @property
    def epoch(self) -> int:
        return self._epoch

    @epoch.setter
    def epoch(self, value: int):
        self._epoch = whole("epoch", value, least=0)
        self._fit_began = self._in_epoch = False

    def on_epoch_begin(self):
        self._in_epoch = self._fit_began

    def on_epoch_end(self):
        if self._in_epoch:
            self._epoch += 1
        self._fit_began, self._in_epoch = True, False

    def __len__(self) -> int:
        return self.batches_per_epoch

    def __getitem__(self, index: int):
        if not 0 <= index < len(self):
            raise IndexError(
                "There is no such batch. "
                f"Expected: an index from 0 to {len(self) - 1}. Received: {index}."
            )
        epoch = 0 if self.fixed else self._epoch
        if self._ahead is not None:
            return self._ahead(epoch, int(index), len(self))
        return self._at(epoch, int(index))

    def _at(self, epoch: int, index: int):
        mine, count = self.shard
        return self.batch(epoch, index * count + mine)

    def batch(self, epoch: int, number: int):
        """Batch `number` of an epoch, counted over all shards."""
        raise NotImplementedError(f"{type(self).__name__} does not implement batch(epoch, number).")

    def random(self, epoch: int, stream: int, *key: int) -> np.random.Generator:
        return np.random.default_rng(
            np.random.SeedSequence(self.seed, spawn_key=(epoch, stream, *key))
        )

    def augmented(self, epoch: int, number: int, images: tuple[np.ndarray, ...]) -> tuple:
        if self.augment is None:
            return images
        rng = self.random(epoch, AUGMENT, number)
        return tuple(checked_images(self.augment(rng, x), x) for x in images)


def checked_images(augmented, images: np.ndarray) -> np.ndarray:
    """The output of `augment`, checked: numeric, with the same number of images and the same rank.

    Height, width and the number type may change.
    """
    found = np.asarray(augmented)
    of_numbers = found.dtype.kind in "fiub" or found.dtype == images.dtype
    if not of_numbers or found.ndim != images.ndim or len(found) != len(images):
        raise ValueError(
            f"augment must give back the images of the batch. Expected: {len(images)} of them, "
            f"numbers of rank {images.ndim}, as {images.dtype} of shape {images.shape}. "
            f"Received: {found.dtype} of shape {found.shape}."
        )
    return found


def checked_shard(shard: tuple[int, int]) -> tuple[int, int]:
    integers = isinstance(shard, tuple | list) and all(
        isinstance(part, int | np.integer) for part in shard
    )
    if not integers or len(shard) != 2 or not 0 <= shard[0] < shard[1]:
        raise ValueError(
            "The shard does not exist. "
            f"Expected: (index, count) with 0 <= index < count. Received: {shard!r}."
        )
    return int(shard[0]), int(shard[1])
