"""Detection of glyphs in scenes by a window classifier: maps to boxes, choice of values, measures.

Boxes are those of the scenes, `(left, top, right, bottom)`.
"""

from dataclasses import dataclass, replace
from itertools import product

import keras
import numpy as np

from keras_metric import convert, metrics
from keras_metric.convert import suppress
from keras_metric.metrics import Boxes
from zoo.datasets.scenes.scenes import Scenes
from zoo.training.experiments import Results

LEAST = 0.05  # probability from which a window counts at all


@dataclass(frozen=True)
class Choice:
    """Values that are chosen on validation scenes.

    - `side`: of the box reported, about the middle of its window.
    - `overlap`: intersection over union above which the weaker of two boxes is removed.
    - `threshold`: score with the best F1, at which precision and recall are reported.
    """

    side: float = 28
    overlap: float = 0.3
    threshold: float = 0.5


def truth(scenes: Scenes) -> list[Boxes]:
    """The boxes of all scenes."""
    drawn = (scenes[index] for index in range(len(scenes)))
    return [Boxes(scene.boxes, scene.labels) for scene in drawn]


def images(scenes: Scenes) -> np.ndarray:
    """The pictures of all scenes, `(N, H, W, 1)`."""
    return scenes.batch(range(len(scenes)))[0]


def maps_of(fcn: keras.Model, pictures: np.ndarray) -> np.ndarray:
    """Probabilities `(N, rows, columns, classes + 1)` of the converted network, in one pass."""
    return np.asarray(fcn.predict(pictures, batch_size=16, verbose=0))


def maps_by_crops(model: keras.Model, pictures: np.ndarray, stride: int) -> np.ndarray:
    """The same from the classifier itself, window by window."""
    side = model.input_shape[1]
    windows = np.lib.stride_tricks.sliding_window_view(pictures, (side, side), (1, 2))
    windows = np.moveaxis(windows[:, ::stride, ::stride], 3, -1)
    found = [
        model.predict(of_one.reshape(-1, side, side, pictures.shape[-1]), batch_size=64, verbose=0)
        for of_one in windows
    ]
    return np.stack(found).reshape(*windows.shape[:3], -1)


def boxes_of(maps: np.ndarray, places: convert.Geometry, choice: Choice) -> list[Boxes]:
    """The boxes that maps of probabilities find, best first; the last channel is "nothing"."""
    found = []
    for scores in maps[..., :-1]:
        best = np.where(scores == scores.max(-1, keepdims=True), scores, 0)
        mine = convert.detections(best, places, threshold=LEAST, overlap=choice.overlap)
        boxes = np.array([one.box for one in mine]).reshape(-1, 4)
        middle = (boxes[:, :2] + boxes[:, 2:]) / 2
        boxes = np.concatenate([middle - choice.side / 2, middle + choice.side / 2], axis=1)
        kept = suppress(boxes, choice.overlap)
        labels = np.array([one.label for one in mine], int)[kept]
        found.append(Boxes(boxes[kept], labels, np.array([one.score for one in mine])[kept]))
    return found


def chosen(maps: np.ndarray, places: convert.Geometry, true: list[Boxes]) -> Choice:
    """Side, overlap and threshold with the best average precision on validation scenes."""
    window = places.window[0]
    candidates = [
        Choice(side=round(window * share), overlap=overlap)
        for share, overlap in product((0.75, 0.8, 0.85, 0.9, 1), (0.1, 0.2, 0.3, 0.4))
    ]

    def precision(choice: Choice) -> float:
        return metrics.mean_average_precision(boxes_of(maps, places, choice), true)

    best = max(candidates, key=precision)
    return replace(best, threshold=threshold(boxes_of(maps, places, best), true))


def threshold(found: list[Boxes], true: list[Boxes]) -> float:
    """The score with the best F1 over all classes."""
    return metrics.detected(*map(_classes_apart, (found, true))).best_threshold()


def measured(found: list[Boxes], true: list[Boxes], threshold: float) -> Results:
    """Average precision, and precision and recall of the boxes above a threshold.

    "AP@0.5" is the mean over classes, a box is correct if its class and position are; for "of any
    digit" only the position counts.
    """
    precision, recall = metrics.detected(*map(_classes_apart, (found, true))).above(threshold)
    values = {
        "AP@0.5": metrics.mean_average_precision(found, true),
        "AP@0.5 of the place": metrics.detected(found, true).average_precision,
        "AP@0.75": metrics.mean_average_precision(found, true, iou=0.75),
        "precision": precision,
        "recall": recall,
    }
    return {name: round(float(value), 6) for name, value in values.items()}


def _classes_apart(images: list[Boxes]) -> list[Boxes]:
    """Boxes of different classes moved so far apart that they never overlap."""
    return [
        one._replace(boxes=np.asarray(one.boxes) + 1e6 * np.asarray(one.labels)[:, None])
        for one in images
    ]
