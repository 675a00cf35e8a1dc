"""Batches of P classes x K images from a torch Dataset: row numbers for its DataLoader."""

from collections.abc import Iterator

import numpy as np

from keras_metric.batches.pk import PKBatches


class PKSampler:
    """A torch batch sampler that yields the row numbers of the batches of `PKBatches`.

        sampler = PKSampler(labels, classes_per_batch=16, images_per_class=4)
        loader = torch.utils.data.DataLoader(dataset, batch_sampler=sampler, num_workers=4)

    Each complete iteration is an epoch with other batches; set `epoch` to resume at one.

    Args: as for `PKBatches`, whose labels (N,) are those of the dataset's rows.

    Raises:
        ValueError: fewer than P classes, or labels that are not integers.
    """

    def __init__(
        self,
        labels,
        *,
        classes_per_batch: int,
        images_per_class: int,
        multi_label: bool = False,
        batches_per_epoch: int | None = None,
        seed: int = 0,
        shard: tuple[int, int] = (0, 1),
    ):
        self._batches = PKBatches(
            np.arange(len(labels)),
            labels,
            classes_per_batch=classes_per_batch,
            images_per_class=images_per_class,
            multi_label=multi_label,
            batches_per_epoch=batches_per_epoch,
            seed=seed,
            shard=shard,
        )

    @property
    def epoch(self) -> int:
        return self._batches.epoch

    @epoch.setter
    def epoch(self, value: int):
        self._batches.epoch = value

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[list[int]]:
        epoch = self.epoch
        for index in range(len(self)):
            self._batches.epoch = epoch
            yield self._batches[index][0].tolist()
        self.epoch = epoch + 1
