"""Batches of several sources side by side, so that each has its share of every batch."""

from collections.abc import Sequence

import numpy as np

from keras_metric.batches import Batches


class JoinedBatches(Batches):
    """One batch of each source after the other, `(images, labels)`; no class is in two sources.

    Label y of source s becomes S y + s, S sources in all. Epochs are counted here.

    Raises `ValueError` without sources, or if they differ in their number of batches.
    """

    def __init__(self, sources: Sequence[Batches], *, fixed: bool = False):
        lengths = {len(source) for source in sources}
        if len(lengths) != 1:
            raise ValueError(
                "The sources cannot be joined. Expected at least one, all with the same number of "
                f"batches. Received: {[len(source) for source in sources]}."
            )
        super().__init__(
            batches_per_epoch=lengths.pop(),
            images_per_epoch=1,
            images_per_batch=1,
            seed=0,
            augment=None,
            fixed=fixed,
            shard=(0, 1),
            workers=1,
            use_multiprocessing=False,
            max_queue_size=10,
        )
        self.sources = tuple(sources)

    def batch(self, epoch: int, number: int):
        images, labels = zip(*(source.batch(epoch, number) for source in self.sources), strict=True)
        apart = [len(self.sources) * y + s for s, y in enumerate(labels)]
        return np.concatenate(images), np.concatenate(apart)
