"""Indexes and the models that make them: one distance, one set of weights."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_metric.models import SiameseNet
from keras_metric.retrieval import Index, fingerprint

pytestmark = pytest.mark.every_backend

pytest.importorskip("faiss")


def encoder(seed: int = 0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential([keras.Input((4, 4, 1)), layers.Flatten(), layers.Dense(5)])


@pytest.fixture
def images(rng):
    return rng.integers(0, 255, size=(20, 4, 4, 1)).astype("uint8")


def test_images_go_through_the_encoder(images, tmp_path):
    model = encoder()
    index = Index(model, distance="euclidean")
    index.add(images, np.arange(20))
    assert index.search(images, k=1).ids[:, 0].tolist() == list(range(20))
    by_hand = model.predict(images, verbose=0)
    assert index.search(by_hand, k=1, model=model).ids[:, 0].tolist() == list(range(20))
    again = Index.load(index.save(tmp_path / "index"), model)
    assert again.encoder is model
    assert again.search(images, k=1).ids[:, 0].tolist() == list(range(20))


def test_other_weights_are_refused(images, tmp_path):
    index, other = Index(encoder()), encoder(1)
    index.add(images)
    folder = index.save(tmp_path / "index")
    embeddings = other.predict(images, verbose=0)
    words = (
        f"another model.* Expected.*{index.fingerprint[:12]}.*Received: {fingerprint(other)[:12]}"
    )
    for attempt in (
        lambda: Index.load(folder, other),
        lambda: index.add(embeddings, model=other),
        lambda: index.search(embeddings, model=fingerprint(other)),
        lambda: Index.load(folder).search(embeddings, model=other),
    ):
        with pytest.raises(ValueError, match=words):
            attempt()
    assert len(index) == 20


def test_the_first_embeddings_say_whose_they_are(images):
    model = encoder()
    index = Index()
    index.add(model.predict(images, verbose=0), model=model)
    assert index.fingerprint == fingerprint(model)
    unknown = Index()
    unknown.add(np.ones((1, 5)))
    unknown.add(np.ones((1, 5)), model=model)
    assert unknown.fingerprint is None


def test_a_siamese_network_brings_its_distance(images):
    net = SiameseNet(encoder(), distance="squared_euclidean")
    assert Index(net).distance == "squared_euclidean"
    with pytest.raises(
        ValueError, match="Expected: distance='squared_euclidean'.*Received: 'cosine'"
    ):
        Index(net, distance="cosine")
    with pytest.raises(ValueError, match="Expected: one of cosine.*Received: 'manhattan'"):
        Index(SiameseNet(encoder(), distance="manhattan"))


def test_two_encoders_embed_queries_and_records(images):
    first, second = encoder(), encoder(1)
    index = Index(SiameseNet((first, second)))
    index.add(images)
    by_hand = Index(distance="euclidean")
    by_hand.add(second.predict(images, verbose=0))
    expected = by_hand.search(first.predict(images, verbose=0), k=3)
    np.testing.assert_array_equal(index.search(images, k=3).ids, expected.ids)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"distance": "cosin"}, "Expected: one of cosine.*Received: 'cosin'"),
        ({"kind": "hsnw"}, "Unknown kind.*Expected: one of exact.*did you mean 'hnsw'"),
        ({"options": {"nlist": 3}}, "Unknown option of kind 'exact'. Expected: one of none"),
        ({"kind": "ivf", "options": {"nprobes": 3}}, "did you mean 'nprobe'"),
        ({"kind": "ivf", "options": {"nlist": 0}}, "Expected: an integer from 1 on"),
    ],
)
def test_refusals(options, words):
    with pytest.raises(ValueError, match=words):
        Index(**options)


def test_images_need_an_encoder_that_embeds(images):
    maps = keras.Sequential([keras.Input((4, 4, 1)), layers.Conv2D(2, 1)])
    with pytest.raises(ValueError, match="does not embed. Expected.*Received: .20, 4, 4, 2."):
        Index(maps).add(images)
    with pytest.raises(ValueError, match="no images. Expected.*Received: shape .0, 4, 4, 1."):
        Index(encoder()).add(images[:0])
