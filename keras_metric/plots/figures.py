"""Figures without a window or global state, and images in the form that matplotlib needs."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure
else:
    Figure = "Figure"


def figure(width: float, height: float) -> "Figure":
    """An empty figure of a size in inches; `figure.savefig(path)` writes it.

    Raises:
        ModuleNotFoundError: matplotlib is missing; the message names the command that installs it.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Pictures need matplotlib. Expected: "
            '`pip install "keras-metric[plots]"`. Received: an environment without it.'
        ) from error
    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def outlined(axis, box, color: str, *, width: float = 1.0, style: str = "-") -> None:
    """The outline of `(left, top, right, bottom)`, pixels of the image that the axis shows."""
    from matplotlib.patches import Rectangle

    left, top, right, bottom = box
    line = {"edgecolor": color, "linewidth": width, "linestyle": style}
    corner = (left - 0.5, top - 0.5)
    axis.add_patch(Rectangle(corner, right - left, bottom - top, fill=False, **line))


def shown(image) -> np.ndarray:
    """One image `(H, W, C)` or `(H, W)` as floats of 0..1, grey ones without the channel axis."""
    image = np.asarray(image)
    if np.issubdtype(image.dtype, np.integer):
        image = image / 255
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    return np.clip(image.astype(np.float32), 0, 1)


def rgb(image) -> np.ndarray:
    """One image as `(H, W, 3)` floats from 0 to 1; standardised ones are stretched.

    Raises:
        ValueError: other than `(H, W)`, `(H, W, 1)` or `(H, W, 3)`.
    """
    image = np.asarray(image)
    if image.ndim == 2:
        image = image[..., None]
    if image.ndim != 3 or image.shape[-1] not in (1, 3):
        raise ValueError(
            "Not an image. Expected: an array (H, W), (H, W, 1) or (H, W, 3). "
            f"Received: shape {image.shape}."
        )
    if image.dtype.kind in "iu":
        picture = image / 255.0
    else:
        picture = image.astype("float64")
        low, high = picture.min(), picture.max()
        if low < 0 or high > 1:
            picture = (picture - low) / max(high - low, 1e-12)
    return np.broadcast_to(picture, (*picture.shape[:2], 3))
