"""Retrieval of every picture among all others: its neighbors, and the recall of each class."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from keras_metric.retrieval import Index
from zoo.inference.collecting import Collected


@dataclass(frozen=True, eq=False)
class Neighbours:
    """Pictures (N,), and of each the k nearest others, nearest first.

    - `files`, `labels` (N,) numbers into `names`, `embeddings` (N, D).
    - `near` (N, k) rows, `apart` (N, k) distances, `hits` (N, k) whether of the same class.
    """

    files: list[str]
    labels: np.ndarray
    names: list[str]
    embeddings: np.ndarray
    near: np.ndarray
    apart: np.ndarray
    hits: np.ndarray
    distance: str

    @classmethod
    def of(cls, found: Collected, *, k: int, distance: str) -> "Neighbours":
        """The neighbours of the labelled pictures.

        Raises:
            ValueError: not more than k pictures, or fewer than two classes.
        """
        rows, labels, names = found.labelled()
        if k >= len(rows):
            raise ValueError(
                "k is too large. Expected: -k below the number of labelled images, "
                f"{len(rows)}. Received: {k}."
            )
        index = Index(distance=distance)
        index.add(found.embeddings[rows])
        searched = index.search(found.embeddings[rows], k + 1)
        own = searched.ids == np.arange(len(rows))[:, None]
        own[~own.any(axis=1), -1] = True  # pushed out by k + 1 others at the same distance
        near = searched.ids[~own].reshape(-1, k)
        return cls(
            [found.files[row] for row in rows],
            labels,
            names,
            found.embeddings[rows],
            near,
            searched.distances[~own].reshape(-1, k),
            labels[near] == labels[:, None],
            distance,
        )

    def __str__(self) -> str:
        k = self.hits.shape[1]
        return (
            f"{len(self.files):,} images of {len(self.names)} classes: recall@1 "
            f"{self.recall(1):.4f}, recall@{k} {self.recall(k):.4f}"
        )

    def recall(self, k: int, label: int | None = None) -> float:
        """The share of pictures with their class among the k nearest; NaN if no class has 2."""
        asked = ~self._alone if label is None else ~self._alone & (self.labels == label)
        return float(self.hits[asked, :k].any(axis=1).mean()) if asked.any() else float("nan")

    def best(self, rows: int) -> np.ndarray:
        """Pictures whose neighbors all have their class, those with the nearest first."""
        return self._first(self.hits.all(axis=1), self.apart.mean(axis=1), rows)

    def worst(self, rows: int) -> np.ndarray:
        """Pictures with the fewest neighbors of their class, though there are some."""
        score = self.hits.sum(axis=1) + self.apart[:, 0] / (1 + self.apart[:, 0].max())
        return self._first(~self.hits[:, 0] & ~self._alone, score, rows)

    def mistaken(self, rows: int) -> np.ndarray:
        """Pictures whose nearest neighbor has another class, smallest distance first."""
        return self._first(~self.hits[:, 0], self.apart[:, 0], rows)

    def mistakes(self, rows: int) -> list[dict[str, Any]]:
        """The `mistaken` pictures with their nearest neighbour: files, labels, distance."""
        found = []
        for query in self.mistaken(rows):
            near = self.near[query, 0]
            found.append(
                {
                    "image": self.files[query],
                    "label": self.names[self.labels[query]],
                    "nearest": self.files[near],
                    "nearest label": self.names[self.labels[near]],
                    "distance": float(self.apart[query, 0]),
                }
            )
        return found

    def content(self) -> dict[str, Any]:
        k = self.hits.shape[1]
        classes = {
            name: {"images": int((self.labels == label).sum()), **self._recalls(label)}
            for label, name in enumerate(self.names)
        }
        recalls = {"recall@1": self.recall(1), f"recall@{k}": self.recall(k)}
        return {"images": len(self.files), "distance": self.distance, **recalls, "classes": classes}

    def _recalls(self, label: int) -> dict[str, float | None]:
        found = {f"recall@{k}": self.recall(k, label) for k in (1, self.hits.shape[1])}
        return {name: None if np.isnan(value) else value for name, value in found.items()}

    @property
    def _alone(self) -> np.ndarray:
        """Which pictures are the only one of their class."""
        return np.bincount(self.labels)[self.labels] == 1

    def _first(self, chosen: np.ndarray, score: np.ndarray, rows: int) -> np.ndarray:
        found = np.flatnonzero(chosen)
        return found[np.argsort(score[found], kind="stable")[:rows]]
