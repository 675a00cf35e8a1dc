"""Boxes `(left, top, right, bottom)` in pixels, right and bottom excluded: how much two share."""

import numpy as np

__all__ = ["intersection_over_union"]


def intersection_over_union(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """`(N, 4), (M, 4) -> (N, M)`; boxes are (left, top, right, bottom), empty ones overlap nothing.

    area of the intersection / (area of a + area of b - area of the intersection)
    """
    first = np.maximum(a[:, None, :2], b[None, :, :2])
    last = np.minimum(a[:, None, 2:], b[None, :, 2:])
    shared = np.clip(last - first, 0, None).prod(-1)
    area_a, area_b = ((x[:, 2:] - x[:, :2]).prod(-1) for x in (a, b))
    total = area_a[:, None] + area_b[None] - shared
    return np.divide(shared, total, out=np.zeros_like(shared, dtype="float64"), where=total > 0)
