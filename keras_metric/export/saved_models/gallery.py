"""The records of an index as they travel in a SavedModel: embeddings, ids, labels, a distance."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

if TYPE_CHECKING:
    from keras_metric.retrieval import Index


@dataclass(frozen=True, eq=False)
class Gallery:
    """What a model finds neighbours in.

    Attributes:
        embeddings: (N, D) float32, as the index compares them.
        ids: (N,) int64, those of the index.
        classes: (N,) int64, places in `names`; -1 for a record without a label.
        names: the labels that occur, as text, each once.
        distance: its name in `keras_metric.distances`.
        threshold: the distance up to which two images count as the same, or None.
    """

    embeddings: np.ndarray
    ids: np.ndarray
    classes: np.ndarray
    names: tuple[str, ...]
    distance: str
    threshold: float | None

    @classmethod
    def of(cls, index: "Index", model: keras.Model) -> "Gallery":
        """The records of an index of `model`.

        Raises:
            TypeError: no index.
            ValueError: an empty index, one of another model, or a label with a line break.
        """
        from keras_metric.retrieval import Index, fingerprint
        from keras_metric.retrieval.encoding import refuse_another

        if not isinstance(index, Index):
            raise TypeError(
                "This is no gallery. Expected: a keras_metric.retrieval.Index. "
                f"Received: {type(index).__name__}."
            )
        if not len(index):
            raise ValueError(
                "There is nothing to find. Expected: an index with records. Received: an empty one."
            )
        refuse_another(index.fingerprint, fingerprint(model), "The model")
        ids, embeddings, labels = index.records()
        names, classes = _numbered(labels)
        threshold = index.calibration and index.calibration.threshold
        return cls(embeddings, ids, classes, names, index.distance, threshold)

    def facts(self) -> dict[str, Any]:
        """What the artefact says about it."""
        records, width = self.embeddings.shape
        return {
            "records": records,
            "width": width,
            "distance": self.distance,
            "threshold": self.threshold,
            "labels": len(self.names),
        }

    def save(self, file: Path) -> None:
        names = np.array(self.names, dtype=np.str_)
        limit = np.nan if self.threshold is None else self.threshold
        arrays = {"embeddings": self.embeddings, "ids": self.ids, "classes": self.classes}
        np.savez(file, **arrays, names=names, distance=self.distance, threshold=limit)

    @classmethod
    def load(cls, file: Path) -> "Gallery":
        with np.load(file) as kept:
            limit = float(kept["threshold"])
            return cls(
                kept["embeddings"],
                kept["ids"],
                kept["classes"],
                tuple(kept["names"].tolist()),
                str(kept["distance"]),
                None if np.isnan(limit) else limit,
            )


def _numbered(labels: np.ndarray) -> tuple[tuple[str, ...], np.ndarray]:
    """The different labels as text, and the place of each label among them; -1 for none."""
    texts = ["" if label is None else str(label) for label in labels]
    names = sorted({*texts} - {""})
    broken = [name for name in names if "\n" in name or "\r" in name]
    if broken:
        raise ValueError(
            "Unusable labels in the gallery. Expected: text without line breaks. "
            f"Received: {broken[0]!r}."
        )
    places = {name: place for place, name in enumerate(names)}
    numbers = (places.get(text, -1) for text in texts)
    return tuple(names), np.fromiter(numbers, np.int64, len(texts))
