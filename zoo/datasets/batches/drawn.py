"""Batches of one size that are drawn when asked for: no two epochs need to be alike."""

from keras_metric.arguments import whole
from keras_metric.batches import Batches


class DrawnBatches(Batches):
    """`batch_size` pictures a batch, drawn from `count` of something; neither warped nor in shards.

    - `batches_per_epoch`: None for `count / batch_size`.
    - `fixed`: every epoch sees the batches of the first, for validation.
    - `workers`: threads that draw.
    """

    def __init__(
        self,
        count: int,
        batch_size: int,
        *,
        seed: int,
        batches_per_epoch: int | None,
        fixed: bool,
        workers: int = 1,
    ):
        self.batch_size = whole("batch_size", batch_size)
        super().__init__(
            batches_per_epoch=batches_per_epoch,
            images_per_epoch=count,
            images_per_batch=self.batch_size,
            seed=seed,
            augment=None,
            fixed=fixed,
            shard=(0, 1),
            workers=workers,
            use_multiprocessing=False,
            max_queue_size=10,
        )
