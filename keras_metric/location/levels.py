"""A scene at several scales: scores of its windows, and the boxes chosen from them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from keras import ops

from keras_metric.arguments import number, whole
from keras_metric.convert import Geometry, detections, suppress


class Location(NamedTuple):
    """A box found in a scene.

    box: `(left, top, right, bottom)` in pixels of the scene, right and bottom excluded.
    score: 1 - distance; the cosine itself for the distance "cosine".
    scale: size of the box over the size of the exemplar.
    """

    box: tuple[float, float, float, float]
    score: float
    scale: float


MOST = 400_000_000  # pixels of a scene at the finest scale


@dataclass(frozen=True)
class Level:
    """A scene at one scale.

    scale: size of a window in the scene over the size of the exemplar.
    values: `(rows, columns)` scores or `(rows, columns, D)` embeddings, one per window.
    places: geometry of these windows on the resized scene.
    ratio: pixels of the scene per pixel of the resized scene, height first.
    """

    scale: float
    values: np.ndarray
    places: Geometry
    ratio: tuple[float, float]

    def scene_box(self, box) -> tuple[float, float, float, float]:
        """`(left, top, right, bottom)` on the resized scene -> the same in the scene, clipped."""
        wide, high = (r * n for r, n in zip(self.ratio[::-1], self.places.size[::-1], strict=True))
        left, top, right, bottom = (
            float(min(max(x * r, 0), most))
            for x, r, most in zip(box, self.ratio[::-1] * 2, (wide, high) * 2, strict=True)
        )
        return left, top, right, bottom


def find(
    levels: Sequence[Level], *, threshold: float | None, overlap: float, top: int
) -> list[Location]:
    """The best windows of all scales: peaks of each map, then non-maximum suppression over all.

    The values of `levels` are scores. The best box is kept, then each next one that overlaps no
    better one by more than `overlap` (intersection over union), until there are `top`. Of each
    scale the best 2 `top` are considered.
    """
    check_choice(top, overlap, threshold)
    least = -np.inf if threshold is None else threshold
    found = [
        Location(level.scene_box(one.box), one.score, level.scale)
        for level in levels
        for one in detections(
            level.values[..., None], level.places, threshold=least, overlap=overlap, limit=2 * top
        )
    ]
    found.sort(key=lambda one: -one.score)
    return [found[i] for i in suppress(np.array([one.box for one in found]), overlap, top)]


def heat(levels: Sequence[Level], size: tuple[int, int]) -> np.ndarray:
    """`(H, W)`: for each pixel of a scene of `size` the best score over the scales, at each scale
    that of the window with the nearest center; NaN at the border, where no window is centered."""
    best = np.full(size, -np.inf)
    for level in levels:
        (rows, high), (columns, wide) = (
            _nearest(level, axis, size[axis], level.values.shape[axis]) for axis in (0, 1)
        )
        here = level.values[rows[:, None], columns]
        np.maximum(best, np.where(high[:, None] & wide, here, -np.inf), out=best)
    return np.where(best == -np.inf, np.nan, best)


def _nearest(level: Level, axis: int, pixels: int, cells: int) -> tuple[np.ndarray, np.ndarray]:
    """The cell nearest to each pixel, and whether it is no further than half a stride."""
    places = level.places
    middle = (np.arange(pixels) + 0.5) / level.ratio[axis]
    first = places.start[axis] + places.window[axis] / 2
    place = (middle - first) / places.stride[axis]
    cell = np.clip(np.rint(place), 0, cells - 1).astype(int)
    return cell, np.abs(place - cell) <= 0.5


def pyramid(
    scene: tuple[int, ...], exemplar: tuple[int, ...], window: tuple[int, ...], scales
) -> list[tuple[float, tuple[int, int]]]:
    """Each scale, with the size of the scene in which an object of that scale fills a window.

    Scales at which a window is larger than the scene are skipped.

    Raises:
        ValueError: none is left, or a scale at which the scene has more than `MOST` pixels.
    """
    relative = [w / e for w, e in zip(window, exemplar, strict=True)]
    made = [
        (scale, tuple(round(n * r / scale) for n, r in zip(scene, relative, strict=True)))
        for scale in scales
    ]
    pixels, least = max((size[0] * size[1], scale) for scale, size in made)
    if pixels > MOST:
        raise ValueError(
            "The scale is too fine. Expected: one at which the resized scene has at most "
            f"{MOST:,} pixels. Received: {least:g}, {pixels:,} pixels."
        )
    fitting = [
        (scale, size)
        for scale, size in made
        if all(n >= w for n, w in zip(size, window, strict=True))
    ]
    if not fitting:
        raise ValueError(
            "The exemplar is larger than the scene. Expected: a scene of at least "
            f"{exemplar[0]} x {exemplar[1]} times the least scale. Received: a scene of "
            f"{scene[0]} x {scene[1]}, scales {', '.join(f'{s:g}' for s in scales)}."
        )
    return fitting


def resized(images: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """`(B, H, W, C)` -> `(B, *size, C)` float32: bilinear between pixel centres, means of the
    area where it shrinks."""
    images = np.asarray(images, "float32")
    if images.shape[1:3] == tuple(size):
        return images
    made = ops.image.resize(
        images, size, interpolation="bilinear", antialias=True, data_format="channels_last"
    )
    return ops.convert_to_numpy(made)


def check_choice(top: int, overlap: float, threshold: float | None = None) -> None:
    """Refuse what no boxes can be chosen by."""
    whole("top", top)
    number("overlap", overlap, least=0, most=1)
    if threshold is not None:
        number("threshold", threshold)
