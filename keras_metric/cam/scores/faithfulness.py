"""Does the model use what a map shows? The image is changed where the map is bright or dark.

`score` is a function `images (B, H, W, C) -> (B,)`: the probability of the class explained.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from keras_metric.cam.scores.imputation import blurred, imputed

PERCENTILES = (10, 20, 30, 40, 50, 60, 70, 80, 90)


def average_drop(score: Callable, images, maps) -> float:
    """mean of max(0, y - y_map) / y, in 0..1: lower is better; y_map sees the image times the map.

    Chattopadhay et al., "Grad-CAM++", 2018, section 4.1. arXiv:1710.11063
    """
    whole, shown = _whole_and_shown(score, images, maps)
    return float(np.mean(np.maximum(whole - shown, 0) / np.maximum(whole, 1e-12)))


def average_increase(score: Callable, images, maps) -> float:
    """Share of images whose score rises when only what the map shows is kept: higher is better.

    Chattopadhay et al., "Grad-CAM++", 2018, section 4.1. arXiv:1710.11063
    """
    whole, shown = _whole_and_shown(score, images, maps)
    return float(np.mean(shown > whole))


def deletion(score: Callable, images, maps, *, steps: int = 20) -> np.ndarray:
    """`(B,)` area under the score while pixels become gray, the brightest in the map first.

    Lower is better. Gray is each image's mean. Petsiuk et al., "RISE", 2018. arXiv:1806.07421
    """
    images, maps = _checked(images, maps)
    grey = np.broadcast_to(images.mean((1, 2), keepdims=True), images.shape)
    return _area(score, images, grey, maps, steps)


def insertion(score: Callable, images, maps, *, steps: int = 20, blur: float = 5.0) -> np.ndarray:
    """`(B,)` area under the score while pixels of a blurred image are restored, brightest first.

    Higher is better. `blur` is the standard deviation in pixels. Petsiuk et al. 2018.
    """
    images, maps = _checked(images, maps)
    return _area(score, blurred(images, blur), images, maps, steps)


class Road(NamedTuple):
    """`(B,)` each: mean scores without the most and the least relevant pixels, and half their gap.

    `combined` is (least - most) / 2: higher is better.
    """

    most: np.ndarray
    least: np.ndarray
    combined: np.ndarray


def road(
    score: Callable, images, maps, *, percentiles=PERCENTILES, noise: float = 0.01, seed: int = 0
) -> Road:
    """Remove and debias: pixels are replaced by means of their neighbors plus a little noise.

    Every removed pixel becomes the weighted mean of its eight neighbors, all at once (a linear
    system), so that the outline of the mask gives no information. Means over the removed shares.

    Rong et al., "A Consistent and Efficient Evaluation Strategy for Attribution Methods", 2022.
    arXiv:2202.00449, eq. 7
    """
    images, maps = _checked(images, maps)
    if not percentiles or min(percentiles) <= 0 or max(percentiles) >= 100:
        raise ValueError(
            "percentiles are out of range. Expected: percentiles between 0 and 100. "
            f"Received: {tuple(percentiles)}."
        )
    rng = np.random.default_rng(seed)
    rank = _rank(maps)
    means = []
    for first in (rank, rank.shape[1] * rank.shape[2] - 1 - rank):
        values = []
        for percentile in percentiles:
            removed = first < percentile / 100 * first[0].size
            filled = imputed(images, removed, noise * rng.normal(size=images.shape))
            values.append(_scores(score, filled))
        means.append(np.mean(values, axis=0))
    return Road(means[0], means[1], (means[1] - means[0]) / 2)


def _area(score, before, after, maps, steps: int) -> np.ndarray:
    """Trapezoids under the score while pixels go from one picture to the other."""
    rank = _rank(maps)
    values = []
    for step in range(steps + 1):
        changed = rank < step / steps * rank[0].size
        values.append(_scores(score, np.where(changed[..., None], after, before)))
    values = np.stack(values)
    return ((values[1:] + values[:-1]) / 2).mean(0)


def _rank(maps: np.ndarray) -> np.ndarray:
    """`(B, H, W)`: 0 for each map's brightest pixel, 1 for the next; ties in reading order."""
    flat = maps.reshape(len(maps), -1)
    order = np.argsort(-flat, axis=1, kind="stable")
    rank = np.empty_like(order)
    np.put_along_axis(rank, order, np.broadcast_to(np.arange(flat.shape[1]), flat.shape), axis=1)
    return rank.reshape(maps.shape)


def _whole_and_shown(score, images, maps):
    images, maps = _checked(images, maps)
    return _scores(score, images), _scores(score, images * maps[..., None])


def _scores(score: Callable, images: np.ndarray) -> np.ndarray:
    found = np.asarray(score(images.astype("float32")), "float64")
    if found.shape != (len(images),):
        raise ValueError(
            f"No score for each image. Expected: score(images) of shape ({len(images)},). "
            f"Received: {found.shape}."
        )
    return found


def _checked(images, maps) -> tuple[np.ndarray, np.ndarray]:
    images, maps = np.asarray(images, "float64"), np.asarray(maps, "float64")
    if images.ndim != 4 or images.shape[:3] != maps.shape:
        raise ValueError(
            "Images and maps do not match. Expected: (B, H, W, C) and (B, H, W). "
            f"Received: {images.shape} and {maps.shape}."
        )
    return images, maps
