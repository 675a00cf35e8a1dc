"""Batches in which many classes are alike: all of one group, such as one alphabet.

batches = GroupBatches(images, labels, groups=alphabets, within=0.5, classes_per_batch=16, ...)
"""

import numpy as np

from keras_metric.arguments import number as checked
from keras_metric.batches import PKBatches

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
                f"The groups do not fit the images. Expected the shape {classes.labels.shape}. "
                f"Received: {groups.shape}."
            )
        of_class = [np.unique(groups[classes.members(name)]) for name in range(len(classes))]
        if any(len(found) != 1 for found in of_class):
            raise ValueError(
                "A class belongs to several groups. Expected one group a class. Received: "
                f"{next(found.tolist() for found in of_class if len(found) != 1)}."
            )
        of_class = np.concatenate(of_class)
        members = [np.flatnonzero(of_class == group) for group in np.unique(of_class)]
        large = [group for group in members if len(group) >= self.classes_per_batch]
        if self.within and not large:
            raise ValueError(
                "No group is large enough for a batch. Expected a group of "
                f"{self.classes_per_batch} classes or more. Received: {len(members)} groups, the "
                f"largest of {max(map(len, members))}."
            )
        return large
