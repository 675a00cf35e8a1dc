"""A score map interpolated to a value for every pixel of its image."""

import numpy as np

from keras_metric.convert.geometry.geometry import Geometry


def heat(plane: np.ndarray, geometry: Geometry, size: tuple[int, int] | None = None) -> np.ndarray:
    """The scores `(rows, columns)` at the centers of their windows, interpolated linearly.

    Args:
        plane: one label's scores; of a converted network of images.
        geometry: of that network at the size of the image.
        size: height and width of the result; None is the size of the image.

    Returns:
        `(height, width)` float32. NaN along the border, where no window has its center: half a
        window minus half a stride.

    Raises:
        ValueError: scores of another rank.
    """
    plane = np.asarray(plane, "float32")
    if plane.ndim != 2 or len(geometry.size) != 2:
        raise ValueError(
            "heat draws the scores of one label. Expected: scores (rows, columns). "
            f"Received: shape {plane.shape}."
        )
    size = geometry.size if size is None else size
    axes = [_cells(geometry, axis, size[axis], plane.shape[axis]) for axis in (0, 1)]
    rows, columns = (_between(p, count) for p, count in zip(axes, plane.shape, strict=True))
    drawn = _mixed(_mixed(plane, *rows).T, *columns).T
    for axis, places in enumerate(axes):
        outside = (places < -0.5) | (places > plane.shape[axis] - 0.5)
        drawn[outside if axis == 0 else (slice(None), outside)] = np.nan
    return drawn


def _cells(geometry: Geometry, axis: int, drawn: int, count: int) -> np.ndarray:
    """On which cell the middle of each drawn pixel lies, a fraction between two."""
    pixels = (np.arange(drawn) + 0.5) * geometry.size[axis] / drawn
    middle = geometry.start[axis] + geometry.window[axis] / 2
    return (pixels - middle) / geometry.stride[axis]


def _between(places: np.ndarray, count: int):
    inside = np.clip(places, 0, count - 1)
    below = np.minimum(inside.astype(int), max(count - 2, 0))
    return below, np.minimum(below + 1, count - 1), (inside - below).astype("float32")


def _mixed(plane: np.ndarray, below, above, share) -> np.ndarray:
    return plane[below] * (1 - share)[:, None] + plane[above] * share[:, None]
