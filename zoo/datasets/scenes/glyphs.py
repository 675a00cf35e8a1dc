"""Single glyphs for scenes: a bank split in three, and a glyph at another size, turned."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from zoo.datasets.images import Images, stratified_split
from zoo.datasets.reading._extras import need

INK = 96  # of 255: what is at least as bright belongs to the glyph


class Banks(NamedTuple):
    """Glyphs to paste into scenes to learn from, to choose on and to measure on."""

    train: Images
    validation: Images
    test: Images


def banks(images: Images, *, validation: float = 0.15, test: float = 0.25, seed: int = 0) -> Banks:
    """Three banks of the same classes without a common picture; equal pictures stay together.

    Each class gives the fraction `test` of its pictures, and `validation` of what is then left;
    of pictures that are equal byte by byte only the first is kept.
    """
    flat = images.images.reshape(len(images), -1)
    _, first = np.unique(flat, axis=0, return_index=True)
    rest, tested = stratified_split(images.where(np.sort(first)), test, seed=seed)
    return Banks(*stratified_split(rest, validation, seed=seed), tested)


def resized(images: Images, side: int) -> Images:
    """Square pictures at `side x side`, anti-aliased when smaller, bicubic when larger."""
    grey = [scaled(image[..., 0], side) for image in images.images]
    return replace(images, images=np.stack(grey)[..., None])


def scaled(glyph: np.ndarray, side: int) -> np.ndarray:
    """A grey glyph `(S, S)` uint8 as `(side, side)`; Pillow's bicubic filter, widened to shrink."""
    return np.asarray(_image(glyph).resize((side, side), _pillow().Resampling.BICUBIC))


def turned(glyph: np.ndarray, degrees: float) -> np.ndarray:
    """A grey glyph `(S, S)` turned about its middle, on `(S + 2 p)^2` with p = ceil(0.21 S).

    The margin p keeps the corners at any angle.
    """
    padded = np.pad(glyph, margin(len(glyph)))
    if degrees == 0:
        return padded
    return np.asarray(_image(padded).rotate(degrees, _pillow().Resampling.BICUBIC))


def margin(side: int) -> int:
    """ceil((sqrt(2) - 1) / 2 side): what a square of `side` needs around it to be turned."""
    return -(-21 * side // 100)


def _image(glyph: np.ndarray):
    return _pillow().fromarray(np.ascontiguousarray(glyph))


def _pillow():
    return need("PIL.Image", extra="plots", purpose="Drawing scenes")
