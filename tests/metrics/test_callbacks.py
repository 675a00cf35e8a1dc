"""EvaluateRetrieval measures the set as the encoder is after each epoch."""

import keras
import pytest

from keras_metric import metrics


def net(dimension=2):
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(dimension)])
    model.compile(optimizer=keras.optimizers.SGD(0.5), loss="mse")
    return model


def data(rng, size=40):
    return rng.normal(size=(size, 3)).astype("float32"), rng.integers(5, size=size)


class Now(keras.callbacks.Callback):
    """The measures a later callback sees, and what the model scores at that moment."""

    def __init__(self, images, labels):
        super().__init__()
        self.data, self.seen, self.exact = (images, labels), [], []

    def on_epoch_end(self, epoch, logs=None):
        self.seen.append(logs.get("val_map@2"))
        embeddings = self.model.predict(self.data[0], verbose=0)
        self.exact.append(metrics.map_at_k(embeddings, self.data[1], k=2))


def test_logs_hold_the_exact_value_after_each_epoch(rng):
    images, labels = data(rng)
    model, now = net(), Now(images, labels)
    measure = metrics.EvaluateRetrieval(images, labels, k=(1, 2), batch_size=16)
    history = model.fit(
        images, rng.normal(size=(40, 2)), epochs=3, verbose=0, callbacks=[measure, now]
    ).history
    assert history["val_map@2"] == now.seen == pytest.approx(now.exact)
    assert len(set(now.exact)) > 1
    assert "val_recall@1" in history


def test_every_second_epoch(rng):
    images, labels = data(rng)
    measure = metrics.EvaluateRetrieval(images, labels, k=1, every=2)
    history = (
        net()
        .fit(images, rng.normal(size=(40, 2)), epochs=5, verbose=0, callbacks=[measure])
        .history
    )
    assert len(history["val_recall@1"]) == 2


def test_two_encoders_embed_queries_and_gallery(rng):
    (queries, labels), (gallery, gallery_labels) = data(rng), data(rng, 30)
    encoders = net(), net()
    measure = metrics.EvaluateRetrieval(
        queries, labels, gallery, gallery_labels, encoder=encoders, k=3, distance="cosine"
    )
    embedded = [e.predict(x, verbose=0) for e, x in zip(encoders, (queries, gallery), strict=True)]
    expected = metrics.retrieval(
        embedded[0], labels, embedded[1], gallery_labels, k=3, distance="cosine"
    )
    assert measure.measure() == pytest.approx(expected)
