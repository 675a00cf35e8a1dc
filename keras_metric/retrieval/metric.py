"""The distances an index can search by, and what the engines compute for them."""

from dataclasses import dataclass

import numpy as np

from keras_metric.metrics.ranking import embedding_matrix, unit_rows

NAMES = ("cosine", "euclidean", "squared_euclidean")
ROWS = 4096  # brought to unit length at a time
LARGEST = 1e15  # beyond it, and below its inverse, the squares leave the range of float32


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
                f"An index cannot search by this distance. Expected: one of {', '.join(NAMES)}. "
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
                f"Embeddings are too large to be compared. Expected: numbers up to {LARGEST:g}. "
                f"Received: {np.abs(array).max():g}."
            )
        return np.ascontiguousarray(array, np.float32)

    def check_stored(self, vectors: np.ndarray) -> None:
        """Refuse rows so small that a Euclidean index could not tell them from zero.

        Raises:
            ValueError: the row's largest number is below 1e-15 and not 0.
        """
        peaks = np.abs(vectors).max(axis=1)
        least = peaks[peaks > 0].min(initial=np.inf)
        if not self.by_product and least < 1 / LARGEST:
            raise ValueError(
                "Embeddings are too small to be compared. Expected: rows of zeros, or with a "
                f"number of {1 / LARGEST:g} or more. Received: {least:g}."
            )

    def distances(self, gaps: np.ndarray) -> np.ndarray:
        """float32 distances, from the gaps that an engine found (`engines.gaps`)."""
        found = {"cosine": gaps / 2, "squared_euclidean": gaps}.get(self.name, np.sqrt(gaps))
        return found.astype(np.float32)
