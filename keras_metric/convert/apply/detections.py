"""From a map of scores to a list of boxes: threshold, peaks, non-maximum suppression."""

from dataclasses import dataclass

import numpy as np

from keras_metric.boxes import intersection_over_union
from keras_metric.convert.geometry.geometry import Geometry


@dataclass(frozen=True)
class Detection:
    """`box` is `(left, top, right, bottom)` in pixels, right and bottom excluded."""

    box: tuple[float, float, float, float]
    score: float
    label: int


def detections(
    scores: np.ndarray,
    geometry: Geometry,
    *,
    threshold: float = 0.5,
    overlap: float = 0.5,
    peaks: bool = True,
    labels: list[int] | None = None,
    limit: int = 1000,
) -> list[Detection]:
    """The windows with high scores, best first, as `(left, top, right, bottom)` boxes.

    A cell counts if its score reaches `threshold` and, with `peaks`, none of its eight neighbors
    has a higher score for the same label. Of boxes of one label that overlap by more than `overlap`
    (intersection over union), only the best is kept.

    Args:
        scores: `(rows, columns, labels)`, larger is better; one image of a converted network.
        geometry: of that network at the size of the image.
        labels: the channels to use; None is all. Exclude a background class here.
        limit: maximum number of boxes.

    Raises:
        ValueError: scores of another rank, for instance with the batch axis.
    """
    scores = np.asarray(scores)
    if scores.ndim != 3:
        raise ValueError(
            "scores is the map of one image. Expected: (rows, columns, labels). "
            f"Received: shape {scores.shape}."
        )
    chosen = list(range(scores.shape[-1])) if labels is None else list(labels)
    if not all(0 <= label < scores.shape[-1] for label in chosen):
        raise ValueError(
            "labels are not channels of scores. Expected: numbers from 0 to "
            f"{scores.shape[-1] - 1}. Received: {chosen}."
        )
    boxes = geometry.window_boxes(*scores.shape[:2])
    found: list[Detection] = []
    for label in chosen:
        plane = scores[..., label]
        good = plane >= threshold
        if peaks:
            good &= _is_peak(plane)
        order = np.argsort(-plane[good], kind="stable")
        mine, values = boxes[good][order], plane[good][order]
        kept = suppress(mine, overlap, limit)
        found += [Detection(tuple(map(float, mine[i])), float(values[i]), label) for i in kept]
    return sorted(found, key=lambda d: -d.score)[:limit]


def suppress(boxes: np.ndarray, overlap: float, limit: int | None = None) -> list[int]:
    """Indices of the first `limit` boxes that are kept, of `(N, 4)` boxes sorted best first."""
    kept: list[int] = []
    for i, box in enumerate(boxes):
        if len(kept) == limit:
            break
        if not kept or intersection_over_union(box[None], boxes[kept]).max() <= overlap:
            kept.append(i)
    return kept


def _is_peak(plane: np.ndarray) -> np.ndarray:
    """Not below any of the eight neighbours; of equal neighbours the first in reading order."""
    rows, columns = plane.shape
    padded = np.pad(plane.astype("float64"), 1, constant_values=-np.inf)
    peak = np.ones(plane.shape, bool)
    for i in range(3):
        for j in range(3):
            if (i, j) == (1, 1):
                continue
            neighbour = padded[i : i + rows, j : j + columns]
            before = (i, j) < (1, 1)
            peak &= (plane > neighbour) if before else (plane >= neighbour)
    return peak
