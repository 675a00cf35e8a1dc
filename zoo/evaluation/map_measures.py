"""Evaluation of activation maps: every method on the same pictures, compared with baselines.

A case is a picture, a class that it shows, and its position. Thresholds are chosen on other cases.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_metric.cam import CAM, scores
from zoo.datasets.scenes.boxed import Boxed
from zoo.datasets.scenes.scenes import Scenes
from zoo.training.experiments import Results

BATCH = 32
STEPS = 50  # thresholds tried for boxes
BOXES = {"MaxBoxAcc": scores.MaxBoxAcc, "MaxBoxAccV2": scores.MaxBoxAccV2}


class Cases(NamedTuple):
    """Pictures `(B, H, W, C)`, a class of each `(B,)`, its boxes, and its pixels `(B, H, W)`."""

    images: np.ndarray
    classes: np.ndarray
    boxes: Sequence[np.ndarray]
    masks: np.ndarray

    def where(self, positions) -> "Cases":
        positions = np.asarray(positions)
        return Cases(
            self.images[positions],
            self.classes[positions],
            [self.boxes[i] for i in positions],
            self.masks[positions],
        )


def cases_of_boxes(pictures: Boxed, kinds: Sequence[int] | None = None) -> Cases:
    """A case for each class in each picture; the pixels are those inside the boxes."""
    chosen = range(len(pictures.names)) if kinds is None else kinds
    found = [
        (i, kind, pictures.boxes[i][labels == kind])
        for i, labels in enumerate(pictures.labels)
        for kind in chosen
        if (labels == kind).any()
    ]
    if not found:
        raise ValueError(
            "There is nothing to measure on. Expected: pictures that show one of the kinds "
            f"{', '.join(pictures.names[kind] for kind in chosen)}. Received: {pictures!r}."
        )
    where, classes, boxes = zip(*found, strict=True)
    masks = np.zeros((len(found), *pictures.shape[:2]), bool)
    for mask, some in zip(masks, boxes, strict=True):
        for left, top, right, bottom in np.rint(some).astype(int):
            mask[top:bottom, left:right] = True
    return Cases(pictures.images[list(where)], np.array(classes), boxes, masks)


def cases_of_scenes(scenes: Scenes) -> Cases:
    """A case for each class in each scene; the pixels are those of its ink."""
    found = [
        (scene.image, label, scene.boxes[scene.labels == label], scene.label_map == label + 1)
        for scene in (scenes[i] for i in range(len(scenes)))
        for label in np.unique(scene.labels)
    ]
    images, classes, boxes, masks = zip(*found, strict=True)
    return Cases(np.stack(images), np.array(classes), boxes, np.stack(masks))


def explainers(model: keras.Model, methods: Sequence[str]) -> dict[str, CAM]:
    """One `CAM` for each method, used for all measures, so that each is compiled once."""
    return {name: CAM(model, name) for name in methods}


def localisation(
    explain: Mapping[str, CAM], held_out: Cases, cases: Cases, boxes: Mapping[str, type] = BOXES
) -> dict[str, Results]:
    """Scores of boxes, PxAP, pointing game (no tolerance) and energy in box, by method.

    `centre` is a Gaussian at the center of the picture, a quarter of its sides wide, the same for
    all pictures; `any pixel` is the expectation for a random pixel.
    """
    table = {
        name: _located(maps_of(cam, held_out), held_out, maps_of(cam, cases), cases, boxes)
        for name, cam in explain.items()
    }
    middles = [_centre(part.images.shape[:3]) for part in (held_out, cases)]
    table["centre"] = _located(middles[0], held_out, middles[1], cases, boxes)
    share = float(np.mean(_inside(cases)))
    table["any pixel"] = {"pointing game": share, "energy in box": share}
    return table


def faithfulness(
    model: keras.Model, explain: Mapping[str, CAM], cases: Cases
) -> dict[str, Results]:
    """Average drop and increase, deletion, insertion and ROAD by method, and the sanity check.

    Scores are sigmoid(logit); all are means over the cases. Lower is better for drop and deletion,
    higher for the others. `shuffled weights` is the correlation with the map of the network after
    its weights were shuffled; it should be near 0.
    """
    score = _score(model, cases.classes)
    others = explainers(scores.shuffled(model), tuple(explain))
    images = cases.images.astype("float32")
    table = {}
    for name, cam in explain.items():
        maps = maps_of(cam, cases)
        table[name] = {
            **_faithful(score, images, maps),
            "shuffled weights": _mean(scores.correlation(maps, maps_of(others[name], cases))),
        }
    table["centre"] = _faithful(score, images, _centre(images.shape[:3]))
    return table


def maps_of(cam: CAM, cases: Cases) -> np.ndarray:
    """`(B, H, W)` maps of each case's class, in batches of one size, compiled once."""
    count = len(cases.images)
    size = min(BATCH, count)
    maps = np.empty(cases.images.shape[:3], np.float32)
    for first in [*range(0, count - size, size), count - size]:
        here = slice(first, first + size)
        maps[here] = cam(cases.images[here], cases.classes[here])
    return maps


def _located(held_out_maps, held_out: Cases, maps, cases: Cases, boxes) -> Results:
    fitting = {
        name: metric(steps=STEPS).choose(held_out_maps, held_out.boxes).score(maps, cases.boxes)
        for name, metric in boxes.items()
    }
    return {
        "pointing game": scores.pointing_game(maps, cases.boxes, tolerance=0),
        **fitting,
        "PxAP": scores.pixel_average_precision(np.clip(maps, 0, 1), cases.masks),
        "energy in box": _mean(scores.energy_in_box(maps, cases.boxes)),
    }


def _faithful(score: Callable, images: np.ndarray, maps: np.ndarray) -> Results:
    return {
        "average drop": scores.average_drop(score, images, maps),
        "average increase": scores.average_increase(score, images, maps),
        "deletion": _mean(scores.deletion(score, images, maps, steps=10)),
        "insertion": _mean(scores.insertion(score, images, maps, steps=10)),
        "ROAD": _mean(scores.road(score, images, maps, noise=2.5).combined),
    }


def _score(model: keras.Model, classes: np.ndarray) -> Callable:
    def score(images):
        parts = [images[first : first + 256] for first in range(0, len(images), 256)]
        logits = np.concatenate([model.predict_on_batch(part) for part in parts])
        every = ops.convert_to_numpy(ops.sigmoid(logits))
        return every[np.arange(len(classes)), classes]

    return score


def _centre(shape: tuple[int, int, int]) -> np.ndarray:
    count, height, width = shape
    rows, columns = (
        np.exp(-0.5 * (((np.arange(n) + 0.5) / n - 0.5) / 0.25) ** 2) for n in (height, width)
    )
    return np.broadcast_to(np.outer(rows, columns), (count, height, width))


def _inside(cases: Cases) -> np.ndarray:
    """The share of each picture that lies in its boxes."""
    return scores.energy_in_box(np.ones(cases.images.shape[:3]), cases.boxes)


def _mean(values: np.ndarray) -> float:
    return round(float(np.mean(values)), 6)
