"""Boxes around the connected parts of a map above every threshold, in one sweep.

Pixels enter from the brightest down and join their eight neighbours (union-find), so a thousand
thresholds cost no more than one.
"""

import numpy as np

NEIGHBOURS = [(y, x) for y in (-1, 0, 1) for x in (-1, 0, 1) if (y, x) != (0, 0)]


def iou(box, boxes: np.ndarray) -> float:
    """The largest intersection over union of one box with any of `(n, 4)`."""
    left, top, right, bottom = boxes.T
    width = np.minimum(right, box[2]) - np.maximum(left, box[0])
    height = np.minimum(bottom, box[3]) - np.maximum(top, box[1])
    both = np.maximum(width, 0) * np.maximum(height, 0)
    area = (box[2] - box[0]) * (box[3] - box[1])
    return float((both / (area + (right - left) * (bottom - top) - both)).max())


class Parts:
    """Connected parts that grow as pixels enter: each has a box and a number of pixels."""

    def __init__(self, height: int, width: int):
        self.height, self.width = height, width
        self.parent = [-1] * (height * width)
        self.box: dict[int, list[int]] = {}
        self.pixels: dict[int, int] = {}
        self.changed: set[int] = set()

    def enter(self, pixel: int) -> None:
        y, x = divmod(pixel, self.width)
        self.parent[pixel] = pixel
        self.box[pixel] = [x, y, x + 1, y + 1]
        self.pixels[pixel] = 1
        self.changed.add(pixel)
        for dy, dx in NEIGHBOURS:
            if 0 <= y + dy < self.height and 0 <= x + dx < self.width:
                other = pixel + dy * self.width + dx
                if self.parent[other] >= 0:
                    self._join(self._root(other), self._root(pixel))

    def _root(self, pixel: int) -> int:
        parent = self.parent
        while parent[pixel] != pixel:
            parent[pixel] = parent[parent[pixel]]
            pixel = parent[pixel]
        return pixel

    def _join(self, a: int, b: int) -> None:
        if a == b:
            return
        if self.pixels[a] < self.pixels[b]:
            a, b = b, a
        self.parent[b] = a
        self.pixels[a] += self.pixels.pop(b)
        one, other = self.box[a], self.box.pop(b)
        self.box[a] = [*map(min, one[:2], other[:2]), *map(max, one[2:], other[2:])]
        self.changed.add(a)
        self.changed.discard(b)


def overlaps(heat: np.ndarray, boxes: np.ndarray, thresholds: np.ndarray, largest: bool):
    """`(T,)` IoU with the true boxes of the parts above each threshold (times the maximum).

    Args:
        heat: `(H, W)`, not negative.
        boxes: `(n, 4)` true boxes; the best counts.
        thresholds: shares of the maximum, ascending.
        largest: only the part with most pixels counts, else the best of all parts.
    """
    values = heat.ravel()
    order = np.argsort(-values, kind="stable")
    limits = thresholds * values.max()
    entered = np.searchsorted(-values[order], -limits, side="left")
    parts = Parts(*heat.shape)
    known: dict[int, float] = {}
    found = np.zeros(len(thresholds))
    done = 0
    for i in range(len(thresholds) - 1, -1, -1):
        for pixel in order[done : entered[i]].tolist():
            parts.enter(pixel)
        done = max(done, entered[i])
        known = {root: known[root] for root in known if root in parts.box}
        known.update((root, iou(parts.box[root], boxes)) for root in parts.changed)
        parts.changed.clear()
        if known:
            pick = max(parts.pixels, key=parts.pixels.get) if largest else None
            found[i] = known[pick] if largest else max(known.values())
    return found
