"""Patches of pictures with boxes, and which kinds each shows: labels without positions."""

import numpy as np

from keras_metric.arguments import whole
from keras_metric.batches import MEMBERS
from zoo.datasets.batches import DrawnBatches
from zoo.datasets.scenes.boxed import Boxed

TRIES = 30  # places drawn for a patch that shall show a kind


class PatchBatches(DrawnBatches):
    """`(patches (B, S, S, C) uint8, presence (B, K) float32)`, cut at random, turned and mirrored.

    A kind is present when a box of it and the patch share at least `share` of the smaller of the
    two; its position is not a label. For half of the patches a kind is drawn, then positions until
    one shows it, so that rare kinds are frequent enough; the others are cut at random positions.

    Args:
        pictures: what is cut; at least as large as a patch.
        side: S, of a patch in pixels.
        batch_size, batches_per_epoch, seed, fixed, workers: as in `DrawnBatches`.
    """

    def __init__(
        self,
        pictures: Boxed,
        batch_size: int = 32,
        *,
        side: int,
        share: float = 0.5,
        batches_per_epoch: int | None = None,
        seed: int = 0,
        fixed: bool = False,
        workers: int = 1,
    ):
        side = whole("side", side)
        if not len(pictures) or side > min(pictures.shape[:2]) or not 0 < share <= 1:
            raise ValueError(
                "No patches can be cut. Expected: pictures of at least the patch's side, and a "
                f"share above 0, at most 1. Received: {pictures!r}, side={side}, share={share}."
            )
        self.pictures, self.side, self.share = pictures, side, share
        super().__init__(
            len(pictures),
            batch_size,
            seed=seed,
            batches_per_epoch=batches_per_epoch,
            fixed=fixed,
            workers=workers,
        )

    def batch(self, epoch: int, number: int):
        rng = self.random(epoch, MEMBERS, number)
        drawn = [self._draw(rng) for _ in range(self.batch_size)]
        patches = [_moved(self._cut(*place), rng.integers(8)) for place in drawn]
        present = [self.presence(*place) for place in drawn]
        return np.stack(patches), np.stack(present)

    def presence(self, picture: int, top: int, left: int) -> np.ndarray:
        """`(K,)` float32: 1 for the kinds in the patch at (top, left) of a picture."""
        boxes, labels = self.pictures.boxes[picture], self.pictures.labels[picture]
        patch = np.array([left, top, left + self.side, top + self.side])
        inside = np.minimum(boxes[:, 2:], patch[2:]) - np.maximum(boxes[:, :2], patch[:2])
        area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
        shared = np.clip(inside, 0, None).prod(1) / np.minimum(area, self.side**2)
        found = np.zeros(len(self.pictures.names), np.float32)
        found[labels[shared >= self.share]] = 1
        return found

    def _draw(self, rng: np.random.Generator) -> tuple[int, int, int]:
        """Picture, top and left of a patch."""
        room = np.array(self.pictures.shape[:2]) - self.side
        wanted = rng.integers(2 * len(self.pictures.names))
        for _ in range(TRIES):
            top, left = map(int, rng.integers(0, room + 1))
            place = int(rng.integers(len(self.pictures))), top, left
            if wanted >= len(self.pictures.names) or self.presence(*place)[wanted]:
                break
        return place

    def _cut(self, picture: int, top: int, left: int) -> np.ndarray:
        return self.pictures.images[picture, top : top + self.side, left : left + self.side]


def _moved(patch: np.ndarray, symmetry: int) -> np.ndarray:
    """One of the eight symmetries of a square."""
    turned = np.rot90(patch, symmetry % 4)
    return turned[:, ::-1] if symmetry >= 4 else turned
