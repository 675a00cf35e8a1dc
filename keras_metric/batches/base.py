"""What all batches share: the epoch they are in, their random numbers, shards, augmentation."""

from collections.abc import Callable

import keras
import numpy as np

CLASSES, MEMBERS, PAIRS, AUGMENT = range(4)  # separate streams of random numbers


class Batches(keras.utils.PyDataset):
    """A `PyDataset` whose batch is a pure function of `(seed, epoch, index)`.

    `epoch` counts the epochs that `fit` and `evaluate` have finished; set it to k before
    `fit(initial_epoch=k)` and the batches are those of epoch k. Keras calls `on_epoch_end` once
    before the first epoch (after a trial batch, when it still has to build the model), which does
    not count. In a loop of your own, set `epoch` yourself.
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
        super().__init__(workers, use_multiprocessing, max_queue_size)
        self.shard = checked_shard(shard)
        if batches_per_epoch is None:
            batches_per_epoch = max(1, images_per_epoch // (images_per_batch * self.shard[1]))
        self.batches_per_epoch = positive_integer("batches_per_epoch", batches_per_epoch)
        if isinstance(seed, bool) or not isinstance(seed, int | np.integer) or seed < 0:
            raise ValueError(
                f"The seed must be reproducible. Expected an integer from 0 on. Received: {seed!r}."
            )
        self.seed = int(seed)
        if augment is not None and not callable(augment):
            raise ValueError(
                "augment must be called with a random generator and the images. "
                f"Expected a callable (rng, images) -> images. Received: {augment!r}."
            )
        self.augment = augment
        self.fixed = fixed
        self.epoch = 0

    @property
    def epoch(self) -> int:
        return self._epoch

    @epoch.setter
    def epoch(self, value: int):
        if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 0:
            raise ValueError(
                f"An epoch is counted from 0. Expected an integer from 0 on. Received: {value!r}."
            )
        self._epoch = int(value)
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
                f"Expected an index from 0 to {len(self) - 1}. Received: {index}."
            )
        mine, count = self.shard
        epoch = 0 if self.fixed else self._epoch
        return self.batch(epoch, int(index) * count + mine)

    def batch(self, epoch: int, number: int):
        """Batch `number` of an epoch, counted over all shards."""
        raise NotImplementedError

    def random(self, epoch: int, stream: int, *key: int) -> np.random.Generator:
        return np.random.default_rng(
            np.random.SeedSequence(self.seed, spawn_key=(epoch, stream, *key))
        )

    def augmented(self, epoch: int, number: int, images: tuple[np.ndarray, ...]) -> tuple:
        if self.augment is None:
            return images
        rng = self.random(epoch, AUGMENT, number)
        return tuple(np.asarray(self.augment(rng, x)) for x in images)


def positive_integer(name: str, value: int) -> int:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < 1:
        raise ValueError(
            f"{name} is out of range. Expected an integer from 1 on. Received: {value!r}."
        )
    return int(value)


def checked_shard(shard: tuple[int, int]) -> tuple[int, int]:
    integers = isinstance(shard, tuple | list) and all(
        isinstance(part, int | np.integer) for part in shard
    )
    if not integers or len(shard) != 2 or not 0 <= shard[0] < shard[1]:
        raise ValueError(
            "The shard does not exist. "
            f"Expected (index, count) with 0 <= index < count. Received: {shard!r}."
        )
    return int(shard[0]), int(shard[1])
