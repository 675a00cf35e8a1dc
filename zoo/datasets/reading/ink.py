"""Drawings on a dark ground: decode, centre the ink, make smaller."""

import io
from dataclasses import replace
from typing import overload

import numpy as np

from zoo.datasets.images import Images
from zoo.datasets.reading._extras import need

SIDE = 105
_BLOCK = 256


def decode(content: bytes, name: str) -> np.ndarray:
    """`(105, 105, 1)` uint8, ink 255 and paper 0, of an Omniglot PNG (where ink is dark).

    `name` is for the message of the `ValueError` that anything else raises.
    """
    image_module = need("PIL.Image", extra="plots", purpose="Reading Omniglot")
    try:
        with image_module.open(io.BytesIO(content), formats=["PNG"]) as image:
            if image.size == (SIDE, SIDE):
                return 255 - np.asarray(image.convert("L"))[..., None]
            received = f"{image.width} x {image.height}"
    except (OSError, SyntaxError, ValueError) as error:
        received = f"{type(error).__name__}: {error}"
    raise ValueError(
        f"The image {name} cannot be read. Expected: a PNG of {SIDE} x {SIDE}. "
        f"Received: {received}."
    )


@overload
def prepare(images: Images, size: int = 28, *, centre: bool = True) -> Images: ...


@overload
def prepare(images: np.ndarray, size: int = 28, *, centre: bool = True) -> np.ndarray: ...


def prepare(images, size=28, *, centre=True):
    """The drawings with their ink's centroid in the middle, resampled to `size x size`.

    Every new pixel is the mean of the area it covers: the frame keeps its scale, is moved by the
    exact, fractional offset of the centroid, and is black outside. A drawing without ink stays
    where it is.

    `Images` gives `Images`; an array `(N, H, W, C)` or `(N, H, W)` of uint8 gives an array of the
    same rank.
    """
    if isinstance(images, Images):
        return replace(images, images=prepare(images.images, size, centre=centre))
    if images.dtype != np.uint8 or images.ndim not in (3, 4) or size < 1:
        raise ValueError(
            "These are not drawings. Expected: uint8 (N, H, W) or (N, H, W, C) and a positive "
            f"size. Received: {images.dtype} {images.shape}, size={size!r}."
        )
    flat = images if images.ndim == 4 else images[..., None]
    small = [_resample(flat[at : at + _BLOCK], size, centre) for at in range(0, len(flat), _BLOCK)]
    shape = (len(images), size, size, *images.shape[3:])
    return np.concatenate(small).reshape(shape) if small else np.zeros(shape, np.uint8)


def _resample(images: np.ndarray, size: int, centre: bool) -> np.ndarray:
    ink = images.astype(np.float32)
    mass = ink.sum(-1)
    rows = _areas(mass.sum(2), size, centre)
    columns = _areas(mass.sum(1), size, centre)
    moved = np.moveaxis(ink, -1, 1)
    small = rows[:, None] @ moved @ columns[:, None].swapaxes(-1, -2)
    return np.rint(np.moveaxis(small, 1, -1)).astype(np.uint8)


def _areas(profile: np.ndarray, size: int, centre: bool) -> np.ndarray:
    """`(N, length) -> (N, size, length)`: how much of each old pixel each new one covers."""
    length = profile.shape[1]
    middles = np.arange(length) + 0.5
    total = profile.sum(1)
    centroids = np.where(total > 0, profile @ middles / np.maximum(total, 1), length / 2)
    offsets = centroids - length / 2 if centre else np.zeros(len(profile))
    step = length / size
    low = np.arange(size)[None, :, None] * step + offsets[:, None, None]
    left = np.arange(length)[None, None, :]
    overlap = np.minimum(low + step, left + 1) - np.maximum(low, left)
    return (np.maximum(overlap, 0) / step).astype(np.float32)
