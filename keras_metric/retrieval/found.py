"""The result of a search."""

from typing import NamedTuple

import numpy as np


class Found(NamedTuple):
    """The nearest records of each query, nearest first, (Q, k) each.

    If there were fewer than k records, the remaining entries have id -1, distance infinity, label
    None and no metadata.
    """

    ids: np.ndarray
    """int64"""
    distances: np.ndarray
    """float32, in the unit of the index's distance; smaller is nearer"""
    labels: np.ndarray
    """objects: integers, strings or None"""
    metadata: np.ndarray
    """objects: dictionaries"""


def nothing(queries: int, k: int) -> Found:
    """What a search finds where there is nothing."""
    metadata = np.empty((queries, k), object)
    for place in np.ndindex(metadata.shape):
        metadata[place] = {}
    distances = np.full((queries, k), np.inf, np.float32)
    return Found(np.full((queries, k), -1), distances, np.full((queries, k), None), metadata)
