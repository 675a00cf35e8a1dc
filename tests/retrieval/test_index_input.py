"""What is given to an index is what it seems to be, or it is refused before anything is added."""

import os

import keras
import numpy as np
import pytest

from keras_metric.retrieval import Index


def encoder(inputs, outputs):
    keras.utils.set_random_seed(1)
    return keras.Sequential([keras.Input((inputs,)), keras.layers.Dense(outputs)])


def test_inputs_that_are_matrices_go_through_the_encoder(new, rng):
    model = encoder(4, 2)
    index, x = new(model, distance="euclidean"), rng.normal(size=(9, 4)).astype("float32")
    index.add(x)
    assert index.width == 2
    embeddings = model.predict(x, verbose=0)
    np.testing.assert_allclose(index.records()[1], embeddings, rtol=1e-6)
    np.testing.assert_array_equal(index.search(x, k=2).ids, index.search(embeddings, k=2).ids)


@pytest.mark.parametrize(
    ("inputs", "outputs", "width", "words"),
    [
        (4, 2, 3, r"Expected: embeddings \(N, 2\), or inputs \(N, 4\). Received: shape \(9, 3\)"),
        (3, 3, 3, r"Expected: model=.*predict.*Received: shape \(9, 3\)"),
    ],
)
def test_a_matrix_that_could_be_either_is_refused(inputs, outputs, width, words):
    index = Index(encoder(inputs, outputs))
    with pytest.raises(ValueError, match=words):
        index.add(np.ones((9, width)))
    assert len(index) == 0


def test_embeddings_as_wide_as_inputs_are_taken_with_their_model(rng):
    pytest.importorskip("faiss")
    model, x = encoder(3, 3), rng.normal(size=(9, 3)).astype("float32")
    index = Index(model, distance="euclidean")
    index.add(x, model=model)
    np.testing.assert_array_equal(index.records()[1], x)


def test_embeddings_of_another_width_than_the_encoders_are_refused_at_once():
    images = keras.Sequential([keras.Input((2, 2, 1)), keras.layers.Flatten()])
    with pytest.raises(
        ValueError, match=r"Expected: embeddings \(N, 4\). Received: shape \(2, 5\)"
    ):
        Index(images).add(np.ones((2, 5)))


def test_tiny_rows_are_compared_by_cosine_and_refused_by_euclidean(new, rng):
    tiny = (rng.normal(size=(20, 8)) * 1e-25).astype("float32")
    index = new(distance="cosine")
    index.add(tiny)
    assert index.search(tiny, k=1).ids[:, 0].tolist() == list(range(20))
    index = new(distance="euclidean")
    with pytest.raises(ValueError, match="too small to be compared. Expected.*1e-15.*Received"):
        index.add(np.concatenate([np.ones((1, 8), "float32"), tiny]))
    index.add(np.concatenate([np.zeros((1, 8)), np.ones((1, 8))]))
    assert index.search(tiny[:1], k=1).ids[0, 0] == 0


def test_names_of_files_that_are_no_utf_8_come_back(tmp_path):
    pytest.importorskip("faiss")
    name = os.fsdecode(b"caf\xe9.png")
    index = Index()
    index.add(np.eye(2), [name, "plain"], [{"path": name}, {"path": "ünïcode"}])
    again = Index.load(index.save(tmp_path / "index"))
    found = again.search(np.eye(2), k=1)
    assert found.labels[:, 0].tolist() == [name, "plain"]
    assert found.metadata[0, 0] == {"path": name}
    assert found.metadata[1, 0] == {"path": "ünïcode"}
    assert again.search(np.eye(2), k=1, filter={"path": name}).ids[0, 0] == 0


def test_milvus_refuses_them_before_anything_is_added(tmp_path):
    pytest.importorskip("milvus_lite")
    index = Index(engine=str(tmp_path / "index.db"))
    for labels, metadata in ((["a\udce9"], None), (None, [{"path": "a\udce9"}])):
        with pytest.raises(ValueError, match="UTF-8.*Expected.*Received"):
            index.add(np.eye(1), labels, metadata)
    assert len(index) == 0
    index.close()


@pytest.mark.parametrize("with_encoder", [False, True])
def test_data_sets_are_refused_and_batches_of_them_are_not(with_encoder, new):
    tf = pytest.importorskip("tensorflow")
    dataset = tf.data.Dataset.from_tensor_slices((np.eye(4), np.arange(4))).batch(2)
    index = new(encoder(4, 2) if with_encoder else None)
    with pytest.raises(ValueError, match="takes arrays.*Expected: images or embeddings.*Received"):
        index.add(dataset)
    for images, labels in dataset:
        index.add(images, labels)
    assert len(index) == 4


@pytest.mark.parametrize("labels", [np.eye(4, dtype=int), np.arange(4).reshape(2, 2)])
def test_several_labels_a_record_are_refused_by_their_shape(labels, new):
    with pytest.raises(
        ValueError, match="Expected: one for each of 4 emb.*Received: labels of shape"
    ):
        new().add(np.eye(4), labels)
