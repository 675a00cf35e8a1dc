"""One large picture from a file at its own size, refused by its header if it is too large."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

import numpy as np

from keras_metric.image_files import ERRORS, upright
from zoo.datasets.reading._extras import need

MOST = 400_000_000  # pixels


def read(
    file: str | Path, channels: int, *, most: int = MOST, fill: int = 0, turn: bool = True
) -> np.ndarray:
    """The pixels `(H, W, channels)` of an image file, uint8, upright as its EXIF data says.

    A `.npy` array of that form stays on the disk, mapped into memory, and may be larger than it;
    it holds what the network takes. Any other file is decoded whole. No code of a file is run.

    Raises:
        ValueError: not an image, one that breaks off, one of more than `most` pixels, or other
            channels than a picture can have.
    """
    file = Path(file)
    if file.suffix.lower() == ".npy":
        return _mapped(file, channels)
    if channels not in (1, 3):
        raise ValueError(
            f"The network takes neither gray nor RGB pictures. Expected: a .npy array (H, W, "
            f"{channels}) . Received: {file}."
        )
    return decoded(file, file, channels, most=most, fill=fill, turn=turn)


def decoded(
    source: Path | BinaryIO,
    name: str | Path,
    channels: int,
    *,
    most: int,
    formats: Sequence[str] | None = None,
    fill: int = 0,
    turn: bool = True,
) -> np.ndarray:
    """The pixels `(H, W, channels)` of a file of `read`, or of an open one, which errors `name`.

    `formats` are those that Pillow may try, all by default; `fill` and `turn` are as in
    `keras_metric.image_files.read`.
    """
    image_module = need("PIL.Image", extra="plots", purpose="Reading image files")
    try:
        with _own_limit(image_module), image_module.open(source, formats=formats) as image:
            size = image.width, image.height
            small = size[0] * size[1] <= most
            picture = np.asarray(upright(image, fill, channels == 1, turn)) if small else None
    except ERRORS as error:
        reason = str(error).replace(repr(source), str(name))
        raise ValueError(
            f"The picture {name} is damaged. Expected: an image that can be read to its end. "
            f"Received: {type(error).__name__}: {reason}."
        ) from error
    if picture is None:
        raise ValueError(
            f"{name} is too large to decode. Expected: at most {most:,} pixels, or as a file a "
            f".npy array, which is read tile by tile. Received: {size[0]} x {size[1]}."
        )
    return picture.reshape(*picture.shape[:2], channels)


def reduced(pixels: np.ndarray, factor: int) -> np.ndarray:
    """Means of `factor` x `factor` pixels, a band at a time: `(H // factor, W // factor, C)`."""
    if factor == 1:
        return np.asarray(pixels)
    rows, columns = (n // factor for n in pixels.shape[:2])
    small = np.empty((rows, columns, pixels.shape[2]), "float32")
    for row in range(rows):
        band = np.asarray(pixels[row * factor : (row + 1) * factor, : columns * factor])
        small[row] = band.reshape(factor, columns, factor, -1).mean((0, 2))
    return np.round(small).astype(pixels.dtype) if pixels.dtype.kind in "iu" else small


def _mapped(file: Path, channels: int) -> np.ndarray:
    try:
        pixels = np.load(file, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ValueError(
            f"{file} cannot be read. Expected: an array saved by numpy.save. Received: {error}."
        ) from error
    if pixels.ndim != 3 or pixels.shape[-1] != channels or pixels.dtype.kind not in "iuf":
        raise ValueError(
            f"{file} does not fit the network. Expected: numbers (H, W, {channels}). "
            f"Received: {pixels.dtype} {pixels.shape}."
        )
    return pixels


@contextmanager
def _own_limit(image_module) -> Iterator[None]:
    """Without Pillow's own limit of pixels, which is below that of a scan."""
    kept, image_module.MAX_IMAGE_PIXELS = image_module.MAX_IMAGE_PIXELS, None
    try:
        yield
    finally:
        image_module.MAX_IMAGE_PIXELS = kept
