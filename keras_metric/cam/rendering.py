"""Raw maps to maps in the image's size: ReLU, normalization, resizing, normalization."""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

EPSILON = 1e-7
ROUNDING = 1e-6  # more than three interpolations in a row of values up to 1 can be off
NORMALIZATIONS = ("minmax", "max", "none")


def rendered(maps, size: tuple[int, ...], relu: bool = True, normalize: str = "minmax"):
    """`(..., h, w) -> (..., H, W)`.

    With the defaults: ReLU, `m / (max m + 1e-7)` after `m - min m`, half-pixel bilinear, and the
    same normalization again, as pytorch-grad-cam 1.5.7 does. The second one is also applied to
    the small maps, since interpolation is linear and its weights add up to 1; only the extremes are
    computed in the image's size.

    Args:
        size: the image's size; one length for signals, three for volumes.
        relu: remove negative evidence. Without it maps are signed.
        normalize: "minmax" (each map to 0..1), "max" (each map over its largest magnitude, signs
            kept) or "none" (magnitudes comparable between images).
    """
    maps = ops.relu(maps) if relu else maps
    if normalize == "none":
        return resized(maps, size)
    scaled = _between_extremes if normalize == "minmax" else _over_largest
    axes = tuple(range(-len(size), 0))
    maps = scaled(maps, maps, axes, 0.0)
    return resized(scaled(maps, resized(maps, size, _extremes), axes, ROUNDING), size)


def _between_extremes(maps, seen, axes, rounding: float):
    """From 0 to 1 between the least and the largest value of `seen`.

    What is yet to be resized keeps so far within that no rounding leaves 0..1; a least of exactly 0
    needs no such room, and black stays black.
    """
    least = ops.min(seen, axis=axes, keepdims=True)
    spread = ops.max(seen - least, axis=axes, keepdims=True)
    room = ops.where(least > 0, rounding, 0.0) if rounding else 0.0
    return (maps - least + room) / (spread + room + rounding + EPSILON)


def _over_largest(maps, seen, axes, rounding: float):
    largest = ops.max(ops.abs(seen), axis=axes, keepdims=True)
    return maps / (largest + rounding + EPSILON)


def interpolation(old: int, new: int) -> np.ndarray:
    """`(old, new)` weights: output centre i reads at (i + 1/2) old / new - 1/2, edges repeated."""
    low, share = _places(old, new)
    weights = np.zeros((old, new), "float32")
    weights[low, np.arange(new)] = 1 - share
    weights[np.minimum(low + 1, old - 1), np.arange(new)] += share.astype("float32")
    return weights


def _places(old: int, new: int) -> tuple[np.ndarray, np.ndarray]:
    """The input centre before each output centre, and how far it lies towards the next."""
    centre = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    low = np.minimum(np.floor(centre).astype(int), max(old - 2, 0))
    return low, centre - low


def _extremes(old: int, new: int) -> np.ndarray:
    """The interpolation at the first and the last output centre between two input centres.

    In between it is linear along every axis, so the extremes of all output centres are among these.
    """
    low, _ = _places(old, new)
    first = np.diff(low, prepend=-1) > 0
    last = np.diff(low, append=old) > 0
    return interpolation(old, new)[:, first | last]


def overlap(old: int, new: int) -> np.ndarray:
    """`(old, new)` weights: each new cell is the mean of the old ones, by how much they overlap."""
    edges = np.arange(new + 1) * old / new
    begin, end = edges[None, :-1], edges[None, 1:]
    cells = np.arange(old)[:, None]
    inside = np.minimum(end, cells + 1) - np.maximum(begin, cells)
    return (np.maximum(inside, 0) * new / old).astype("float32")


def spreading(old: int, new: int) -> np.ndarray:
    """`(old, new)` weights that keep the sum: each old cell's row adds up to 1, at any sizes.

    Interpolation, where there are pixels enough; else each cell is shared out by overlap.
    """
    if new < old:
        weights = overlap(new, old).T.astype("float64")
    else:
        weights = interpolation(old, new).astype("float64")
    return (weights / weights.sum(axis=1, keepdims=True)).astype("float32")


def resized(maps, size: tuple[int, ...], weights: Callable = interpolation):
    """Linear interpolation between pixel centres over the last axes, 1 to 3 of them.

    `weights(old, new)` may be another `(old, new)` matrix than that of the interpolation.
    """
    for axis in range(-len(size), 0):
        if maps.shape[axis] != size[axis]:
            maps = _along(axis, maps, weights(maps.shape[axis], size[axis]))
    return maps


def _along(axis: int, maps, weights: np.ndarray):
    """Multiply one axis by `(old, new)`, without a transposition where none is needed."""
    if axis == -1:
        return ops.matmul(maps, ops.convert_to_tensor(weights))
    if axis == -2:
        return ops.matmul(ops.convert_to_tensor(np.ascontiguousarray(weights.T)), maps)
    turned = ops.matmul(ops.moveaxis(maps, axis, -1), ops.convert_to_tensor(weights))
    return ops.moveaxis(turned, -1, axis)


def check(normalize: str) -> None:
    if normalize not in NORMALIZATIONS:
        raise ValueError(
            f"Unknown normalization. Expected: one of {', '.join(NORMALIZATIONS)}. "
            f"Received: normalize={normalize!r}."
        )


def standard_inputs(inputs):
    """Images of 64 bits or of integers as float32, token numbers untouched.

    Arrays stay arrays: what is compiled turns them into tensors in the quickest way.
    """

    def convert(x):
        if x is None or isinstance(x, str | bytes):
            raise ValueError(f"These are not images. Expected: arrays. Received: {x!r}.")
        x = x if hasattr(x, "dtype") else ops.convert_to_tensor(x)
        if x.shape and x.shape[0] == 0:
            raise ValueError(
                "The batch is empty. Expected: images (B, ...), B at least 1. Received: "
                f"{tuple(x.shape)}."
            )
        kind = keras.backend.standardize_dtype(x.dtype)
        if kind != "float64" and not (len(x.shape) >= 3 and "int" in kind):
            return x
        return x.astype("float32") if isinstance(x, np.ndarray) else ops.cast(x, "float32")

    return keras.tree.map_structure(convert, inputs)
