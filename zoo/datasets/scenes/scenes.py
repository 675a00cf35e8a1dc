"""Scenes of many glyphs among clutter, generated on demand.

From a bank of labeled crops (digits, Omniglot characters) they compose pictures with boxes, classes
and a label for every pixel. A scene depends only on (seed, index); nothing is stored.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from zoo.datasets.images import Images
from zoo.datasets.scenes.clutter import fragment, noise, stroke
from zoo.datasets.scenes.glyphs import INK, margin, scaled, turned

TRIES = 60  # places tried for a glyph before it is left out


class Scene(NamedTuple):
    """A picture with its annotation, glyphs in the order they were pasted.

    - `image`: `(H, W, 1)` uint8.
    - `boxes`: `(N, 4)` int64, `(left, top, right, bottom)`, right and bottom excluded.
    - `labels`: `(N,)` int64, as in the bank.
    - `label_map`: `(H, W)` int32, 0 for the background, else label + 1; where glyphs overlap, that
      of the brighter one.
    - `glyphs`: `(N,)` int64, positions in the bank.
    """

    image: np.ndarray
    boxes: np.ndarray
    labels: np.ndarray
    label_map: np.ndarray
    glyphs: np.ndarray


@dataclass(frozen=True, eq=False)
class Scenes:
    """`len(scenes)` pictures; `scenes[i]` draws the i-th, always the same for the same arguments.

    - `bank`: square grey crops, ink white on black, to paste.
    - `size`: side of the scene, or height and width.
    - `glyphs`: least and most glyphs of a scene. One that finds no free place is left out.
    - `scale`: least and most size, as a factor of the bank's; `rotation`: most degrees either way.
    - `contrast`: least and most brightness of the ink, 0 to 1 (of clutter, too).
    - `overlap`: the largest share of a glyph's frame that another's may cover, or clutter.
    - `strokes`, `fragments`: least and most of each; `noise`: its standard deviation, of 255.
    - `boxes`: "ink" draws them tight around the ink (pixels of at least 96/255 of the crop's
      white), "frame" around the whole crop.

    Raises `ValueError` for a bank that is not grey and square, or a value out of range.
    """

    bank: Images
    size: int | tuple[int, int] = 128
    count: int = 1000
    seed: int = 0
    glyphs: tuple[int, int] = (3, 8)
    scale: tuple[float, float] = (0.85, 1.2)
    rotation: float = 10.0
    contrast: tuple[float, float] = (0.6, 1.0)
    overlap: float = 0.1
    strokes: tuple[int, int] = (0, 3)
    fragments: tuple[int, int] = (0, 4)
    noise: float = 10.0
    boxes: str = "ink"

    def __post_init__(self) -> None:
        height, width, channels = self.bank.shape
        if not len(self.bank) or height != width or channels != 1:
            raise ValueError(
                "The bank of crops has the wrong shape. Expected: square grey crops (N, S, S, "
                f"1), at least one. Received: {self.bank!r}."
            )
        ranges = (self.glyphs, self.scale, self.contrast, self.strokes, self.fragments)
        least = min(*(low for low, _ in ranges), self.rotation, self.noise, self.overlap)
        if least < 0 or self.scale[0] <= 0 or any(low > high for low, high in ranges):
            raise ValueError(
                "A value is out of range. Expected: least and most from 0 on, scale above 0. "
                f"Received: {self._options()}."
            )
        largest = self._side(self.scale[1])
        if min(self.sides) < largest or self.count < 1 or self.boxes not in ("ink", "frame"):
            raise ValueError(
                f"The scenes cannot be built. Expected: sides of at least {largest}, the largest "
                "glyph; a count of at least 1; boxes 'ink' or 'frame'. "
                f"Received: {self._options()}."
            )

    @property
    def sides(self) -> tuple[int, int]:
        """Height and width."""
        return (self.size, self.size) if isinstance(self.size, int) else self.size

    @property
    def names(self) -> tuple[str, ...]:
        """The classes; `label_map` has 0 for none of them and label + 1 for each."""
        return self.bank.names

    def __len__(self) -> int:
        return self.count

    def __repr__(self) -> str:
        return f"Scenes({self._options()}, of {self.bank!r})"

    def _options(self) -> str:
        height, width = self.sides
        return (
            f"{self.count:,} of {height} x {width}, seed {self.seed}, glyphs {self.glyphs}, scale "
            f"{self.scale}, rotation {self.rotation}, contrast {self.contrast}, overlap "
            f"{self.overlap}, strokes {self.strokes}, fragments {self.fragments}, noise "
            f"{self.noise}, boxes {self.boxes!r}"
        )

    def __getitem__(self, index: int) -> Scene:
        if not 0 <= index < self.count:
            raise IndexError(
                f"There is no such scene. Expected: 0 to {self.count - 1}. Received: {index}."
            )
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(int(index),)))
        canvas = _Canvas(self.sides)
        pasted = [self._paste(rng, canvas) for _ in range(rng.integers(*_inclusive(self.glyphs)))]
        self._clutter(rng, canvas)
        image = canvas.ink + noise(rng, self.sides, self.noise)
        boxes, chosen = zip(*filter(None, pasted), strict=True) if any(pasted) else ((), ())
        chosen = np.array(chosen, np.int64)
        return Scene(
            np.clip(np.rint(image), 0, 255).astype(np.uint8)[..., None],
            np.array(boxes, np.int64).reshape(-1, 4),
            self.bank.labels[chosen],
            canvas.label_map,
            chosen,
        )

    def batch(self, indices) -> tuple[np.ndarray, list[Scene]]:
        """The pictures `(B, H, W, 1)` uint8 of some scenes, and the scenes."""
        scenes = [self[index] for index in indices]
        return np.stack([scene.image for scene in scenes]), scenes

    def _side(self, scale: float) -> int:
        return max(1, round(self.bank.shape[0] * scale))

    def _paste(self, rng: np.random.Generator, canvas: "_Canvas"):
        """Box and position in the bank of a glyph that found its place, or None."""
        chosen = int(rng.integers(len(self.bank)))
        side = self._side(rng.uniform(*self.scale))
        angle, bright = rng.uniform(-self.rotation, self.rotation), rng.uniform(*self.contrast)
        place = canvas.place(rng, (side, side), self.overlap, TRIES)
        if place is None:
            return None
        top, left = place
        canvas.frames.append((top, left, top + side, left + side))
        glyph = turned(scaled(self.bank.images[chosen, ..., 0], side), angle)
        ink = canvas.draw(glyph, top - margin(side), left - margin(side), bright)
        canvas.label(ink, int(self.bank.labels[chosen]) + 1, bright)
        box = (left, top, left + side, top + side)
        return (box if self.boxes == "frame" else _around(ink.mask, ink.top, ink.left, box)), chosen

    def _clutter(self, rng: np.random.Generator, canvas: "_Canvas") -> None:
        side = self.bank.shape[0]
        pieces = [stroke(rng, side) for _ in range(rng.integers(*_inclusive(self.strokes)))]
        for _ in range(rng.integers(*_inclusive(self.fragments))):
            glyph = self.bank.images[rng.integers(len(self.bank)), ..., 0]
            size = self._side(rng.uniform(*self.scale))
            pieces.append(fragment(rng, scaled(glyph, size)))
        for piece in pieces:
            place = canvas.place(rng, piece.shape, self.overlap, TRIES)
            if place is not None:
                canvas.draw(piece, *place, rng.uniform(*self.contrast))


class _Ink(NamedTuple):
    """What was drawn, cut off at the border: where, how bright, and which pixels are ink."""

    top: int
    left: int
    value: np.ndarray
    mask: np.ndarray


class _Canvas:
    """A scene while it is drawn: ink, labels, and the frames that are taken."""

    def __init__(self, sides: tuple[int, int]):
        self.ink = np.zeros(sides, np.float32)
        self.label_map = np.zeros(sides, np.int32)
        self._brightest = np.zeros(sides, np.float32)
        self.frames: list[tuple[int, int, int, int]] = []

    def place(self, rng, sides: tuple[int, int], overlap: float, tries: int):
        """Top and left of a free place, or None when none was found."""
        room = np.array(self.ink.shape) - sides
        if min(room) < 0:
            return None
        corners = rng.integers(0, room + 1, (tries, 2))
        if not self.frames:
            return tuple(map(int, corners[0]))
        frames = np.array(self.frames)
        first = np.maximum(corners[:, None], frames[None, :, :2])
        last = np.minimum(corners[:, None] + sides, frames[None, :, 2:])
        shared = np.clip(last - first, 0, None).prod(-1)
        smaller = np.minimum(np.prod(sides), (frames[:, 2:] - frames[:, :2]).prod(-1))
        free = np.flatnonzero((shared <= overlap * smaller).all(1))
        return tuple(map(int, corners[free[0]])) if len(free) else None

    def draw(self, piece: np.ndarray, top: int, left: int, bright: float) -> _Ink:
        """Lay `piece` over the scene, the brighter ink wins; what lies outside is cut off."""
        height, width = self.ink.shape
        above, before = max(-top, 0), max(-left, 0)
        cut = piece[above : height - top, before : width - left]
        top, left = top + above, left + before
        there = self.ink[top : top + cut.shape[0], left : left + cut.shape[1]]
        np.maximum(there, np.float32(bright) * cut, out=there)
        return _Ink(top, left, cut, cut >= INK)

    def label(self, ink: _Ink, label: int, bright: float) -> None:
        """Give the pixels of a glyph its label, but for those where another is brighter."""
        here = np.s_[ink.top : ink.top + ink.mask.shape[0], ink.left : ink.left + ink.mask.shape[1]]
        value = bright * ink.value
        wins = ink.mask & (value > self._brightest[here])
        self.label_map[here][wins] = label
        self._brightest[here][wins] = value[wins]


def _inclusive(limits: tuple[int, int]) -> tuple[int, int]:
    return limits[0], limits[1] + 1


def _around(mask: np.ndarray, top: int, left: int, frame: tuple[int, int, int, int]):
    """Box around the pixels of a mask at (top, left); an empty glyph has its frame."""
    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return frame
    return (
        int(left + columns[0]),
        int(top + rows[0]),
        int(left + columns[-1] + 1),
        int(top + rows[-1] + 1),
    )
