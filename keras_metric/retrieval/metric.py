"""The distances an index can search by, and what the engines compute for them."""

from dataclasses import dataclass

import numpy as np

from keras_metric.metrics.ranking import embedding_matrix, unit_rows

NAMES = ("cosine", "euclidean", "squared_euclidean")
ROWS = 4096  # brought to unit length at a time
LARGEST = 1e15  # beyond it the squares leave the range of float32


@dataclass(frozen=True)
class Metric:
    """One of the three, and how it comes from inner products or from squared differences.

    cosine              1 - u·v of the unit vectors; a zero vector is at 1 from everything
    euclidean           |a - b|
    squared_euclidean   |a - b|^2
    """

    name: str

    @classmethod
    def named(cls, name: str) -> "Metric":
        if name not in NAMES:
            raise ValueError(
                f"An index cannot search by this distance. Expected one of {', '.join(NAMES)}. "
                f"Received: {name!r}."
            )
        return cls(name)

    @property
    def by_product(self) -> bool:
        """Whether engines compute inner products, larger is nearer; else squared differences."""
        return self.name == "cosine"

    def prepared(self, embeddings) -> np.ndarray:
        """Embeddings (N, D) as the engines store them: finite float32, of length 1 for cosine.

        Raises:
            ValueError: another shape, NaN, infinity, or a number beyond 1e15 in a Euclidean index.
        """
        array = embedding_matrix(embeddings)
        if self.by_product:
            units = np.empty(array.shape, np.float32)
            for start in range(0, len(array), ROWS):
                units[start : start + ROWS] = unit_rows(array[start : start + ROWS])
            return units
        if np.abs(array).max() > LARGEST:
            raise ValueError(
                f"Embeddings are too large to be compared. Expected numbers up to {LARGEST:g}. "
                f"Received: {np.abs(array).max():g}."
            )
        return np.ascontiguousarray(array, np.float32)

    def distances(self, found: np.ndarray) -> np.ndarray:
        """Distances of the inner products or squared differences that an engine found."""
        if self.by_product:
            return np.maximum(1 - found, 0)
        squares = np.maximum(found, 0)
        return np.sqrt(squares) if self.name == "euclidean" else squares
