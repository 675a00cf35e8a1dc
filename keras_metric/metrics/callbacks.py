"""Measures a held-out set, exactly, while `fit` runs."""

from collections.abc import Callable, Sequence

import keras

from keras_metric.metrics.neighbours import retrieval


class EvaluateRetrieval(keras.callbacks.Callback):
    """Writes `val_recall@1` and the other retrieval measures into the logs of an epoch.

        net.fit(batches, epochs=9, callbacks=[EvaluateRetrieval(images, labels), EarlyStopping(
            "val_recall@1", mode="max", patience=3)])

    The whole set is embedded after the epoch and measured by `retrieval`, so the value does not
    depend on batches. Callbacks listed after this one see the measures.

    Args:
        images: whatever `encoder.predict` takes: the queries, and without a gallery the
            candidates. labels: integers (Q,).
        encoder: model that embeds one image, or two for queries and gallery; default the encoders
            of the network being fitted, or that model itself.
        every: measure at each `every`-th epoch and leave the others out of the logs.
        k, distance: as for `retrieval`.
    """

    def __init__(
        self,
        images,
        labels,
        gallery=None,
        gallery_labels=None,
        *,
        encoder: keras.Model | tuple[keras.Model, keras.Model] | None = None,
        k: int | Sequence[int] = (1, 5, 10),
        distance: str | Callable = "euclidean",
        batch_size: int = 128,
        every: int = 1,
    ):
        super().__init__()
        self.images, self.labels = images, labels
        self.gallery, self.gallery_labels = gallery, gallery_labels
        self.encoder, self.k, self.distance = encoder, k, distance
        self.batch_size, self.every = batch_size, every

    def on_epoch_end(self, epoch: int, logs: dict | None = None):
        if (epoch + 1) % self.every == 0 and logs is not None:
            measured = self.measure()
            logs.update({f"val_{name}": value for name, value in measured.items()})

    def measure(self):
        """The `Scores` of the set, as the encoder is now."""
        encoder = self.encoder or getattr(self.model, "encoders", self.model)
        of_queries, of_gallery = encoder if isinstance(encoder, tuple) else (encoder, encoder)
        queries = of_queries.predict(self.images, batch_size=self.batch_size, verbose=0)
        gallery = self.gallery
        if gallery is not None:
            gallery = of_gallery.predict(gallery, batch_size=self.batch_size, verbose=0)
        return retrieval(
            queries, self.labels, gallery, self.gallery_labels, k=self.k, distance=self.distance
        )
