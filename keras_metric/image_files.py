"""Image files: list those of a folder, and read one as an array. This module does not import Keras.

Training, embedding, searching and the demo page read through these functions, so an image has
the same pixels everywhere.
"""

import os
from collections.abc import Iterator
from contextlib import suppress
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

__all__ = [
    "ERRORS",
    "HIDDEN",
    "INTERPOLATIONS",
    "NOT_AN_IMAGE",
    "RESIZES",
    "SUFFIXES",
    "Found",
    "Unreadable",
    "below",
    "header_fault",
    "letterboxed",
    "one_of",
    "read",
    "sized",
    "upright",
]

SUFFIXES = (
    ".avif",
    ".bmp",
    ".gif",
    ".heic",
    ".heif",
    ".jpeg",
    ".jpg",
    ".png",
    ".ppm",
    ".tif",
    ".tiff",
    ".webp",
)
HIDDEN = "hidden"
NOT_AN_IMAGE = "not an image by its name"
ERRORS = (OSError, SyntaxError, ValueError)  # of Pillow, for a file that it cannot read

RESIZES = ("stretch", "letterbox", "crop")
INTERPOLATIONS = ("bilinear", "bicubic")

_RUN_LENGTHS = (1, 2)  # compressions of BMP files
_BY_EXTRA = (".heic", ".heif")


class Unreadable(ValueError):
    """A file that is not an image or cannot be decoded completely; the message names it."""


class Found(NamedTuple):
    """A file in a folder; `reason` says why it is not an image, None if it is one."""

    path: Path
    reason: str | None


def below(folder: str | Path) -> Iterator[Found]:
    """Every file in `folder` and below, sorted, judged by its name; a hidden folder is one entry.

    Links to folders are not followed.

    Raises:
        FileNotFoundError: no such folder.
        PermissionError: a folder that cannot be listed.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(
            f"There are no photographs below {folder}. Expected: a folder of pictures. Received: "
            f"{'a file' if Path(folder).exists() else 'no such folder'}."
        )
    for here, folders, names in os.walk(folder, onerror=_refuse):
        hidden = [name for name in folders if name.startswith(".")]
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        yield from (Found(Path(here, name), HIDDEN) for name in sorted(hidden))
        for name in sorted(names):
            if name.startswith("."):
                reason = HIDDEN
            else:
                reason = None if name.lower().endswith(SUFFIXES) else NOT_AN_IMAGE
            yield Found(Path(here, name), reason)


def read(
    file: str | Path | BinaryIO,
    sides: tuple[int, int] | None,
    *,
    resize: str = "stretch",
    fill: int = 0,
    grey: bool = False,
    interpolation: str = "bilinear",
    turn: bool = True,
) -> np.ndarray:
    """`(height, width, 3)` uint8, or one channel when `grey`; upright as its EXIF data says.

    Without `sides` the picture keeps its size. Transparent parts show `fill`. Of an animation the
    first frame is read.

    - `resize`: "stretch" changes the shape, "letterbox" keeps the whole picture and its shape and
      pads with `fill`, "crop" keeps the shape and cuts off what lies outside of the middle.
    - `interpolation`: "bilinear" or "bicubic"; when a picture becomes smaller, both average over
      all of its pixels.
    - `turn`: False ignores the EXIF rotation.

    Raises:
        Unreadable: a file that cannot be decoded completely, or pixels that are not 0 to 255, such
            as NaN; it is a `ValueError`.
        ValueError: an unknown `resize` or `interpolation`.
        ImportError: Pillow is missing.
    """
    one_of("way to resize", resize, RESIZES)
    one_of("interpolation", interpolation, INTERPOLATIONS)
    pillow = _pillow()
    try:
        with pillow.open(file) as image:
            if sides is not None:
                image.draft("RGB", (4 * sides[1], 4 * sides[0]))
            picture = upright(image, fill, grey, turn)
            if sides is not None:
                picture = sized(picture, sides, resize, fill, interpolation)
            return np.asarray(picture).reshape(picture.height, picture.width, -1)
    except (*ERRORS, pillow.DecompressionBombError) as error:
        raise Unreadable(
            f"The picture {_name(file)} is damaged. Expected: an image that can be read to its end"
            f"{_decoder(file)}. Received: {type(error).__name__}: {error}."
        ) from error


def header_fault(file: str | Path) -> str | None:
    """Why the header of a file is not that of an image; None if it is."""
    pillow = _pillow()
    try:
        with pillow.open(file):
            return None
    except (*ERRORS, pillow.DecompressionBombError) as error:
        return f"unreadable: {type(error).__name__}{_decoder(file)}"


def upright(image, fill: int, grey: bool, turn: bool = True):
    """A Pillow image, rotated by its EXIF data, in RGB or gray; transparent parts show `fill`.

    The result may be `image` itself. Raises `ValueError` for pixels that are not 0 to 255.
    """
    from PIL import Image, ImageOps

    _refuse_what_no_graph_reads(image)
    if turn:
        ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I") or image.mode == "F":
        image = Image.fromarray(_as_bytes(np.asarray(image), image.mode))
    if image.mode == "CMYK":
        image = Image.fromarray(_without_ink(np.asarray(image)))
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, (fill, fill, fill, 255))
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    mode = "L" if grey else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _refuse_what_no_graph_reads(image) -> None:
    """A served model would take these pictures for others, or for none."""
    if image.format == "BMP" and image.info.get("compression") in _RUN_LENGTHS:
        raise ValueError("a run-length encoded BMP, not one of plain pixels")
    if image.format == "GIF" and image.tile and tuple(image.tile[0][1]) != (0, 0, *image.size):
        raise ValueError("a GIF whose first frame does not fill it")


def _without_ink(pixels: np.ndarray) -> np.ndarray:
    """Cyan, magenta, yellow and black (H, W, 4) as RGB, rounded as TensorFlow does."""
    light = 255 - pixels.astype(np.uint16)
    return (light[..., :3] * light[..., 3:] // 255).astype(np.uint8)


def _as_bytes(pixels: np.ndarray, mode: str) -> np.ndarray:
    """Pixels of 16 or 32 bits, integers or floats, as 0 to 255."""
    if mode != "F" and (mode.startswith("I;16") or 255 < pixels.max() < 2**16):
        pixels = pixels >> 8
    least, most = pixels.min(), pixels.max()
    fraction = mode == "F" and 0 < most <= 1
    if not (least >= 0 and most <= 255) or fraction:  # NaN compares as False
        raise ValueError(
            "pixels out of range. Expected: finite numbers from 0 to 255"
            f"{', not fractions of 1' if fraction else ''}. Received: {least:g} to {most:g}"
        )
    return pixels.astype(np.uint8)


def sized(
    image, sides: tuple[int, int], resize: str, fill: int = 0, interpolation: str = "bilinear"
):
    """An image of Pillow in RGB or grey, brought to `(height, width)` as `read` says."""
    from PIL import Image

    height, width = sides
    method = Image.Resampling[interpolation.upper()]
    if resize == "stretch":
        return image.resize((width, height), method)
    if resize == "crop":
        return image.resize((width, height), method, _middle(*image.size, width / height))
    tall, wide = letterboxed((image.height, image.width), sides)
    frame = Image.new(image.mode, (width, height), fill if image.mode == "L" else (fill,) * 3)
    frame.paste(image.resize((wide, tall), method), ((width - wide) // 2, (height - tall) // 2))
    return frame


def letterboxed(sides: tuple[int, int], frame: tuple[int, int]) -> tuple[int, int]:
    """Height and width of a picture of `sides` that just fits into `frame`, in its shape."""
    ratio = min(frame[0] / sides[0], frame[1] / sides[1])
    return max(1, round(sides[0] * ratio)), max(1, round(sides[1] * ratio))


def _middle(width: int, height: int, aspect: float) -> tuple[float, float, float, float]:
    """The largest box of an aspect (width over height) in the middle of an image."""
    left = max(0.0, (width - height * aspect) / 2)
    top = max(0.0, (height - width / aspect) / 2)
    return left, top, width - left, height - top


def one_of(what: str, given, known: tuple[str, ...]) -> None:
    """Raises `ValueError` for a `given` that is none of `known`."""
    if given not in known:
        raise ValueError(
            f"Unknown {what}. Expected: one of {', '.join(known)}. Received: {given!r}."
        )


def _pillow():
    """Pillow's module `Image`, which opens HEIC as well where pillow-heif is installed."""
    try:
        image = import_module("PIL.Image")
    except ImportError as error:
        raise ImportError(
            "Reading image files needs the package of the module 'PIL.Image', which is not "
            f'installed. Expected: pip install "keras-metric[plots]". Received: {error}.'
        ) from error
    with suppress(ImportError):  # named where a file needs it
        import_module("pillow_heif").register_heif_opener()
    return image


def _name(file) -> str:
    return "in memory" if type(file) is BytesIO else str(file)


def _decoder(file) -> str:
    """What a file of this name needs to be decoded, if it is not there."""
    suffix = Path(file).suffix.lower() if isinstance(file, str | Path) else ""
    if suffix in _BY_EXTRA:
        return ' (HEIC needs the extra: pip install "keras-metric[heic]")'
    return " (AVIF needs Pillow 11.3 or newer)" if suffix == ".avif" else ""


def _refuse(error: OSError) -> None:
    raise PermissionError(
        f"A folder cannot be read. Expected: to see what is in {error.filename}. Received: {error}."
    ) from error
