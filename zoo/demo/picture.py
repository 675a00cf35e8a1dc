"""A picture of the page: as shown, and as input of the network."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from keras_metric import Preprocessing, plots
from keras_metric.location import resized
from keras_metric.serve import Refusal
from zoo.datasets.reading.photos import decoded, reduced
from zoo.inference.bulk.pipeline import Reader

MOST_BYTES = 2**24  # of an upload
MOST_PIXELS = 2**25  # as in `keras_metric.export.saved_model`
SIDE = 1024  # pixels of the longer side as shown, at most
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")

Place = tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels uint8, in the channels of the network, upright as the EXIF data says.

    - `shown`: `(H, W, C)`, of its own size but for whole pixels joined, `factor` x `factor` to one.
    - `fed`: `(h, w, C)`, preprocessed to the size that the network takes.
    """

    shown: np.ndarray
    fed: np.ndarray
    factor: int = 1

    @classmethod
    def of(cls, pixels: np.ndarray) -> "Picture":
        """A picture that is of the network's size."""
        return cls(pixels, pixels)


def uploaded(content: bytes, preprocessing: Preprocessing) -> Picture:
    """The picture in the bytes of an upload.

    Its pixels are counted in the header, before anything is decoded. Of an animation the first
    frame is read.

    Raises:
        Refusal: not a JPEG, PNG, WebP, BMP or GIF file, one that breaks off, or of more than
            `MOST_PIXELS`.
    """
    try:
        own = _own(io.BytesIO(content), "that was sent", preprocessing)
        fed = preprocessing.read(content)
    except ValueError as error:
        raise Refusal("INVALID_ARGUMENT", str(error)) from error
    except Exception as error:  # the decoders of hostile bytes raise what they like
        raise Refusal(
            "INVALID_ARGUMENT",
            "The picture that was sent cannot be read. Expected: a JPEG, PNG, WebP, BMP or GIF "
            f"file. Received: {type(error).__name__}: {error}.",
        ) from error
    return _of_its_own_size(own, fed)


def from_file(path: str, preprocessing: Preprocessing) -> Picture:
    """The picture of a file in the index.

    Raises:
        Refusal: it is gone, or cannot be read.
    """
    try:
        own = _own(Path(path), path, preprocessing)
    except ValueError as error:
        raise Refusal("NOT_FOUND", str(error)) from error
    fed = Reader(Path(), preprocessing).read(path)
    if isinstance(fed, str):
        raise Refusal("NOT_FOUND", fed)
    return _of_its_own_size(own, fed)


def spread(shares: np.ndarray, place: Place, size: tuple[int, int]) -> np.ndarray:
    """A map of what was fed, over all of a picture of `size`, which lies at `place` in it."""
    wide, parts, places = np.zeros(size, shares.dtype), [], []
    for axis, (first, last) in enumerate((place[1::2], place[0::2])):
        seen = max(0, round(first)), min(shares.shape[axis], round(last))
        ratio = size[axis] / (last - first)
        start = min(max(0, round((seen[0] - first) * ratio)), size[axis] - 1)
        stop = min(max(start + 1, round((seen[1] - first) * ratio)), size[axis])
        parts.append(slice(*seen))
        places.append(slice(start, stop))
    target = wide[tuple(places)]
    target[:] = resized(shares[tuple(parts)][None, ..., None], target.shape)[0, ..., 0]
    return wide


def as_url(pixels: np.ndarray) -> str:
    """A picture as PNG inside an address."""
    return "data:image/png;base64," + base64.b64encode(plots.png(pixels)).decode()


def _own(source: Path | BinaryIO, name: str, preprocessing: Preprocessing) -> np.ndarray:
    return decoded(
        source,
        name,
        preprocessing.channels,
        most=MOST_PIXELS,
        formats=FORMATS,
        fill=preprocessing.fill,
        turn=preprocessing.upright,
    )


def _of_its_own_size(own: np.ndarray, fed: np.ndarray) -> Picture:
    factor = -(-max(own.shape[:2]) // SIDE)
    if min(own.shape[:2]) < factor:
        raise Refusal(
            "INVALID_ARGUMENT",
            f"The picture is too long. Expected: sides of at most 1 to {SIDE}. Received: "
            f"{own.shape[0]} x {own.shape[1]}.",
        )
    return Picture(reduced(own, factor), fed, factor)
