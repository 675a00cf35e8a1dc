"""A callback that evaluates a held-out set exactly during `fit`."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np

from keras_metric import distances
from keras_metric.arguments import whole
from keras_metric.metrics.neighbours import Scores, check_gallery, checked_measures, scores

__all__ = ["EvaluateRetrieval"]

PREFIX = "val_set_"


class EvaluateRetrieval(keras.callbacks.Callback):
    """Writes retrieval measures of a whole set into the logs of an epoch: `val_set_recall@1`, ...

        net.fit(batches, epochs=9, callbacks=[EvaluateRetrieval(images, labels), EarlyStopping(
            "val_set_recall@1", mode="max", patience=3)])

    The whole set is embedded after the epoch and evaluated as by `retrieval`, so the value does not
    depend on batches. Callbacks listed after this one can use the measures. (`val_recall@1` is that
    of the metric `RecallAtK(1)`, within batches.)

    Args:
        images: any input of `encoder.predict`: the queries, which are also the candidates if there
            is no gallery; with labels (Q,). Or, without `labels`, a `tf.data.Dataset` or a
            `PyDataset` of (image, label); likewise `gallery`.
        encoder: a model that embeds images, or two for queries and gallery; by default the encoders
            of the network being fitted, or that network, without its head if it ends in one of
            `keras_metric.heads`.
        measures: names such as ("recall@1", "map@r"); by default all, at the ranks `k`.
        multi_label: labels are rows of 0 and 1, as for `retrieval`.
        every: evaluate every so many epochs; the other epochs have no such logs.
        prefix: of the keys in the logs.

    Raises:
        ValueError: sets and labels do not match, a measure is unknown, or there are fewer
            candidates than a rank; all when the callback is built.
    """

    def __init__(
        self,
        images,
        labels=None,
        gallery=None,
        gallery_labels=None,
        *,
        encoder: keras.Model | tuple[keras.Model, keras.Model] | None = None,
        k: int | Sequence[int] = (1, 5, 10),
        measures: Sequence[str] | None = None,
        multi_label: bool = False,
        distance: str | Callable = "euclidean",
        batch_size: int = 128,
        every: int = 1,
        prefix: str = PREFIX,
    ):
        super().__init__()
        self.batch_size, self.every = whole("batch_size", batch_size), whole("every", every)
        self.encoder, self.distance = encoder, distances.get(distance)
        self.multi_label, self.prefix = multi_label, prefix
        self.queries, self.labels = _set("images", images, labels, self.batch_size)
        self.gallery = self.gallery_labels = None
        if gallery is not None or gallery_labels is not None:
            if not _gives_labels(gallery):
                check_gallery(gallery, gallery_labels)
            self.gallery, self.gallery_labels = _set(
                "gallery", gallery, gallery_labels, self.batch_size
            )
        self.measures = checked_measures(
            self.labels, self.gallery_labels, k=k, names=measures, multi_label=multi_label
        )
        self._of_head: tuple[Any, keras.Model] | None = None

    def on_epoch_end(self, epoch: int, logs: dict | None = None):
        if (epoch + 1) % self.every == 0 and logs is not None:
            measured = self.measure()
            logs.update({self.prefix + name: value for name, value in measured.items()})

    def measure(self) -> Scores:
        """The measures of the set with the encoder's present weights."""
        encoder = self.encoder or getattr(self.model, "encoders", None) or self._up_to_head()
        of_queries, of_gallery = encoder if isinstance(encoder, tuple) else (encoder, encoder)
        queries, labels = self._embedded(of_queries, self.queries, self.labels)
        candidates = None, None
        if self.gallery is not None:
            candidates = self._embedded(of_gallery, self.gallery, self.gallery_labels)
        options = {"multi_label": self.multi_label, "distance": self.distance}
        return scores(self.measures, queries, labels, *candidates, **options)

    def _embedded(self, encoder, images, labels) -> tuple[np.ndarray, np.ndarray]:
        """Embeddings and their labels, which a stream may give in another order each time."""
        if not _gives_labels(images):
            return encoder.predict(images, batch_size=self.batch_size, verbose=0), labels
        parts = [
            (np.asarray(encoder.predict_on_batch(batch)), names)
            for batch, names in _batches(images)
        ]
        embeddings, names = zip(*parts, strict=True)
        return np.concatenate(embeddings), np.concatenate(names)

    def _up_to_head(self) -> keras.Model:
        """The model being fitted, or what is before its head."""
        model = self.model
        heads = [x for x in getattr(model, "layers", ()) if getattr(x, "reads_embeddings", False)]
        if not heads:
            return model
        if self._of_head is None or self._of_head[0] is not model:
            try:
                self._of_head = model, keras.Model(model.inputs, heads[0].input)
            except (AttributeError, ValueError) as error:
                raise ValueError(
                    f"{model.name!r} ends in the head {heads[0].name!r}, and what comes before it "
                    "cannot be told apart. Expected: EvaluateRetrieval(..., encoder=the model that "
                    f"embeds). Received: {error}"
                ) from error
        return self._of_head[1]


def _set(name: str, images, labels, batch_size: int):
    """The images, or batches of (images, labels), and all labels as NumPy.

    Raises:
        ValueError: they do not fit.
    """
    if labels is not None:
        labels, count = np.asarray(labels), len(images) if hasattr(images, "__len__") else None
        if count not in (None, len(labels)):
            raise ValueError(
                f"{name} and labels must pair up. Expected: one label an image. Received: {count} "
                f"images and {len(labels)} labels."
            )
        return images, labels
    if not _gives_labels(images):
        raise ValueError(
            f"{name} have no labels. Expected: labels, or a tf.data.Dataset or PyDataset of "
            f"(image, label). Received: {type(images).__name__}."
        )
    spec = getattr(images, "element_spec", None)
    if spec is not None:
        pair = isinstance(spec, tuple) and len(spec) == 2
        if not pair or not getattr(getattr(spec[1], "dtype", None), "is_integer", False):
            raise ValueError(
                f"{name} must give images with their labels. Expected: elements (image, integer "
                f"label). Received: {spec}."
            )
        if int(images.cardinality()) == -1:
            raise ValueError(
                f"{name} never end. Expected: a finite dataset. Received: one that repeats."
            )
        images = images if spec[1].shape.rank else images.batch(batch_size)
    labels = [names for _, names in _batches(images)]
    if not labels:
        raise ValueError(
            f"{name} are empty. Expected: at least one batch of images with their labels. "
            "Received: none."
        )
    return images, np.concatenate(labels)


def _gives_labels(images) -> bool:
    return hasattr(images, "element_spec") or isinstance(images, keras.utils.PyDataset)


def _batches(images) -> Iterator[tuple[Any, np.ndarray]]:
    """The batches of a tf.data.Dataset or PyDataset, labels as NumPy."""
    if isinstance(images, keras.utils.PyDataset):
        batches = (images[number] for number in range(len(images)))
    else:
        batches = images.as_numpy_iterator()
    for batch in batches:
        yield batch[0], np.asarray(batch[1])
