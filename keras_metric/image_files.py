"""One picture from a file, turned upright and brought to a size."""

from pathlib import Path
from typing import BinaryIO

import numpy as np

from zoo.datasets.reading._extras import need


def fit(
    file: str | Path | BinaryIO,
    sides: tuple[int, int] | None,
    *,
    resize: str,
    fill: int = 0,
    grey: bool = False,
) -> np.ndarray:
    """`(height, width, 3)` uint8, or one channel when `grey`; see `folders.load` for the options.

    Without `sides` the picture keeps its size. Transparent parts show `fill`. Of an animation the
    first frame counts. Raises `ValueError` for a file that cannot be decoded to its end or an
    unknown `resize`.
    """
    if resize not in ("letterbox", "crop", "stretch"):
        raise ValueError(
            "Unknown way to resize. Expected 'letterbox', 'crop' or 'stretch'. "
            f"Received: {resize!r}."
        )
    image_module = need("PIL.Image", extra="plots", purpose="Reading image files")
    try:
        with image_module.open(file) as image:
            if sides is None:
                picture = upright(image, fill, grey)
            else:
                image.draft("RGB", (4 * sides[1], 4 * sides[0]))
                picture = _resized(upright(image, fill, grey), sides, resize, fill)
            return np.asarray(picture).reshape(picture.height, picture.width, -1)
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as error:
        raise ValueError(
            f"The picture {file} is damaged. Expected an image that can be read to its end. "
            f"Received: {type(error).__name__}: {error}."
        ) from error


def upright(image, fill: int, grey: bool):
    """An image of Pillow as its EXIF data says, in RGB or grey; transparent parts show `fill`.

    It may be `image` itself, turned.
    """
    from PIL import Image, ImageOps

    ImageOps.exif_transpose(image, in_place=True)
    if image.mode.startswith("I;16"):
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    if image.has_transparency_data:
        ground = Image.new("RGBA", image.size, (fill, fill, fill, 255))
        image = Image.alpha_composite(ground, image.convert("RGBA"))
    mode = "L" if grey else "RGB"
    return image if image.mode == mode else image.convert(mode)


def _resized(image, sides: tuple[int, int], resize: str, fill: int):
    from PIL import Image

    height, width = sides
    if resize == "stretch":
        return image.resize((width, height), Image.Resampling.BILINEAR)
    ratios = width / image.width, height / image.height
    ratio = min(ratios) if resize == "letterbox" else max(ratios)
    scaled = max(1, round(image.width * ratio)), max(1, round(image.height * ratio))
    image = image.resize(scaled, Image.Resampling.BILINEAR)
    frame = Image.new(image.mode, (width, height), fill if image.mode == "L" else (fill,) * 3)
    frame.paste(image, ((width - scaled[0]) // 2, (height - scaled[1]) // 2))
    return frame
