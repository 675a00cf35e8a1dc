"""Batches of P classes x K images, for losses that mine within the batch."""

from collections.abc import Callable

import numpy as np

from keras_metric.arguments import whole
from keras_metric.batches.base import CLASSES, MEMBERS, Batches
from keras_metric.batches.classes import ByLabel, domains
from keras_metric.labels import exact_labels


class PKBatches(Batches):
    """Batches of `classes_per_batch` (P) classes with `images_per_class` (K) images each.

        batch -> images (P·K, ...), labels (P·K,) int64, one class after the other

    (On a backend without 64-bit integers, and if a label needs them: (P·K, 1, 2), `exact_labels`.)

    In an epoch the classes are shuffled and taken P at a time, again and again, until there are
    enough batches (the C mod P classes left over are skipped until the next shuffle). Each class
    yields its images K at a time and reshuffles them when fewer than K are left, so no image occurs
    twice in a batch; only a class with fewer than K images repeats them, as evenly as possible.

    With `images=(a, b), labels=(a, b)` (two domains, such as sketches and photos) a batch is
    `((a, b), labels)`: K images of each domain for each of P classes that occur in both.

    With `multi_label` an image has any number of L labels: P of the labels are drawn, and K images
    of each, an image that is in the batch already only where no other is left. A batch is images
    (P·K, ...), rows of labels (P·K, L) int32.

    Args:
        images: array `(N, ...)`, or any object with a length that returns an array when indexed by
            an array of row numbers (`numpy.memmap`, `FolderImages`); read one batch at a time.
        labels: integers `(N,)` or `(N, 1)`, of any size; with `multi_label` `(N, L)` of 0 and 1.
        batches_per_epoch: default N / (P·K), rounded down, at least 1, divided by the number of
            shards.
        augment: `(rng, images) -> images`, with a `numpy.random.Generator` for each batch.
        fixed: repeat the batches of epoch 0 in every epoch, for validation.
        shard: `(index, count)`; the shards of an epoch together are the unsharded epoch.

    Raises:
        ValueError: fewer than P classes, labels that are not integers, not one label for each
            image, or two domains with `multi_label`.

    Hermans et al., "In Defense of the Triplet Loss for Person Re-Identification", 2017.
    arXiv:1703.07737, section 2.
    """

    def __init__(
        self,
        images,
        labels,
        *,
        classes_per_batch: int,
        images_per_class: int,
        multi_label: bool = False,
        batches_per_epoch: int | None = None,
        seed: int = 0,
        augment: Callable | None = None,
        fixed: bool = False,
        shard: tuple[int, int] = (0, 1),
        workers: int = 1,
        use_multiprocessing: bool = False,
        max_queue_size: int = 10,
    ):
        self.classes_per_batch = whole("classes_per_batch", classes_per_batch)
        self.images_per_class = whole("images_per_class", images_per_class)
        self.multi_label = multi_label
        if multi_label and isinstance(images, tuple) and isinstance(labels, tuple):
            raise ValueError(
                "The images of two domains share the labels of a batch, and rows of labels are an "
                "image's own. Expected: one set of images with multi_label=True. "
                f"Received: {len(images)} sets."
            )
        self.domains = (ByLabel(images, labels),) if multi_label else domains(images, labels)
        self.domains[0].at_least(classes_per_batch, 1, f"{classes_per_batch} classes a batch")
        self._labels = exact_labels(self.domains[0].names)
        super().__init__(
            batches_per_epoch=batches_per_epoch,
            images_per_epoch=len(self.domains[0].labels),
            images_per_batch=classes_per_batch * images_per_class,
            seed=seed,
            augment=augment,
            fixed=fixed,
            shard=shard,
            workers=workers,
            use_multiprocessing=use_multiprocessing,
            max_queue_size=max_queue_size,
        )

    def batch(self, epoch: int, number: int):
        chosen, turn = self.chosen(epoch, number)
        rows = [self._rows(epoch, turn, which, chosen) for which in range(len(self.domains))]
        taken = (classes.take(of) for classes, of in zip(self.domains, rows, strict=True))
        images = self.augmented(epoch, number, tuple(taken))
        if self.multi_label:
            labels = self.domains[0].labels[rows[0]]
        else:
            labels = np.repeat(self._labels[chosen], self.images_per_class, axis=0)
        return images[0] if len(images) == 1 else images, labels

    def chosen(self, epoch: int, number: int) -> tuple[np.ndarray, int]:
        """Numbers of the P classes of a batch, and which appearance of theirs it is."""
        in_a_round = len(self.domains[0]) // self.classes_per_batch
        turn, place = divmod(number, in_a_round)
        shuffled = self.random(epoch, CLASSES, turn).permutation(len(self.domains[0]))
        return shuffled[place * self.classes_per_batch :][: self.classes_per_batch], turn

    def _rows(self, epoch: int, turn: int, which: int, chosen) -> np.ndarray:
        """K row numbers of each of the classes, one class after the other."""
        rows = np.empty(0, int)
        for name in chosen:
            passed = rows if self.multi_label else ()
            rows = np.concatenate([rows, self._deal(epoch, turn, which, name, passed)])
        return rows

    def _deal(self, epoch: int, turn: int, which: int, name: int, passed=()) -> np.ndarray:
        """K row numbers of a class in its `turn`-th appearance, from a shuffled deck.

        Those that are `passed` over are dealt only where no others are left.
        """
        members = self.domains[which].members(name)
        hands = max(1, len(members) // self.images_per_class)
        deck, hand = divmod(turn, hands)
        rng = self.random(epoch, MEMBERS, which, name, deck)
        shuffled = rng.permutation(members)
        deal = shuffled[hand * self.images_per_class :]
        if len(passed):
            others = np.roll(shuffled, -hand * self.images_per_class)
            others = others[~np.isin(others, passed)]
            deal = others if len(others) else deal
        return np.resize(deal, self.images_per_class)
