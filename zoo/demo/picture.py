"""A picture of the page: as shown, and as input of the network."""

import base64
import io
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_metric import image_files, plots
from keras_metric.serve import Refusal
from zoo.datasets.reading.photos import decoded, reduced
from zoo.inference.bulk.pipeline import Reader

MOST_BYTES = 2**24  # of an upload
MOST_PIXELS = 2**25  # as in `keras_metric.export.saved_model`
SIDE = 1024  # pixels of the longer side as shown, at most
FORMATS = ("JPEG", "PNG", "WEBP", "BMP", "GIF")

Shape = tuple[int, int, int]


@dataclass(frozen=True, eq=False)
class Picture:
    """Pixels uint8, in the channels of the network, upright as the EXIF data says.

    - `shown`: `(H, W, C)`, of its own size but for whole pixels joined, `factor` x `factor` to one.
    - `fed`: `(h, w, C)`, stretched to the size that the network takes.
    """

    shown: np.ndarray
    fed: np.ndarray
    factor: int = 1

    @classmethod
    def of(cls, pixels: np.ndarray) -> "Picture":
        """A picture that is of the network's size."""
        return cls(pixels, pixels)


def uploaded(content: bytes, shape: Shape) -> Picture:
    """The picture in the bytes of an upload.

    Its pixels are counted in the header, before anything is decoded. Of an animation the first
    frame is read.

    Raises:
        Refusal: not a JPEG, PNG, WebP, BMP or GIF file, one that breaks off, or of more than
            `MOST_PIXELS`.
    """
    height, width, channels = shape
    try:
        own = decoded(
            io.BytesIO(content), "that was sent", channels, most=MOST_PIXELS, formats=FORMATS
        )
        fed = image_files.read(
            io.BytesIO(content), (height, width), resize="stretch", grey=channels == 1
        )
    except ValueError as error:
        raise Refusal("INVALID_ARGUMENT", str(error)) from error
    except Exception as error:  # the decoders of hostile bytes raise what they like
        raise Refusal(
            "INVALID_ARGUMENT",
            "The picture that was sent cannot be read. Expected: a JPEG, PNG, WebP, BMP or GIF "
            f"file. Received: {type(error).__name__}: {error}.",
        ) from error
    return _of_its_own_size(own, fed)


def from_file(path: str, shape: Shape) -> Picture:
    """The picture of a file in the index.

    Raises:
        Refusal: it is gone, or cannot be read.
    """
    try:
        own = decoded(Path(path), path, shape[2], most=MOST_PIXELS, formats=FORMATS)
    except ValueError as error:
        raise Refusal("NOT_FOUND", str(error)) from error
    fed = Reader(Path(), shape).read(path)
    if isinstance(fed, str):
        raise Refusal("NOT_FOUND", fed)
    return _of_its_own_size(own, fed)


def as_url(pixels: np.ndarray) -> str:
    """A picture as PNG inside an address."""
    return "data:image/png;base64," + base64.b64encode(plots.png(pixels)).decode()


def _of_its_own_size(own: np.ndarray, fed: np.ndarray) -> Picture:
    factor = -(-max(own.shape[:2]) // SIDE)
    if min(own.shape[:2]) < factor:
        raise Refusal(
            "INVALID_ARGUMENT",
            f"The picture is too long. Expected: sides of at most 1 to {SIDE}. Received: "
            f"{own.shape[0]} x {own.shape[1]}.",
        )
    return Picture(reduced(own, factor), fed, factor)
