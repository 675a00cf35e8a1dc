"""Triplets of anchor, positive and negative, for `TripletNet` and `TripletMarginLoss`."""

from collections.abc import Callable

import numpy as np

from keras_metric.arguments import whole
from keras_metric.batches.base import PAIRS, Batches
from keras_metric.batches.classes import domains
from keras_metric.batches.pairs import one_of, other_class, same_class


class TripletBatches(Batches):
    """Batches of triplets: two images of one class and one of another.

        batch -> ((anchor, positive, negative), zeros): (B, ...) each, zeros (B,) float32

    The anchor's class is drawn uniformly from the classes with at least two images, the negative's
    from all others. The zeros are the targets that Keras needs; no loss reads them.

    With `images=(a, b), labels=(a, b)` anchors come from the first domain, positives and
    negatives from the second; classes that occur in only one domain are left out.

    Args: as for `PKBatches`, and
        batches_per_epoch: default N / B, rounded down, at least 1, divided by the number of shards.

    Raises:
        ValueError: no class with two images, or fewer than two classes.
    """

    def __init__(
        self,
        images,
        labels,
        *,
        batch_size: int,
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
        self.domains = domains(images, labels)
        self.domains[0].at_least(1, 3 - len(self.domains), "a positive")
        self.domains[0].at_least(2, 1, "a negative")
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
        anchors, positives = same_class(rng, first, second, self.batch_size)
        classes = np.searchsorted(first.names, first.labels[anchors])
        negatives = one_of(rng, second, other_class(rng, second, classes))
        images = (first.take(anchors), second.take(positives), second.take(negatives))
        return self.augmented(epoch, number, images), np.zeros(self.batch_size, np.float32)
