"""Detection measures: average precision of boxes, precision and recall at a score."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from keras_metric.boxes import intersection_over_union

__all__ = ["Boxes", "Detected", "detected", "detected_by_class", "mean_average_precision"]


class Boxes(NamedTuple):
    """The boxes of one image: predicted ones with scores, true ones without.

    Boxes are `(left, top, right, bottom)`, right and bottom excluded.
    """

    boxes: np.ndarray
    labels: np.ndarray
    scores: np.ndarray | None = None


class Detected(NamedTuple):
    """The boxes of one class over all images, hit or miss, best score first.

    - `scores`, `hits`: `(N,)` each.
    - `objects`: number of true boxes.
    """

    scores: np.ndarray
    hits: np.ndarray
    objects: int

    @property
    def average_precision(self) -> float:
        """sum over ranks k of (recall_k - recall_(k-1)) max over j >= k of precision_j.

        The area under the precision that is reached at each recall or a larger one; NaN without
        objects. Everingham et al., "The PASCAL Visual Object Classes Challenge: A Retrospective",
        2015, section 2.2.3 (the measure since 2010).
        """
        if not self.objects:
            return float("nan")
        precision = np.cumsum(self.hits) / np.arange(1, len(self.hits) + 1)
        reachable = np.maximum.accumulate(precision[::-1])[::-1]
        return float(reachable[self.hits].sum() / self.objects)

    def above(self, score: float) -> tuple[float, float]:
        """Precision and recall of the boxes from this score on; precision 1 if there are none."""
        hits = self.hits[self.scores >= score]
        precision = float(hits.mean()) if len(hits) else 1.0
        return precision, float(hits.sum() / max(self.objects, 1))

    def best_threshold(self) -> float:
        """The score at which 2 precision recall / (precision + recall) is largest.

        With P found and O objects that is 2 hits / (P + O). Choose it on held-out images.
        """
        last = np.append(self.scores[1:] != self.scores[:-1], True)[: len(self.scores)]
        if not last.any():
            return float("inf")
        found = np.arange(1, len(self.scores) + 1)
        f1 = np.where(last, 2 * np.cumsum(self.hits) / (found + self.objects), -1)
        return float(self.scores[f1.argmax()])


def detected(found: Sequence[Boxes], truth: Sequence[Boxes], *, iou: float = 0.5) -> Detected:
    """Match predicted boxes to true ones regardless of class: best first, each true box once.

    A box is a hit if the true box of its image that it overlaps most reaches an intersection over
    union of `iou` and is not yet matched: a second box on an object is a miss. Of equal scores the
    misses rank first.

    Raises:
        ValueError: not one entry per image in both, boxes of another form, or no scores.
    """
    _check(found, truth, iou)
    scores, hits = [np.zeros(0)], [np.zeros(0, bool)]
    for mine, true in zip(found, truth, strict=True):
        order = np.argsort(-np.asarray(mine.scores), kind="stable")
        scores.append(np.asarray(mine.scores, "float64")[order])
        hits.append(_hits(np.asarray(mine.boxes)[order], np.asarray(true.boxes), iou))
    score, hit = np.concatenate(scores), np.concatenate(hits)
    order = np.lexsort((hit, -score))
    return Detected(score[order], hit[order], sum(len(true.boxes) for true in truth))


def detected_by_class(
    found: Sequence[Boxes], truth: Sequence[Boxes], *, iou: float = 0.5
) -> dict[int, Detected]:
    """`detected` for each class that occurs in truth; only boxes of the same class are compared."""
    _check(found, truth, iou)
    classes = np.unique(np.concatenate([np.asarray(true.labels, "int64") for true in truth]))
    return {
        int(label): detected(_of(found, label), _of(truth, label), iou=iou) for label in classes
    }


def mean_average_precision(
    found: Sequence[Boxes], truth: Sequence[Boxes], *, iou: float = 0.5
) -> float:
    """The mean of `average_precision` over the classes that occur in truth ("mAP", AP@IoU).

    NaN without objects.
    """
    each = detected_by_class(found, truth, iou=iou).values()
    return float(np.mean([one.average_precision for one in each])) if each else float("nan")


def _hits(boxes: np.ndarray, true: np.ndarray, iou: float) -> np.ndarray:
    """Which of the boxes `(N, 4)`, best first, find one of the true `(M, 4)` that is not taken."""
    hits = np.zeros(len(boxes), bool)
    if not len(boxes) or not len(true):
        return hits
    overlaps = intersection_over_union(boxes, true)
    nearest, taken = overlaps.argmax(1), np.zeros(len(true), bool)
    for i in np.flatnonzero(overlaps.max(1) >= iou):
        hits[i] = not taken[nearest[i]]
        taken[nearest[i]] = True
    return hits


def _of(images: Sequence[Boxes], label: int) -> list[Boxes]:
    chosen = []
    for image in images:
        mine = np.asarray(image.labels) == label
        scores = None if image.scores is None else np.asarray(image.scores)[mine]
        chosen.append(Boxes(np.asarray(image.boxes)[mine], np.asarray(image.labels)[mine], scores))
    return chosen


def _check(found: Sequence[Boxes], truth: Sequence[Boxes], iou: float) -> None:
    if len(found) != len(truth) or not truth or not 0 < iou <= 1:
        raise ValueError(
            "The boxes are invalid. Expected: one entry an image in both, at least one, and "
            f"0 < iou <= 1. Received: {len(found)} found, {len(truth)} true, iou={iou}."
        )
    for image in (*found, *truth):
        fits = np.shape(image.boxes) == (len(image.labels), 4)
        if not fits or (image.scores is not None and len(image.scores) != len(image.labels)):
            raise ValueError(
                "Boxes, labels and scores differ in length. Expected: boxes (N, 4), labels (N,), "
                f"scores (N,). Received: boxes {np.shape(image.boxes)}, labels "
                f"{np.shape(image.labels)}, scores {np.shape(image.scores)}."
            )
    if any(image.scores is None for image in found):
        raise ValueError("Boxes were found without scores. Expected: scores (N,). Received: None.")
