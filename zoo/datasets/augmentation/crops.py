"""Random crops of photographs with changes of light and color, for a whole batch at once."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Crop:
    """A random part of each photo of a batch, brought back to the photo's size, in other light.

    `crop(rng, images)`, as the batches call `augment`: `(B, H, W, C)` uint8 -> the same shape; the
    same generator state gives the same images. Rows and columns are read by one matrix each, linear
    between pixels: new = R old K^T, times a gain for each channel, plus a shift.

    - `least`: the part's sides are a factor in [`least`, 1] of the photo's, of any place.
    - `stretch`: logarithm of the most that one side is longer than the other, as to the photo's.
    - `mirror`: flips left and right with probability 1/2.
    - `gain`: light and colour; each channel is multiplied by two factors in [1 - gain, 1 + gain],
      one of its own and one that all channels share.
    - `shift`: what is added to all channels, uniform in [-shift, shift].

    Szegedy et al., "Going Deeper with Convolutions", 2014, arXiv:1409.4842, section 6, in fewer
    operations. Raises `ValueError` for a value out of range or images of another form.
    """

    least: float = 0.7
    stretch: float = 0.2
    mirror: bool = True
    gain: float = 0.2
    shift: float = 20.0

    def __post_init__(self) -> None:
        if not 0 < self.least <= 1 or not 0 <= self.gain < 1 or min(self.stretch, self.shift) < 0:
            raise ValueError(
                "The crop is out of range. Expected: 0 < least <= 1, 0 <= gain < 1, stretch >= 0 "
                f"and shift >= 0. Received: {self}."
            )

    def __call__(self, rng: np.random.Generator, images: np.ndarray) -> np.ndarray:
        if images.ndim != 4 or images.dtype != np.uint8:
            raise ValueError(
                "These are not photos. Expected: uint8 (B, H, W, C). "
                f"Received: {images.dtype} {images.shape}."
            )
        rows, columns = self._places(rng, *images.shape[:3])
        pixels = np.moveaxis(images, 3, 1).astype(np.float32)
        pixels = rows[:, None] @ pixels @ columns.transpose(0, 2, 1)[:, None]
        self._relight(rng, pixels)
        return np.moveaxis(np.rint(pixels, out=pixels), 1, 3).astype(np.uint8)

    def _places(self, rng: np.random.Generator, count: int, height: int, width: int) -> tuple:
        """`(B, H, H)` and `(B, W, W)`: what each new row, and column, takes of the old ones."""
        size = rng.uniform(self.least, 1, count)
        longer = np.exp(rng.uniform(-self.stretch, self.stretch, count) / 2)
        rows = _taps(np.minimum(size * longer, 1), rng.random(count), height)
        columns = _taps(np.minimum(size / longer, 1), rng.random(count), width)
        if self.mirror:
            flipped = rng.random(count) < 0.5
            columns[flipped] = columns[flipped, ::-1]
        return rows, columns

    def _relight(self, rng: np.random.Generator, pixels: np.ndarray) -> None:
        count, channels = pixels.shape[:2]
        own = rng.uniform(1 - self.gain, 1 + self.gain, (count, channels, 1, 1))
        shared = rng.uniform(1 - self.gain, 1 + self.gain, (count, 1, 1, 1))
        pixels *= (own * shared).astype(np.float32)
        pixels += rng.uniform(-self.shift, self.shift, (count, 1, 1, 1)).astype(np.float32)
        np.clip(pixels, 0, 255, out=pixels)


def _taps(part: np.ndarray, place: np.ndarray, side: int) -> np.ndarray:
    """`(B, side, side)`: linear weights of old pixels in new ones, which cover `part` of the side.

    `place` from 0 to 1: where in what is left over the part begins.
    """
    centres = part[:, None] * (np.arange(side) + 0.5) + ((1 - part) * place * side)[:, None] - 0.5
    centres = np.clip(centres, 0, side - 1).astype(np.float32)
    return np.maximum(0, 1 - np.abs(centres[:, :, None] - np.arange(side, dtype=np.float32)))
