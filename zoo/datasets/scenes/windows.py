"""What a window of a scene may show: a glyph in the crowd, or none that is whole.

batches = WindowBatches(images, labels, classes_per_batch=32, images_per_class=4)
"""

import numpy as np

from keras_metric.batches import PKBatches
from zoo.datasets.scenes.clutter import noise

NOISE = 10.0  # of 255
BRIGHT = (0.6, 1.0)
CROWD = 5  # stream of random numbers, beside those of keras_metric.batches.base


class WindowBatches(PKBatches):
    """P classes x K glyphs as in scenes, and windows without a centered glyph.

        batch -> images (P·K + P·K / 2, S, S, 1) float32, labels int64

    A quarter of the glyphs stay as they are, as exemplars do; the others are dimmed, with the rims
    of neighbours beside them and noise. The second part are windows that miss a glyph by at least a
    quarter of their side, each of a class of its own, -1, -2, ...: no pair of them is alike.

    Arguments are those of `PKBatches`.
    """

    def batch(self, epoch: int, number: int):
        images, labels = super().batch(epoch, number)
        rng = self.random(epoch, CROWD, number)
        images = images.astype("float32")
        missed = images[rng.permutation(len(images))[: len(images) // 2]]
        missed = crowded(rng, moved(missed, _away(rng, missed, 0.25, 0.7)), images, nearest=0.5)
        shown = crowded(rng, images, images, nearest=0.75)
        clean = rng.random(len(images)) < 0.25
        shown[clean] = images[clean]
        nobody = -1 - np.arange(len(missed))
        return np.concatenate([shown, missed]), np.concatenate([labels, nobody])


def crowded(rng: np.random.Generator, images: np.ndarray, bank: np.ndarray, *, nearest: float):
    """`(B, S, S, 1)` windows: each image dimmed, two others of `bank` beside it, and noise.

    The others are moved by `nearest` to 1 times the side along one axis; brighter ink wins.
    """
    shown = _dimmed(rng, images)
    for _ in range(2):
        others = _dimmed(rng, bank[rng.integers(len(bank), size=len(images))])
        shown = np.maximum(shown, moved(others, _away(rng, others, nearest, 1.0)))
    return np.clip(shown + noise(rng, shown.shape, NOISE), 0, 255)


def moved(images: np.ndarray, shifts: np.ndarray) -> np.ndarray:
    """Images moved by whole pixels `(B, 2)`, down and right, black where nothing was."""
    count, height, width = images.shape[:3]
    padded = np.pad(images, ((0, 0), (height, height), (width, width), (0, 0)))
    rows = np.arange(height) + height - shifts[:, :1]
    columns = np.arange(width) + width - shifts[:, 1:]
    return padded[np.arange(count)[:, None, None], rows[:, :, None], columns[:, None]]


def _dimmed(rng: np.random.Generator, images: np.ndarray) -> np.ndarray:
    return images * rng.uniform(*BRIGHT, (len(images), 1, 1, 1)).astype("float32")


def _away(rng: np.random.Generator, images: np.ndarray, near: float, far: float) -> np.ndarray:
    """`(B, 2)` shifts: near to far times the side along one axis, up to far along the other."""
    count, side = images.shape[:2]
    shifts = rng.uniform(-far, far, (count, 2))
    far_enough = rng.uniform(near, far, count) * rng.choice([-1, 1], count)
    shifts[np.arange(count), rng.integers(2, size=count)] = far_enough
    return np.rint(shifts * side).astype(int)
