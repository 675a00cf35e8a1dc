"""Pictures without some of their pixels: filled from the neighbours, or blurred."""

import numpy as np

WEIGHTS = {(0, 1): 1 / 6, (1, 0): 1 / 6, (1, 1): 1 / 12, (1, -1): 1 / 12}


def imputed(images: np.ndarray, removed: np.ndarray, noise: np.ndarray) -> np.ndarray:
    """Each removed pixel becomes the weighted mean of its neighbors (1/6 adjacent, 1/12 diagonal).

    That is a symmetric positive definite system, solved by conjugate gradients for all images and
    channels at once; `noise` is added to what was filled in.

    Args:
        images: `(B, H, W, C)`.
        removed: `(B, H, W)` booleans, not all true.
    """
    free = removed[..., None].astype("float64")
    degree = _neighbours(np.ones(images.shape[1:3])[None, :, :, None])

    def laplacian(x):
        return free * (degree * x - _neighbours(x))

    x = free * images.mean((1, 2), keepdims=True)
    right = free * _neighbours((1 - free) * images)
    residual = right - laplacian(x)
    direction = residual.copy()
    size = _dot(residual, residual)
    for _ in range(4 * max(images.shape[1:3])):
        if size.max() < 1e-12 * max(_dot(right, right).max(), 1e-300):
            break
        turned = laplacian(direction)
        step = size / np.maximum(_dot(direction, turned), 1e-300)
        x += step * direction
        residual -= step * turned
        new = _dot(residual, residual)
        direction = residual + new / np.maximum(size, 1e-300) * direction
        size = new
    return (1 - free) * images + free * (x + noise)


def _dot(a, b):
    return (a * b).sum((1, 2), keepdims=True)


def _neighbours(x: np.ndarray) -> np.ndarray:
    """The weighted sum of the eight neighbours; nothing comes from outside the picture."""
    total = np.zeros_like(x)
    height, width = x.shape[1:3]
    for (dy, dx), weight in WEIGHTS.items():
        for sign in (1, -1):
            here, there = _shifted(sign * dy, height), _shifted(sign * dx, width)
            target = (slice(None), here[0], there[0])
            total[target] += weight * x[(slice(None), here[1], there[1])]
    return total


def _shifted(by: int, length: int) -> tuple[slice, slice]:
    """Where to, and where from, for a shift that drops what leaves the picture."""
    if by >= 0:
        return slice(by, length), slice(0, length - by)
    return slice(0, length + by), slice(-by, length)


def blurred(images: np.ndarray, deviation: float) -> np.ndarray:
    """Gaussian blur along height and width, edges repeated."""
    reach = max(1, int(np.ceil(3 * deviation)))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / deviation) ** 2)
    kernel = kernel / kernel.sum()
    for axis in (1, 2):
        padding = [(0, 0)] * images.ndim
        padding[axis] = (reach, reach)
        padded = np.pad(images, padding, mode="edge")
        length = images.shape[axis]
        images = sum(
            weight * np.take(padded, np.arange(i, i + length), axis=axis)
            for i, weight in enumerate(kernel)
        )
    return images
