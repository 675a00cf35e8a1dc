"""The signatures of a model that carries a gallery: what is nearest, and where it looks alike."""

from dataclasses import dataclass

import tensorflow as tf

from keras_metric import distances
from keras_metric.export.saved_models.model_parts import Subject
from keras_metric.export.saved_models.signatures import Endpoint, Run, images_of
from keras_metric.export.saved_models.gallery import Gallery


@dataclass(frozen=True, eq=False)
class Shelf:
    """A gallery in TensorFlow's variables; `labels` gives the name of a class, if any has one."""

    gallery: Gallery
    embeddings: tf.Variable
    ids: tf.Variable
    classes: tf.Variable
    labels: tf.lookup.StaticHashTable | None

    @classmethod
    def of(cls, gallery: Gallery, labels: tf.lookup.StaticHashTable | None) -> "Shelf":
        arrays = (gallery.embeddings, gallery.ids, gallery.classes)
        return cls(gallery, *(tf.Variable(array, trainable=False) for array in arrays), labels)

    def nearest(self, queries: tf.Tensor, count: int) -> tuple[tf.Tensor, tf.Tensor]:
        """Distances, nearest first, and places of the records, `(B, D) -> (B, k), (B, k)`.

        The ranking is one matrix product; the distances of the few are then exact near 0.
        """
        ranks = distances.ranking(self.gallery.distance)(queries, self.embeddings)
        count = min(count, len(self.gallery.ids))
        places = tf.math.top_k(-ranks, count)[1]
        records = tf.reshape(tf.gather(self.embeddings, places), [-1, queries.shape[-1]])
        between = distances.paired(self.gallery.distance)
        exact = tf.reshape(between(tf.repeat(queries, count, axis=0), records), [-1, count])
        found, order = tf.math.top_k(-exact, count)
        return -found, tf.gather(places, order, batch_dims=1)

    def answer(self, found: tf.Tensor, places: tf.Tensor) -> dict[str, tf.Tensor]:
        """The records at some places by the names of the signature."""
        classes = tf.gather(self.classes, places)
        names = (
            tf.fill(tf.shape(places), "") if self.labels is None else self.labels.lookup(classes)
        )
        answer = {"distances": found, "ids": tf.gather(self.ids, places), "labels": names}
        limit = self.gallery.threshold
        return answer if limit is None else {**answer, "same": found <= limit}


def gallery_endpoints(subject: Subject, run: Run, shelf: Shelf, top: int) -> dict[str, Endpoint]:
    """`neighbours`; and `explain`, with the map of each neighbour, where the encoder has one."""
    branch = subject.branches[0]

    def neighbours(images):
        (queries,) = run(branch)(images).values()
        return shelf.answer(*shelf.nearest(tf.cast(queries, tf.float32), top))

    def explain(images):
        seen = run(subject.explained)(images)
        found, places = shelf.nearest(tf.cast(seen["embeddings"], tf.float32), top)
        others = tf.gather(shelf.embeddings, places)
        maps = subject.likeness.maps(seen["features"], seen["unscaled"], others)
        return {**shelf.answer(found, places), "maps": maps}

    inputs = {"images": images_of(branch)}
    endpoints = {"neighbours": Endpoint(inputs, neighbours)}
    if subject.explained is not None:
        endpoints["explain"] = Endpoint(inputs, explain)
    return endpoints
