"""A baseline without learning for detection: bright blobs, classified by the nearest picture."""

import numpy as np

from keras_metric.metrics import Boxes, mean_average_precision
from zoo.datasets.images import Images
from zoo.datasets.reading._extras import need
from zoo.datasets.scenes.glyphs import scaled

LEVELS = (40, 60, 80, 100)  # brightness above which a pixel is part of a blob, of 255
SMALLEST = 0.5  # share of the glyph's side that a blob is long, at least


def boxes_of(pictures: np.ndarray, bank: Images, level: int) -> list[Boxes]:
    """A square box around each connected blob, about as large as a crop of the bank.

    Its class is that of the picture of the bank with the largest cosine to what is in the box, its
    score that cosine.
    """
    known = _directions(bank.images.reshape(len(bank), -1))
    return [_of_one(picture[..., 0], bank, known, level) for picture in pictures]


def chosen(pictures: np.ndarray, bank: Images, true: list[Boxes]) -> int:
    """The level with the best average precision on validation scenes."""
    return max(
        LEVELS, key=lambda level: mean_average_precision(boxes_of(pictures, bank, level), true)
    )


def _of_one(picture: np.ndarray, bank: Images, known: np.ndarray, level: int) -> Boxes:
    measure = need("scipy.ndimage", extra="eval", purpose="The baseline of blobs")
    side = bank.shape[0]
    parts, _ = measure.label(picture > level, np.ones((3, 3)))
    boxes, crops = [], []
    for rows, columns in measure.find_objects(parts):
        ends = np.array([[rows.start, columns.start], [rows.stop, columns.stop]])
        length = int((ends[1] - ends[0]).max())
        if length < SMALLEST * side:
            continue
        top, left = np.rint(ends.mean(0) - length / 2).astype(int)
        padded = np.pad(picture, length)
        crop = padded[top + length : top + 2 * length, left + length : left + 2 * length]
        crops.append(scaled(crop, side).ravel())
        boxes.append((left, top, left + length, top + length))
    if not boxes:
        return Boxes(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0))
    cosines = _directions(np.array(crops)) @ known.T
    return Boxes(np.array(boxes), bank.labels[cosines.argmax(1)], cosines.max(1))


def _directions(vectors: np.ndarray) -> np.ndarray:
    vectors = vectors.astype(np.float32)
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
