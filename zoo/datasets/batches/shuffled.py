"""Batches of pictures in a new order each epoch, as they come: classes have their own shares."""

from collections.abc import Callable

from keras_metric.batches import MEMBERS, Batches
from zoo.datasets.images import Images


class ShuffledBatches(Batches):
    """`(images (B, H, W, C), labels (B,))`; no picture comes twice in an epoch.

    - `batches_per_epoch`: None for all that are full; more are not to be had.
    - `augment`, `fixed`: as in `PKBatches`.

    Raises `ValueError` for more batches than there are pictures for.
    """

    def __init__(
        self,
        images: Images,
        batch_size: int,
        *,
        seed: int,
        batches_per_epoch: int | None = None,
        augment: Callable | None = None,
        fixed: bool = False,
    ):
        self.pictures, self.batch_size = images, batch_size
        super().__init__(
            batches_per_epoch=batches_per_epoch,
            images_per_epoch=len(images),
            images_per_batch=batch_size,
            seed=seed,
            augment=augment,
            fixed=fixed,
            shard=(0, 1),
            workers=1,
            use_multiprocessing=False,
            max_queue_size=10,
        )
        if len(self) * batch_size > len(images):
            raise ValueError(
                "There are too few pictures for an epoch. Expected: "
                f"{len(self)} batches of {batch_size}, {len(self) * batch_size} pictures. "
                f"Received: {len(images)}."
            )

    def batch(self, epoch: int, number: int):
        order = self.random(epoch, MEMBERS).permutation(len(self.pictures))
        chosen = order[number * self.batch_size :][: self.batch_size]
        (images,) = self.augmented(epoch, number, (self.pictures.images[chosen],))
        return images, self.pictures.labels[chosen]
