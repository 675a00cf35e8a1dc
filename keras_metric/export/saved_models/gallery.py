"""The records of an index inside a SavedModel: embeddings, ids, labels, and their distance."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np

from keras_metric import distances
from keras_metric.preprocessing import Preprocessing, check_same

if TYPE_CHECKING:
    import tensorflow as tf

    from keras_metric.retrieval import Index


@dataclass(frozen=True, eq=False)
class Gallery:
    """What a model finds neighbors in.

    Attributes:
        embeddings: (N, D) float32, as the index compares them.
        ids: (N,) int64, those of the index.
        classes: (N,) int64, places in `names`; -1 for a record without a label.
        names: the labels that occur, as text, each once.
        distance: its name in `keras_metric.distances`.
        threshold: the distance up to which two images count as the same, or None.
        preprocessing: of the pictures in the index, where it says so.
    """

    embeddings: np.ndarray
    ids: np.ndarray
    classes: np.ndarray
    names: tuple[str, ...]
    distance: str
    threshold: float | None
    preprocessing: Preprocessing | None = None

    @classmethod
    def of(
        cls, index: "Index", model: keras.Model, preprocessing: Preprocessing | None = None
    ) -> "Gallery":
        """The records of an index of `model`.

        Raises:
            TypeError: no index.
            ValueError: an empty index, one of another model, or a label with a line break.
        """
        from keras_metric.retrieval import Index, fingerprint
        from keras_metric.retrieval.encoding import refuse_another

        if not isinstance(index, Index):
            raise TypeError(
                "The gallery is not an index. Expected: a keras_metric.retrieval.Index. "
                f"Received: {type(index).__name__}."
            )
        if not len(index):
            raise ValueError(
                "The gallery is empty. Expected: an index with records. Received: an empty one."
            )
        made = index.preprocessing
        if made is not None and preprocessing is not None:
            served = replace(preprocessing, size=preprocessing.size or made.size)
            check_same(made, served, "The gallery")
        refuse_another(index.fingerprint, fingerprint(model), "The model")
        ids, embeddings, labels = index.records()
        names, classes = _numbered(labels)
        threshold = index.calibration and index.calibration.threshold
        return cls(embeddings, ids, classes, names, index.distance, threshold, made)

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


@dataclass(frozen=True, eq=False)
class GalleryVariables:
    """A gallery in TensorFlow's variables; `labels` gives the name of a class, if any has one."""

    gallery: Gallery
    embeddings: "tf.Variable"
    ids: "tf.Variable"
    classes: "tf.Variable"
    labels: "tf.lookup.StaticHashTable | None"

    @classmethod
    def of(cls, gallery: Gallery, labels) -> "GalleryVariables":
        import tensorflow as tf

        arrays = (gallery.embeddings, gallery.ids, gallery.classes)
        return cls(gallery, *(tf.Variable(array, trainable=False) for array in arrays), labels)

    def nearest(self, queries, count: int) -> tuple:
        """Distances, nearest first, and places of the records, `(B, D) -> (B, k), (B, k)`.

        The ranking is one matrix product; the distances of the few are then exact near 0.
        """
        import tensorflow as tf

        ranks = distances.ranking(self.gallery.distance)(queries, self.embeddings)
        count = min(count, len(self.gallery.ids))
        places = tf.math.top_k(-ranks, count)[1]
        records = tf.reshape(tf.gather(self.embeddings, places), [-1, queries.shape[-1]])
        between = distances.paired(self.gallery.distance)
        exact = tf.reshape(between(tf.repeat(queries, count, axis=0), records), [-1, count])
        found, order = tf.math.top_k(-exact, count)
        return -found, tf.gather(places, order, batch_dims=1)

    def records(self, found, places) -> dict:
        """The records at some places by the names of the signature's outputs."""
        import tensorflow as tf

        classes = tf.gather(self.classes, places)
        names = (
            tf.fill(tf.shape(places), "") if self.labels is None else self.labels.lookup(classes)
        )
        answer = {"distances": found, "ids": tf.gather(self.ids, places), "labels": names}
        limit = self.gallery.threshold
        return answer if limit is None else {**answer, "same": found <= limit}


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
