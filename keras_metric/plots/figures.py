"""Figures without a window or global state, and images as matplotlib wants them."""

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from matplotlib.figure import Figure
else:
    Figure = "Figure"


def figure(width: float, height: float) -> "Figure":
    """An empty figure of so many inches; `figure.savefig(path)` writes it.

    Raises:
        ModuleNotFoundError: matplotlib is missing; the message names the command that installs it.
    """
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "Pictures need matplotlib. Expected the extra of that name: "
            '`pip install "keras-metric[plots]"`. Received: an environment without it.'
        ) from error
    return Figure(figsize=(width, height), dpi=120, layout="constrained")


def shown(image) -> np.ndarray:
    """One image `(H, W, C)` or `(H, W)` as floats of 0..1, grey ones without the channel axis."""
    image = np.asarray(image)
    if np.issubdtype(image.dtype, np.integer):
        image = image / 255
    if image.ndim == 3 and image.shape[-1] == 1:
        image = image[..., 0]
    return np.clip(image.astype(np.float32), 0, 1)
