"""`Boxed`: pictures in memory with boxes around the things in them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, eq=False, repr=False)
class Boxed:
    """N pictures; of each, the boxes and the kinds of what it shows.

    - `images`: `(N, H, W, C)` uint8, 0..255.
    - `boxes`: N arrays `(n, 4)`, `(left, top, right, bottom)` in pixels, right and bottom excluded.
    - `labels`: N arrays `(n,)` int64; `names[label]` is the name of the kind.

    Raises `ValueError` where shapes, types or labels do not fit together.
    """

    images: np.ndarray
    boxes: Sequence[np.ndarray]
    labels: Sequence[np.ndarray]
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        boxes = tuple(np.asarray(one, np.float64).reshape(-1, 4) for one in self.boxes)
        labels = tuple(np.asarray(one, np.int64) for one in self.labels)
        object.__setattr__(self, "boxes", boxes)
        object.__setattr__(self, "labels", labels)
        object.__setattr__(self, "names", tuple(self.names))
        images = np.asarray(self.images)
        if images.ndim != 4 or images.dtype != np.uint8:
            raise ValueError(
                "`images` has the wrong form. Expected: a uint8 array (N, H, W, C). "
                f"Received: {images.dtype} {images.shape}."
            )
        counts = [[len(one) for one in part] for part in (boxes, labels)]
        if counts[0] != counts[1] or len(boxes) != len(images):
            raise ValueError(
                f"Boxes and labels do not fit the pictures. Expected: {len(images)} lists of "
                f"boxes, and a label for each box. Received: {len(boxes)} lists of "
                f"{sum(counts[0])} boxes in all, {len(labels)} lists of {sum(counts[1])} labels."
            )
        used = np.unique(np.concatenate([*labels, np.zeros(0, np.int64)]))
        if len(used) and (used[0] < 0 or used[-1] >= len(self.names)):
            raise ValueError(
                f"`labels` points outside `names`. Expected: numbers 0 to {len(self.names) - 1}. "
                f"Received: {used[0]} to {used[-1]}."
            )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        height, width, channels = self.shape
        kind = {1: "grey", 3: "RGB"}.get(channels, f"{channels}-channel")
        every = np.concatenate([*self.labels, np.zeros(0, np.int64)])
        counts = np.bincount(every, minlength=len(self.names))
        kinds = ", ".join(f"{n} {name}" for n, name in zip(counts, self.names, strict=True))
        return f"Boxed({len(self):,} {kind} pictures of {height} x {width}, boxes: {kinds})"

    @property
    def shape(self) -> tuple[int, int, int]:
        """Height, width and channels of one picture."""
        return self.images.shape[1:]

    def where(self, positions: Sequence[int] | np.ndarray) -> "Boxed":
        """The pictures at these positions, in their order."""
        positions = np.asarray(positions, np.int64)
        return replace(
            self,
            images=self.images[positions],
            boxes=[self.boxes[i] for i in positions],
            labels=[self.labels[i] for i in positions],
        )
