"""Random distortions of small images, for a whole batch at once.

`Warp` moves every pixel of the new image back to where it was in the old one, in units of pixels
from the middle:

    old = A new + t + e(new),    A = rotation . shear . 1 / scale

and reads there by bilinear interpolation; outside is `fill`. e is an elastic field: a cubic
B-spline over a coarse grid of random displacements, in place of the smoothed noise of Simard,
Steinkraus and Platt, "Best Practices for Convolutional Neural Networks Applied to Visual Document
Analysis", 2003, section 2, at a fraction of its price.
"""

import math
import re
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np

from zoo.datasets.images import Images

TURNED = re.compile(r" turned \d+$")  # names of classes made of others
MIRRORED = " mirrored"


@dataclass(frozen=True)
class Warp:
    """A random affine map and elastic field for each image of a batch.

    `warp(rng, images)`, as the batches call `augment`: `(B, H, W, C)` or `(B, H, W)` -> the same
    shape and dtype; the same generator state gives the same images.

    - `rotation`: degrees, uniform in [-rotation, rotation].
    - `scale`: the size changes by a factor uniform in [1 - scale, 1 + scale], each axis by its own.
    - `shear`: tangent of the shear angle, uniform in [-shear, shear].
    - `translation`: fraction of the side, uniform in [-translation, translation], each axis by its
      own.
    - `elastic`: standard deviation of the grid's displacements, as a fraction of the side.
    - `grid`: cells of the elastic grid along a side; more is finer.
    - `mirror`: flips left and right with probability 1/2.
    - `fill`: the value outside the image.

    Raises `ValueError` for a value out of range or images of another rank.
    """

    rotation: float = 10.0
    scale: float = 0.1
    shear: float = 0.1
    translation: float = 0.05
    elastic: float = 0.0
    grid: int = 4
    mirror: bool = False
    fill: float = 0.0

    def __post_init__(self) -> None:
        spans = (self.rotation, self.scale, self.shear, self.translation, self.elastic)
        if min(spans) < 0 or self.scale >= 1 or self.grid < 1:
            raise ValueError(
                "The warp is out of range. Expected: spans >= 0, scale < 1 and grid >= 1. "
                f"Received: {self}."
            )

    def __call__(self, rng: np.random.Generator, images: np.ndarray) -> np.ndarray:
        return read(images, self.places(rng, len(images), sides_of(images)), self.fill)

    def places(self, rng: np.random.Generator, count: int, sides: tuple[int, int]) -> np.ndarray:
        """`(count, 2, H * W)`: where each pixel of the new images was, row and column."""
        places = self._affine(count, sides, rng)
        if self.elastic:
            places += self._elastic(count, sides, rng)
        return places

    def _affine(self, count: int, sides: tuple, rng: np.random.Generator) -> np.ndarray:
        """`(B, 2, H * W)`: A new + t + middle, in pixels from the corner."""

        def span(width: float, *shape: int) -> np.ndarray:
            return rng.uniform(-width, width, (*shape, count)).astype(np.float32)

        angle = np.radians(span(self.rotation))
        cos, sin = np.cos(angle), np.sin(angle)
        rotation = np.stack([np.stack([cos, -sin]), np.stack([sin, cos])]).transpose(2, 0, 1)
        stretch = np.zeros((count, 2, 2), np.float32)
        stretch[:, 0, 0], stretch[:, 1, 1] = 1 / (1 + span(self.scale, 2))
        stretch[:, 1, 0] = span(self.shear)
        matrix = rotation @ stretch
        if self.mirror:
            matrix[:, 1] *= np.where(rng.random(count) < 0.5, -1, 1).astype(np.float32)[:, None]
        size = np.array(sides, np.float32)
        shift = span(self.translation, 2).T * size + (size - 1) / 2
        return matrix @ _middle_grid(*sides) + shift[:, :, None]

    def _elastic(self, count: int, sides: tuple, rng: np.random.Generator) -> np.ndarray:
        """`(B, 2, H * W)`: displacements in pixels, B_rows grid B_columns^T."""
        cells = (self.grid + 3, self.grid + 3)
        nodes = rng.standard_normal((count, 2, *cells), np.float32)
        nodes *= self.elastic * np.array(sides, np.float32)[:, None, None]
        rows, columns = (_spline(side, self.grid) for side in sides)
        return (rows @ nodes @ columns.T).reshape(count, 2, math.prod(sides))


def sides_of(images: np.ndarray) -> tuple[int, int]:
    """Height and width of `(B, H, W, C)` or `(B, H, W)`; raises `ValueError` for anything else."""
    if images.ndim not in (3, 4):
        raise ValueError(
            f"These are not images. Expected: (B, H, W) or (B, H, W, C). Received: {images.shape}."
        )
    height, width = images.shape[1:3]
    return height, width


def rotations_as_classes(images: Images, *, mirrored: bool = False) -> Images:
    """Each class four times: as it is, and turned by 90, 180 and 270 degrees as three new classes.

    With `mirrored` eight times: the mirror images of these four are classes, too. Label c becomes
    c, c + L, c + 2 L, ... with L names before; groups and drawers stay. Santoro et al.,
    "Meta-Learning with Memory-Augmented Neural Networks", 2016. Images must be square.
    """
    height, width, _ = images.shape
    if height != width:
        raise ValueError(
            "Only square images can be turned by 90 degrees. Expected: height = width. "
            f"Received: {height} x {width}."
        )
    sides = [("", images.images)]
    if mirrored:
        sides.append((" mirrored", images.images[:, :, ::-1]))
    ways = [(side, turns, x) for side, x in sides for turns in range(4)]
    turned = [np.rot90(x, turns, axes=(1, 2)) for _, turns, x in ways]
    labels = [images.labels + way * len(images.names) for way in range(len(ways))]
    suffixes = [f"{side} turned {90 * turns}" if turns else side for side, turns, _ in ways]
    return replace(
        images,
        images=np.concatenate(turned),
        labels=np.concatenate(labels),
        names=tuple(name + suffix for suffix in suffixes for name in images.names),
        groups=None if images.groups is None else np.tile(images.groups, len(ways)),
        drawers=None if images.drawers is None else np.tile(images.drawers, len(ways)),
    )


def as_they_come(images: Images) -> Images:
    """Without the classes that were made of others, by turning or mirroring."""
    made = [name.endswith(MIRRORED) or bool(TURNED.search(name)) for name in images.names]
    return images.where(~np.array(made, bool)[images.labels])


@lru_cache(maxsize=8)
def _middle_grid(height: int, width: int) -> np.ndarray:
    """`(2, H * W)`: row and column of every pixel, from the middle."""
    rows = np.arange(height, dtype=np.float32) - (height - 1) / 2
    columns = np.arange(width, dtype=np.float32) - (width - 1) / 2
    grid = np.stack(np.meshgrid(rows, columns, indexing="ij")).reshape(2, -1)
    grid.setflags(write=False)
    return grid


@lru_cache(maxsize=16)
def _spline(length: int, cells: int) -> np.ndarray:
    """`(length, cells + 3)`: uniform cubic B-spline weights of the nodes at every pixel."""
    position = (np.arange(length) + 0.5) / length * cells
    distance = np.abs(position[:, None] - (np.arange(cells + 3) - 1))
    near = 2 / 3 - distance**2 + distance**3 / 2
    far = np.maximum(2 - distance, 0) ** 3 / 6
    weights = np.where(distance < 1, near, far).astype(np.float32)
    weights.setflags(write=False)
    return weights


def read(images: np.ndarray, places: np.ndarray, fill: float) -> np.ndarray:
    """Bilinear values of `(B, H, W, ...)` at `(B, 2, H * W)`; beyond the rim, `fill`."""
    count, height, width = images.shape[:3]
    depth = math.prod(images.shape[3:])
    padded = np.full((depth, count, height + 3, width + 3), fill, np.float32)
    padded[:, :, 1:-2, 1:-2] = np.moveaxis(images.reshape(count, height, width, depth), -1, 0)
    row = np.clip(places[:, 0] + 1, 0, height + 1)
    column = np.clip(places[:, 1] + 1, 0, width + 1)
    top, left = row.astype(np.int32), column.astype(np.int32)
    down, right = row - top, column - left
    first = np.arange(count, dtype=np.int32)[:, None] * ((height + 3) * (width + 3))
    corner = first + top * (width + 3) + left
    below = corner + width + 3
    values = np.empty((count, height * width, depth), images.dtype)
    for channel, pixels in enumerate(padded.reshape(depth, padded[0].size)):
        upper, lower = pixels[corner], pixels[below]
        upper += right * (pixels[corner + 1] - upper)
        lower += right * (pixels[below + 1] - lower)
        upper += down * (lower - upper)
        if np.issubdtype(images.dtype, np.integer):
            np.rint(upper, out=upper)
        values[:, :, channel] = upper
    return values.reshape(images.shape)
