"""From raw maps to maps of the image's size: ReLU, normalise, resize, normalise."""

import keras
import numpy as np
from keras import ops

EPSILON = 1e-7
NORMALIZATIONS = ("minmax", "max", "none")


def rendered(maps, size: tuple[int, ...], relu: bool = True, normalize: str = "minmax"):
    """`(..., h, w) -> (..., H, W)`.

    With the defaults: ReLU, `m / (max m + 1e-7)` after `m - min m`, half-pixel bilinear, and the
    same normalisation again, as pytorch-grad-cam 1.5.7 does.

    Args:
        size: the image's size; one length for signals, three for volumes.
        relu: drop evidence against. Without it maps are signed.
        normalize: "minmax" (each map to 0..1), "max" (each map over its largest magnitude, signs
            kept) or "none" (magnitudes comparable between images).
    """
    axes = tuple(range(-len(size), 0))
    maps = ops.relu(maps) if relu else maps
    maps = resized(_normalized(maps, axes, normalize), size)
    return _normalized(maps, axes, normalize)


def _normalized(maps, axes, normalize):
    if normalize == "minmax":
        maps = maps - ops.min(maps, axis=axes, keepdims=True)
        return maps / (ops.max(maps, axis=axes, keepdims=True) + EPSILON)
    if normalize == "max":
        return maps / (ops.max(ops.abs(maps), axis=axes, keepdims=True) + EPSILON)
    return maps


def resized(maps, size: tuple[int, ...]):
    """Linear interpolation between pixel centres over the last axes, 1 to 3 of them."""
    for axis in range(-1, -len(size) - 1, -1):
        if maps.shape[axis] != size[axis]:
            maps = _along(axis, maps, _interpolation(maps.shape[axis], size[axis]))
    return maps


def _along(axis: int, maps, weights: np.ndarray):
    """Multiply one axis by `(old, new)`, without a transposition where none is needed."""
    if axis == -1:
        return ops.matmul(maps, ops.convert_to_tensor(weights))
    if axis == -2:
        return ops.matmul(ops.convert_to_tensor(np.ascontiguousarray(weights.T)), maps)
    turned = ops.matmul(ops.moveaxis(maps, axis, -1), ops.convert_to_tensor(weights))
    return ops.moveaxis(turned, -1, axis)


def _interpolation(old: int, new: int) -> np.ndarray:
    """`(old, new)` weights: output centre i reads at (i + 1/2) old / new - 1/2, edges repeated."""
    centre = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
    low = np.minimum(np.floor(centre).astype(int), max(old - 2, 0))
    weights = np.zeros((old, new), "float32")
    weights[low, np.arange(new)] = 1 - (centre - low)
    weights[np.minimum(low + 1, old - 1), np.arange(new)] += (centre - low).astype("float32")
    return weights


def check(normalize: str) -> None:
    if normalize not in NORMALIZATIONS:
        raise ValueError(
            f"Unknown normalisation. Expected one of: {', '.join(NORMALIZATIONS)}. "
            f"Received normalize={normalize!r}."
        )


def tensor_inputs(inputs):
    """Arrays as tensors; images of 64 bits or of integers as float32, token numbers untouched."""

    def convert(x):
        tensor = ops.convert_to_tensor(x)
        kind = keras.backend.standardize_dtype(tensor.dtype)
        wide = kind == "float64" or (len(tensor.shape) >= 3 and "int" in kind)
        return ops.cast(tensor, "float32") if wide else tensor

    return keras.tree.map_structure(convert, inputs)
