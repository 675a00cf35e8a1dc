"""Pairs of images, similar or not, for `SiameseNet` and `ContrastiveLoss`."""

from collections.abc import Callable

import numpy as np

from keras_metric.arguments import whole
from keras_metric.batches.base import PAIRS, Batches
from keras_metric.batches.classes import ByClass, domains


class PairBatches(Batches):
    """Batches of image pairs, a given share of them of the same class.

        batch -> ((x1, x2), y): x1, x2 (B, ...), y (B,) float32, 1 = same class, 0 = different

    Each batch has exactly round(B · `positive_fraction`) similar pairs, at random positions. For a
    similar pair a class is drawn uniformly from those with at least two images, then two different
    images of it; for a dissimilar pair two different classes, then an image of each.

    With `images=(a, b), labels=(a, b)` x1 comes from the first domain and x2 from the second;
    classes that occur in only one domain are left out.

    Args: as for `PKBatches`, and
        positive_fraction: share of similar pairs, 0 to 1.
        batches_per_epoch: default N / B, rounded down, at least 1, divided by the number of shards.

    Raises:
        ValueError: no class with two images, or fewer than two classes, where pairs need them.
    """

    def __init__(
        self,
        images,
        labels,
        *,
        batch_size: int,
        positive_fraction: float = 0.5,
        batches_per_epoch: int | None = None,
        seed: int = 0,
        augment: Callable | None = None,
        fixed: bool = False,
        shard: tuple[int, int] = (0, 1),
        workers: int = 1,
        use_multiprocessing: bool = False,
        max_queue_size: int = 10,
    ):
        self.batch_size = whole("batch_size", batch_size)
        if not 0 <= positive_fraction <= 1:
            raise ValueError(
                "positive_fraction is a share of the batch. "
                f"Expected: a number from 0 to 1. Received: {positive_fraction!r}."
            )
        self.positives = round(batch_size * positive_fraction)
        self.domains = domains(images, labels)
        if self.positives:
            self.domains[0].at_least(1, 3 - len(self.domains), "a similar pair")
        if self.positives < batch_size:
            self.domains[0].at_least(2, 1, "a dissimilar pair")
        super().__init__(
            batches_per_epoch=batches_per_epoch,
            images_per_epoch=len(self.domains[0].labels),
            images_per_batch=batch_size,
            seed=seed,
            augment=augment,
            fixed=fixed,
            shard=shard,
            workers=workers,
            use_multiprocessing=use_multiprocessing,
            max_queue_size=max_queue_size,
        )

    def batch(self, epoch: int, number: int):
        rng = self.random(epoch, PAIRS, number)
        first, second = self.domains[0], self.domains[-1]
        left, right = same_class(rng, first, second, self.positives)
        rest = self.batch_size - self.positives
        classes = rng.integers(len(first), size=rest)
        others = other_class(rng, first, classes)
        left = np.concatenate([left, one_of(rng, first, classes)])
        right = np.concatenate([right, one_of(rng, second, others)])
        similar = np.arange(self.batch_size) < self.positives
        order = rng.permutation(self.batch_size)
        images = (first.take(left[order]), second.take(right[order]))
        return self.augmented(epoch, number, images), similar[order].astype(np.float32)


def one_of(rng: np.random.Generator, classes: ByClass, numbers: np.ndarray) -> np.ndarray:
    """A row number of each class in `numbers`."""
    return classes.order[classes.starts[numbers] + rng.integers(classes.sizes[numbers])]


def other_class(rng: np.random.Generator, classes: ByClass, numbers: np.ndarray) -> np.ndarray:
    """For each class in `numbers` a different one, drawn uniformly."""
    drawn = rng.integers(max(1, len(classes) - 1), size=len(numbers))
    return drawn + (drawn >= numbers)


def same_class(
    rng: np.random.Generator, first: ByClass, second: ByClass, count: int
) -> tuple[np.ndarray, np.ndarray]:
    """Row numbers of `count` pairs of one class; two different images within one domain."""
    one_domain = first is second
    able = np.flatnonzero(first.sizes >= (2 if one_domain else 1))
    numbers = rng.choice(able, size=count) if count else able[:0]
    if not one_domain:
        return one_of(rng, first, numbers), one_of(rng, second, numbers)
    left = rng.integers(first.sizes[numbers])
    step = 1 + rng.integers(first.sizes[numbers] - 1)
    right = (left + step) % first.sizes[numbers]
    starts = first.starts[numbers]
    return first.order[starts + left], first.order[starts + right]
