"""Batches of labelled pictures: shuffled, drawn, of one group, or of several sources at once."""

from collections.abc import Callable, Sequence

import numpy as np

from keras_metric.arguments import number as checked
from keras_metric.arguments import whole
from keras_metric.batches import MEMBERS, Batches, PKBatches
from zoo.datasets.images import Images


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


GROUPS = 6  # stream of random numbers, beside those of keras_metric.batches.base


class GroupBatches(PKBatches):
    """P classes x K images; a share of the batches takes all P classes from one group.

    Such batches are drawn group after group at random, groups of fewer than P classes never. The
    others are those of `PKBatches`, whose arguments it takes, for one domain.

    Args:
        groups: integers `(N,)`, of the images; those of a class agree.
        within: share of the batches that stay within a group, 0 to 1.

    Raises:
        ValueError: no group has P classes, classes that are in two groups, a share out of range.
    """

    def __init__(self, images, labels, *, groups: np.ndarray, within: float, **options):
        super().__init__(images, labels, **options)
        self.within = checked("within", within, least=0, most=1)
        self._groups = self._by_group(np.asarray(groups))

    def chosen(self, epoch: int, number: int) -> tuple[np.ndarray, int]:
        rng = self.random(epoch, GROUPS, number)
        if rng.random() >= self.within:
            return super().chosen(epoch, number)
        group = self._groups[rng.integers(len(self._groups))]
        return rng.permutation(group)[: self.classes_per_batch], number

    def _by_group(self, groups: np.ndarray) -> list[np.ndarray]:
        """Numbers of the classes of each group that has enough."""
        classes = self.domains[0]
        if groups.shape != classes.labels.shape:
            raise ValueError(
                f"The groups do not fit the images. Expected: the shape {classes.labels.shape}. "
                f"Received: {groups.shape}."
            )
        of_class = [np.unique(groups[classes.members(name)]) for name in range(len(classes))]
        if any(len(found) != 1 for found in of_class):
            raise ValueError(
                "A class belongs to several groups. Expected: one group a class. Received: "
                f"{next(found.tolist() for found in of_class if len(found) != 1)}."
            )
        of_class = np.concatenate(of_class)
        members = [np.flatnonzero(of_class == group) for group in np.unique(of_class)]
        large = [group for group in members if len(group) >= self.classes_per_batch]
        if self.within and not large:
            raise ValueError(
                "No group is large enough for a batch. Expected: a group of "
                f"{self.classes_per_batch} classes or more. Received: {len(members)} groups, the "
                f"largest of {max(map(len, members))}."
            )
        return large


class JoinedBatches(Batches):
    """One batch of each source after the other, `(images, labels)`; no class is in two sources.

    Label y of source s becomes S y + s, S sources in all. Epochs are counted here.

    Raises `ValueError` without sources, or if they differ in their number of batches.
    """

    def __init__(self, sources: Sequence[Batches], *, fixed: bool = False):
        lengths = {len(source) for source in sources}
        if len(lengths) != 1:
            raise ValueError(
                "The sources cannot be joined. Expected: at least one, all with the same number of "
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


class ShuffledBatches(Batches):
    """`(images (B, H, W, C), labels (B,))`; no picture comes twice in an epoch.

    - `batches_per_epoch`: None for all full batches, which is the maximum.
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
