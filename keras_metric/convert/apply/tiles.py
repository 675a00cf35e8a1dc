"""Where to cut a large image into tiles, and which cells of each tile to keep: one axis at a time.

A cell of a tile is that of the whole image if it has read neither beyond the tile nor the zeros at
its border, and if the layers with stride start on the same pixels. With R the receptive field, o
its offset, S the pixels between cells and P the pixels between positions of the coarsest map:

    tiles are T long, T = n (mod P) for an image of n pixels, and start at multiples of P
    kept are the cells i with  0 <= o + i S  and  o + i S + R <= T;  at a border of the image all

Neighbouring tiles share one cell at least, which is computed twice and must be the same.
"""

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Cut:
    """The pixels `[start, end)` of a tile, its cells kept, and where these go on the whole map."""

    start: int
    end: int
    kept: slice
    cells: slice


@dataclass(frozen=True)
class Axis:
    """One axis of an image of `size` pixels that gives `cells`; see the formulas above."""

    size: int
    cells: int
    field: float
    offset: float
    stride: float
    step: int

    def least(self) -> int:
        """The shortest tile that keeps enough cells to reach the next one and share a cell."""
        unread = self.size - (self.offset + (self.cells - 1) * self.stride + self.field)
        kept = self._first() * self.stride + self.step
        needed = self.field + self.offset + kept + max(0, unread)
        return min(self.size, self.fitting(needed + self.step))

    def fitting(self, most: float) -> int:
        """The longest tile in phase with the image, of at most `most` pixels and `step` less."""
        return self.size + math.floor((most - self.size) / self.step) * self.step

    def cuts(self, tile: int) -> list[Cut]:
        """Tiles of `tile` pixels, which is between `least()` and `size`, over the whole axis."""
        if tile >= self.size:
            return [Cut(0, self.size, slice(0, self.cells), slice(0, self.cells))]
        first = self._first()
        count = int(self.cells - (self.size - tile) / self.stride)
        last = min(count, math.floor((tile - self.field - self.offset) / self.stride) + 1)
        advance = math.floor((last - first - 1) * self.stride / self.step) * self.step
        starts = [*range(0, self.size - tile, advance), self.size - tile]
        cuts = []
        for start in starts:
            a = 0 if start == 0 else first
            b = count if start == self.size - tile else last
            moved = int(start / self.stride)
            cuts.append(Cut(start, start + tile, slice(a, b), slice(a + moved, b + moved)))
        return cuts

    def _first(self) -> int:
        return max(0, math.ceil(-self.offset / self.stride))


def tile_size(axes: list[Axis], wanted: tuple[int, ...]) -> tuple[int, ...]:
    """The tile that is used for the one wanted: in phase, not longer than the image.

    Raises:
        ValueError: wanted is too small to keep a cell and share one with the next tile.
    """
    least = tuple(axis.least() for axis in axes)
    if any(w < m for w, m in zip(wanted, least, strict=True)):
        raise ValueError(
            "The tile is too small: its cells would read beyond it. Expected: at least "
            f"{' x '.join(map(str, least))} pixels. Received: {' x '.join(map(str, wanted))}."
        )
    pairs = zip(axes, wanted, strict=True)
    return tuple(min(axis.size, axis.fitting(w)) for axis, w in pairs)


def side_for(axes: list[Axis], bytes_of_whole: int, memory: float) -> tuple[int, ...]:
    """A tile of equal sides whose maps take `memory` bytes, as far as the least tile allows."""
    pixels = math.prod(axis.size for axis in axes)
    side = (pixels * memory / bytes_of_whole) ** (1 / len(axes))
    return tuple(max(axis.least(), min(axis.size, int(side))) for axis in axes)


def disagreement(scores: np.ndarray, filled: np.ndarray, part: np.ndarray, place) -> float:
    """The largest difference of a tile from the cells that are there already."""
    before, now = scores[place][filled[place]], part[filled[place]]
    apart = (before != now) & ~(np.isnan(before) & np.isnan(now))  # infinity less itself is none
    return float(np.abs(before[apart] - now[apart]).max(initial=0))
