"""Batches of scenes for `fit`: a label for every pixel, or which classes are there."""

from collections.abc import Callable

import numpy as np

from zoo.datasets.batches import DrawnBatches
from zoo.datasets.scenes.scenes import Scene, Scenes


class SceneBatches(DrawnBatches):
    """`(images (B, H, W, 1) uint8, targets)`, generated on demand; see `Scenes`.

    Epoch after epoch goes on through the scenes and begins anew after the last one, so training
    on `count=10**9` never sees a scene twice.

    - `targets`: a function of the batch's scenes: `label_maps` or `presence` below,
      or one of yours, of arrays or a dictionary of them.
    - the others: as in `DrawnBatches`, whose seed is that of the scenes.
    """

    def __init__(
        self,
        scenes: Scenes,
        batch_size: int = 16,
        *,
        targets: Callable[[Scenes, list[Scene]], np.ndarray | dict[str, np.ndarray]],
        batches_per_epoch: int | None = None,
        fixed: bool = False,
        workers: int = 1,
    ):
        super().__init__(
            len(scenes),
            batch_size,
            seed=scenes.seed,
            batches_per_epoch=batches_per_epoch,
            fixed=fixed,
            workers=workers,
        )
        self.scenes, self.targets = scenes, targets

    def batch(self, epoch: int, number: int):
        first = (epoch * self.batches_per_epoch + number) * self.batch_size
        images, scenes = self.scenes.batch(
            (first + k) % len(self.scenes) for k in range(self.batch_size)
        )
        return images, self.targets(self.scenes, scenes)


def label_maps(scenes: Scenes, batch: list[Scene]) -> np.ndarray:
    """`(B, H, W)` int32: 0 for the background, else label + 1."""
    return np.stack([scene.label_map for scene in batch])


def presence(scenes: Scenes, batch: list[Scene]) -> np.ndarray:
    """`(B, classes)` float32: 1 for every class that occurs in the scene."""
    found = np.zeros((len(batch), len(scenes.names)), np.float32)
    for row, scene in zip(found, batch, strict=True):
        row[scene.labels] = 1
    return found
