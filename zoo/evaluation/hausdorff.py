"""The modified Hausdorff distance: how far the ink of one drawing is from the ink of another.

Dubuisson and Jain, "A Modified Hausdorff Distance for Object Matching", ICPR 1994; with each
drawing's centroid in the origin it is the baseline that comes with the Omniglot data set.
"""

import numpy as np

INK = 127  # brighter pixels are ink


def modified_hausdorff(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """`(A, H, W, 1)` and `(C, H, W, 1)` uint8, ink bright -> distances `(A, C)` in pixels.

        d(a, c) = max(mean over p in a of min over q in c of |p - q|, the same the other way round)

    Points are the pixels of ink, moved so that their mean is the origin. A drawing without ink is
    infinitely far from every other.

    Raises `ValueError` for pictures of another form.
    """
    for images in (first, second):
        if images.ndim != 4 or images.shape[-1] != 1 or images.dtype != np.uint8:
            raise ValueError(
                "The ink cannot be found. Expected grey pictures (N, H, W, 1) of uint8. "
                f"Received: {images.dtype} {images.shape}."
            )
    rows, columns = _Points(first), _Points(second)
    found = np.full((len(first), len(second)), np.inf)
    for row, points in zip(rows.inked, rows.sets, strict=True):
        found[row, columns.inked] = columns.distances(points)
    return found


class _Points:
    """The centred points of many drawings in one array, one drawing after the other."""

    def __init__(self, images: np.ndarray):
        sets = [np.argwhere(image > INK).astype(np.float64) for image in images[..., 0]]
        self.inked = [number for number, points in enumerate(sets) if len(points)]
        self.sets = [sets[number] - sets[number].mean(0) for number in self.inked]
        self.counts = np.array([len(points) for points in self.sets])
        self.starts = np.concatenate([[0], np.cumsum(self.counts)[:-1]]).astype(int)
        self.all = np.concatenate(self.sets) if self.sets else np.zeros((0, 2))

    def distances(self, points: np.ndarray) -> np.ndarray:
        """From one drawing `(P, 2)` to each that has ink."""
        if not self.sets:
            return np.zeros(0)
        squared = (points**2).sum(1)[:, None] + (self.all**2).sum(1) - 2 * points @ self.all.T
        there = np.minimum.reduceat(squared, self.starts, axis=1)
        back = np.add.reduceat(_root(squared.min(0)), self.starts) / self.counts
        return np.maximum(_root(there).mean(0), back)


def _root(squared: np.ndarray) -> np.ndarray:
    return np.sqrt(np.maximum(squared, 0))
