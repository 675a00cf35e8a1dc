"""EvaluateRetrieval measures the set as the encoder is after each epoch."""

import keras
import numpy as np
import pytest

from keras_metric import heads, metrics


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
        self.seen.append(logs.get("val_set_map@2"))
        embeddings = self.model.predict(self.data[0], verbose=0)
        self.exact.append(metrics.map_at_k(embeddings, self.data[1], k=2))


def test_logs_hold_the_exact_value_after_each_epoch(rng):
    images, labels = data(rng)
    model, now = net(), Now(images, labels)
    measure = metrics.EvaluateRetrieval(images, labels, k=(1, 2), batch_size=16)
    history = model.fit(
        images, rng.normal(size=(40, 2)), epochs=3, verbose=0, callbacks=[measure, now]
    ).history
    assert history["val_set_map@2"] == now.seen == pytest.approx(now.exact)
    assert len(set(now.exact)) > 1
    assert "val_set_recall@1" in history


def test_every_second_epoch(rng):
    images, labels = data(rng)
    measure = metrics.EvaluateRetrieval(images, labels, k=1, every=2)
    history = (
        net()
        .fit(images, rng.normal(size=(40, 2)), epochs=5, verbose=0, callbacks=[measure])
        .history
    )
    assert len(history["val_set_recall@1"]) == 2


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


def test_a_head_of_ours_is_left_out(rng):
    images, labels = data(rng)
    encoder = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)])
    head = heads.ArcFace(5)
    model = keras.Sequential([encoder, head])
    model.compile("sgd", head.loss())
    measure = metrics.EvaluateRetrieval(images, labels, k=1)
    history = model.fit(images, labels, epochs=2, verbose=0, callbacks=[measure]).history
    exact = metrics.recall_at_k(encoder.predict(images, verbose=0), labels)
    assert history["val_set_recall@1"][-1] == exact
    assert metrics.recall_at_k(model.predict(images, verbose=0), labels) != exact


def test_its_keys_are_not_those_of_the_metrics_in_batches(rng):
    images, labels = data(rng)
    model = net()
    model.compile("sgd", "mse", metrics=[metrics.RecallAtK(1)])
    measure = metrics.EvaluateRetrieval(images, labels, measures=["recall@1", "map@r"])
    valid = (images, labels[:, None])
    history = model.fit(
        *valid, validation_data=valid, validation_batch_size=8, verbose=0, callbacks=[measure]
    ).history
    keys = {"loss", "recall@1", "val_loss", "val_recall@1", "val_set_recall@1", "val_set_map@r"}
    assert history.keys() == keys
    assert history["val_recall@1"] != history["val_set_recall@1"]


def test_several_labels_a_sample(rng):
    images, labels = data(rng)[0], rng.integers(2, size=(40, 6))
    model = net()
    measure = metrics.EvaluateRetrieval(images, labels, multi_label=True, measures="ndcg@5")
    measure.set_model(model)
    embeddings = model.predict(images, verbose=0)
    exact = metrics.ndcg_at_k(embeddings, labels, k=5, multi_label=True)
    assert measure.measure() == {"ndcg@5": pytest.approx(exact)}


class Pairs(keras.utils.PyDataset):
    def __init__(self, images, labels):
        super().__init__()
        self.images, self.labels = images, labels

    def __len__(self):
        return 4

    def __getitem__(self, index):
        return self.images[index * 10 :][:10], self.labels[index * 10 :][:10]


@pytest.mark.parametrize("form", ["batched", "single", "shuffled", "PyDataset"])
def test_takes_a_dataset_of_images_with_labels(form, rng):
    images, labels = data(rng)
    if form == "PyDataset":
        dataset = Pairs(images, labels)
    else:
        tf = pytest.importorskip("tensorflow")
        dataset = tf.data.Dataset.from_tensor_slices((images, labels))
        dataset = dataset.shuffle(40) if form == "shuffled" else dataset
        dataset = dataset if form == "single" else dataset.batch(16)
    model = net()
    for gallery in ((), (None, dataset)):
        measure = metrics.EvaluateRetrieval(dataset, *gallery, k=1, batch_size=7)
        measure.set_model(model)
        embeddings = model.predict(images, verbose=0)
        both = (embeddings, labels) * (2 if gallery else 1)
        assert measure.measure() == pytest.approx(metrics.retrieval(*both, k=1))


ONES = np.ones((8, 3), "float32")


@pytest.mark.parametrize(
    ("arguments", "options", "words"),
    [
        ((ONES, np.arange(8) % 2), {}, "Expected: k from 1 to 7. Received: k=10"),
        ((ONES, np.arange(7) % 2), {"k": 1}, "one label an image. Received: 8 images and 7 labels"),
        ((ONES, np.arange(8)), {"k": 1}, "nothing to measure.*Expected.*8 candidates"),
        ((ONES,), {"k": 1}, "images have no labels. Expected.*Received: ndarray"),
        ((ONES, list("aabbccdd")), {"k": 1}, "Expected: integers.*Received: <U1"),
        ((ONES, np.arange(8) % 2), {"measures": ["recal@1"]}, "Unknown measure. Expected: one of"),
        ((ONES, np.arange(8) % 2), {"k": 1, "every": 0}, "every is out of range"),
        ((ONES, np.arange(8) % 2), {"k": 1, "distance": "cos"}, "Unknown distance"),
        ((ONES, np.arange(8) % 2, ONES), {"k": 1}, "both or neither. Received: only gallery"),
    ],
)
def test_refuses_at_once(arguments, options, words):
    with pytest.raises(ValueError, match=words):
        metrics.EvaluateRetrieval(*arguments, **options)


def test_refuses_datasets_without_labels_or_end():
    tf = pytest.importorskip("tensorflow")
    images, labels = tf.data.Dataset.from_tensor_slices(ONES), np.arange(8) % 2
    both = tf.data.Dataset.from_tensor_slices((ONES, labels))
    for dataset, words in (
        (images, "elements .image, integer label"),
        (both.map(lambda x, y: (x, tf.cast(y, tf.float32))), "elements .image, integer label"),
        (both.repeat(), "never end. Expected: a finite dataset"),
        (both.take(0), "are empty. Expected: at least one batch.*Received: none"),
    ):
        with pytest.raises(ValueError, match=words):
            metrics.EvaluateRetrieval(dataset, k=1)
