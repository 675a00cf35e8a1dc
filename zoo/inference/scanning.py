"""Scan large pictures with a converted network, and draw the result."""

from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path

import keras
import numpy as np

from keras_metric import Preprocessing, convert, plots
from keras_metric.convert import channels_first, suppress, training_size
from keras_metric.preprocessing import attached
from zoo.datasets.reading import photos
from zoo.progress import shown

MOST_BOXES = 10_000


@dataclass(frozen=True)
class ScanPictures:
    """Scans pictures with a converted network and draws heat and boxes over them.

    - `classes`: the channels to use; empty is all, except those in `without` (a background).
    - `threshold`, `overlap`: as in `km.convert.detections`.
    - `single`: non-maximum suppression across classes.
    - `tile`, `memory`, `window`: as in `km.convert.scan`.
    - `side`: maximum length in pixels of the longer side of the drawn picture.

    Pictures keep their size; transparency, EXIF data and `pixel_range` are treated as the
    preprocessing of the network says.

    Raises `ValueError` for a network that is not fully convolutional over pictures, a class that it
    does not have, and values out of range.
    """

    fcn: keras.Model
    classes: tuple[int, ...] = ()
    without: tuple[int, ...] = ()
    threshold: float = 0.5
    overlap: float = 0.5
    single: bool = False
    tile: int | None = None
    memory: float = 2**30
    window: tuple[int, int] | None = None
    side: int = 2048

    def __post_init__(self) -> None:
        _check_network(self.fcn)
        count = self.fcn.outputs[0].shape[1 if self._first else -1]
        wrong = [n for n in (*self.classes, *self.without) if not 0 <= n < count]
        if wrong or not self._labels():
            raise ValueError(
                f"The classes are invalid. Expected: numbers from 0 to {count - 1}, one at "
                f"least. Received: {wrong or 'all left out'}."
            )
        if not 0 <= self.overlap <= 1 or not self.memory >= 1 or self.side < 16:
            raise ValueError(
                "A value is out of range. Expected: an overlap from 0 to 1, memory above 0 MiB, a "
                f"side of 16 pixels or more. Received: {self.overlap}, {self.memory / 2**20:g}, "
                f"{self.side}."
            )
        if self.threshold != self.threshold:
            raise ValueError("The threshold is not a number. Expected: a score. Received: nan.")

    def read(self, file: Path) -> np.ndarray:
        """The pixels `(H, W, C)` of a file; `ValueError` for no image, or one below a window."""
        made = self._preprocessing
        pixels = photos.read(file, self._channels or 1, fill=made.fill, turn=made.upright)
        least = self.window or self._trained_on
        if pixels.shape[0] < least[0] or pixels.shape[1] < least[1]:
            raise ValueError(
                f"The picture {file} is smaller than a window. Expected: at least "
                f"{least[0]} x {least[1]} pixels. Received: {pixels.shape[0]} x {pixels.shape[1]}."
            )
        return pixels

    def __call__(self, pixels: np.ndarray, title: str) -> "Found":
        """Scan, and what was found; `title` stands before the bar."""
        scanned = convert.scan(
            self.fcn,
            self._as_read(self._scaled(pixels)),
            tile=self.tile,
            memory=self.memory,
            window=self.window,
            progress=lambda tiles: shown(tiles, title),
        )
        boxes = convert.detections(
            scanned.scores,
            scanned.geometry,
            threshold=self.threshold,
            overlap=self.overlap,
            labels=self._labels(),
            limit=MOST_BOXES,
        )
        if self.single and boxes:
            boxes = [boxes[i] for i in suppress(np.array([b.box for b in boxes]), self.overlap)]
        return Found(scanned, [_cut(box, scanned.geometry.size) for box in boxes], self._labels())

    def picture(self, pixels: np.ndarray, found: "Found") -> np.ndarray:
        """`(H, W, 3)` bytes: the best score of the classes looked for as heat, boxes over it."""
        factor = -(-max(pixels.shape[:2]) // self.side)
        small = photos.reduced(pixels, factor)
        drawn = plots.overlay(small, np.zeros(small.shape[:2]), alpha=0.0)
        plane = found.scan.scores[..., found.labels].max(-1)
        heat = convert.heat(plane, found.scan.geometry, small.shape[:2])
        heat = np.nan_to_num(heat)
        most = 1.0 if found.probabilities else max(np.abs(plane).max(), 1e-12)
        share = (np.abs(heat) / most)[..., None]
        hot = plots.overlay(drawn, heat, alpha=0.7, limit=most)
        return plots.boxes(
            np.round(share * hot + (1 - share) * drawn).astype("uint8"),
            [[x / factor for x in one.box] for one in found.boxes],
            labels=[one.label for one in found.boxes],
            captions=[f"{one.label} {one.score:.2f}" for one in found.boxes],
        )

    @cached_property
    def _trained_on(self) -> tuple[int, ...]:
        return training_size(self.fcn)

    @property
    def _first(self) -> bool:
        return channels_first(self.fcn)

    @property
    def _channels(self) -> int | None:
        """Of an image as the network reads it; None for one that reads `(height, width)`."""
        shape = self.fcn.inputs[0].shape
        return None if len(shape) == 3 else shape[1 if self._first else -1]

    @property
    def _preprocessing(self) -> Preprocessing:
        return attached(self.fcn) or Preprocessing()

    def _scaled(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels in the range of the network; an array from the disk is what the network takes."""
        plain = self._preprocessing.pixel_range == (0, 255) or isinstance(pixels, np.memmap)
        return pixels if plain else self._preprocessing.scaled(pixels)

    def _as_read(self, pixels: np.ndarray) -> np.ndarray:
        if self._channels is None:
            return pixels[..., 0]
        return np.moveaxis(pixels, -1, 0) if self._first else pixels

    def _labels(self) -> list[int]:
        count = self.fcn.outputs[0].shape[1 if self._first else -1]
        return [n for n in self.classes or range(count) if n not in self.without]


@dataclass(frozen=True)
class Found:
    """One scan, its detections best first, and the classes looked for."""

    scan: convert.Scan
    boxes: list[convert.Detection]
    labels: list[int]

    @property
    def probabilities(self) -> bool:
        """Whether all scores lie between 0 and 1."""
        return bool(self.scan.scores.min() >= 0 and self.scan.scores.max() <= 1)

    def content(self) -> dict:
        """The detections and what they rest on, for a file of JSON."""
        places, scores = self.scan.geometry, self.scan.scores
        return {
            "size": list(places.size),
            "cells": list(scores.shape[:2]),
            "stride": list(places.stride),
            "window": list(places.window),
            "tiles": self.scan.tiles,
            "tile": list(self.scan.tile),
            "seam": self.scan.seam,
            "scores": [float(scores.min()), float(scores.max())],
            "classes": self.labels,
            "detections": [asdict(one) for one in self.boxes],
        }

    def __str__(self) -> str:
        """What a person wants to know of it."""
        places, tiles = self.scan.geometry, "scanned whole"
        if self.scan.tiles > 1:
            sides = " x ".join(map(str, self.scan.tile))
            tiles = (
                f"{self.scan.tiles} tiles of {sides}; cells that two tiles share differ by at most "
                f"{self.scan.seam:.1g} standard deviations"
            )
        cells = " x ".join(map(str, self.scan.scores.shape[:2]))
        size = " x ".join(map(str, places.size))
        low, high = self.scan.scores.min(), self.scan.scores.max()
        lines = [
            f"{size} pixels, {cells} cells, {tiles}",
            f"{len(self.boxes)} boxes; scores from {low:.3g} to {high:.3g}",
        ]
        if not self.probabilities:
            lines.append("the scores are no probabilities: choose --threshold in their units")
        lines += [
            f"  class {one.label}  {one.score:.3f}  {_corners(one)}" for one in self.boxes[:20]
        ]
        more = len(self.boxes) - 20
        return "\n".join([*lines, *([f"  and {more} more"] if more > 0 else [])])


def _corners(one: convert.Detection) -> str:
    left, top, right, bottom = (f"{x:g}" for x in one.box)
    return f"left {left} top {top} right {right} bottom {bottom}"


def _cut(one: convert.Detection, size) -> convert.Detection:
    """The part of a box that lies on an image of `size` (height, width)."""
    ends = (*size[::-1], *size[::-1])
    box = tuple(float(np.clip(x, 0, n)) for x, n in zip(one.box, ends, strict=True))
    return convert.Detection(box, one.score, one.label)


def _check_network(fcn: keras.Model) -> None:
    shapes = [tuple(x.shape) for x in (*fcn.inputs, *fcn.outputs)]
    free = [shape.count(None) == 3 and len(shape) in (3, 4) for shape in shapes]
    if len(shapes) != 2 or not all(free):
        raise ValueError(
            "The network does not scan pictures. Expected: one made by `keras-metric convert`, "
            "with one input and one output of free height and width. Received: "
            f"{', '.join(map(str, shapes))}."
        )
