"""Boxes around the connected parts of a map above every threshold.

For many thresholds in one sweep: pixels are added from the brightest down and joined to their eight
neighbors (union-find), so a thousand thresholds cost no more than one. For few, one by one from the
runs of pixels in each row, which is faster below a few hundred.
"""

import numpy as np

FEW = 200  # thresholds
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
    if len(thresholds) <= FEW:
        masks = (heat > limit for limit in thresholds * heat.max())
        return np.array([_overlap(mask, boxes, largest) for mask in masks])
    return _swept(heat, boxes, thresholds, largest)


def labelled(mask: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Boxes `(n, 4)` and numbers of pixels `(n,)` of the parts of a mask, eight neighbours joined.

    Runs of pixels in neighbouring rows that touch take the smaller of their numbers until none
    changes.
    """
    edges = np.diff(np.pad(mask.astype(np.int8), ((0, 0), (1, 1))), axis=1)
    (rows, starts), (_, ends) = np.nonzero(edges == 1), np.nonzero(edges == -1)
    above = np.searchsorted(rows, rows + 1)
    below = np.searchsorted(rows, rows + 2)
    one = np.repeat(np.arange(len(rows)), below - above)
    other = np.arange(len(one)) + np.repeat(
        above - np.cumsum(below - above) + below - above, below - above
    )
    touch = (starts[other] <= ends[one]) & (starts[one] <= ends[other])
    one, other = one[touch], other[touch]
    number = np.arange(len(rows))
    while (number[one] != number[other]).any():
        smaller = np.minimum(number[one], number[other])
        np.minimum.at(number, one, smaller)
        np.minimum.at(number, other, smaller)
        number = number[number]
    _, part = np.unique(number, return_inverse=True)
    count = part.max(initial=-1) + 1
    boxes = np.tile([mask.shape[1], mask.shape[0], 0, 0], (count, 1))
    np.minimum.at(boxes[:, 0], part, starts)
    np.minimum.at(boxes[:, 1], part, rows)
    np.maximum.at(boxes[:, 2], part, ends)
    np.maximum.at(boxes[:, 3], part, rows + 1)
    return boxes, np.bincount(part, ends - starts, count)


def _overlap(mask: np.ndarray, true: np.ndarray, largest: bool) -> float:
    boxes, pixels = labelled(mask)
    if not len(boxes):
        return 0.0
    chosen = boxes[[pixels.argmax()]] if largest else boxes
    return max(iou(box, true) for box in chosen)


def _swept(heat: np.ndarray, boxes: np.ndarray, thresholds: np.ndarray, largest: bool):
    """As `overlaps`, all thresholds in one sweep."""
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
