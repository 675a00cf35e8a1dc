"""A model that carries its gallery answers with neighbours, and shows where they look alike."""

import io

import keras
import numpy as np
import pytest

import keras_metric as km
from keras_metric.export import Runtime, audit, read_metadata, saved_model
from keras_metric.export.saved_models.linear_heads import linear_embedding

pytest.importorskip("faiss")
layers = keras.layers
LABELS = ["ant", "bée", None, 7]


def encoder(*head, shape=(12, 9, 3)) -> keras.Model:
    keras.utils.set_random_seed(3)
    body = [layers.Conv2D(6, 3, strides=2, activation="relu")]
    model = keras.Sequential([keras.Input(shape), layers.Rescaling(1 / 255), *body, *head])
    for weight in model.layers[-2].weights if len(head) > 1 else []:
        weight.assign(weight + 0.01)  # a bias that is not zero
    return model


def dense(**options):
    return layers.Dense(5, **options)


HEADS = {
    "average": [layers.GlobalAveragePooling2D],
    "average, dense": [layers.GlobalAveragePooling2D, dense, layers.Dropout],
    "average, dense, unit": [layers.GlobalAveragePooling2D, dense, layers.UnitNormalization],
    "flat": [layers.Flatten, layers.UnitNormalization],
    "flat, dense, unit": [layers.Flatten, dense, layers.UnitNormalization],
}
NO_HEADS = {
    "largest": [layers.GlobalMaxPooling2D, dense],
    "bent": [layers.GlobalAveragePooling2D, lambda: dense(activation="relu"), dense],
    "normed": [layers.GlobalAveragePooling2D, layers.LayerNormalization],
}


def made(head) -> keras.Model:
    return encoder(*(layer(0.5) if layer is layers.Dropout else layer() for layer in head))


@pytest.fixture(scope="module")
def pictures():
    return np.random.default_rng(4).integers(0, 256, (40, 12, 9, 3)).astype("float32")


def index_of(model, pictures, distance="cosine"):
    index = km.retrieval.Index(model, distance=distance)
    gone = index.add(pictures[:3], ["gone"] * 3)
    index.add(pictures, [LABELS[number % 4] for number in range(len(pictures))])
    index.remove(gone)
    return index


@pytest.fixture(scope="module")
def model():
    return made(HEADS["flat, dense, unit"])


@pytest.fixture(scope="module", params=["cosine", "euclidean"])
def served(request, model, pictures, tmp_path_factory):
    index = index_of(model, pictures, request.param)
    classes = np.arange(len(pictures)) % 2
    index.calibration = km.retrieval.calibrate(
        np.asarray(model.predict(pictures, verbose=0)), classes, far=0.2, distance=request.param
    )
    folder = saved_model(model, tmp_path_factory.mktemp("gallery") / "m", gallery=index, top=4)
    with Runtime(folder, xla=True) as runtime:
        yield folder, runtime, index


def near(pictures):
    noise = np.random.default_rng(5).normal(0, 12, pictures.shape)
    return np.clip(pictures + noise, 0, 255).astype("float32")


@pytest.mark.tensorflow
def test_neighbours_are_those_of_the_index(served, pictures):
    folder, runtime, index = served
    found, answer = index.search(near(pictures), k=4), runtime("neighbours", images=near(pictures))
    np.testing.assert_array_equal(answer["ids"], found.ids)
    np.testing.assert_allclose(answer["distances"], found.distances, atol=1e-5)
    told = [["" if label is None else str(label) for label in row] for row in found.labels]
    assert [[label.decode() for label in row] for row in answer["labels"]] == told
    limit = index.calibration.threshold
    np.testing.assert_array_equal(answer["same"], answer["distances"] <= limit)
    assert answer["same"].any() != answer["same"].all()
    facts = read_metadata(folder)["gallery"]
    wanted = {"records": 40, "width": 5, "distance": index.distance, "labels": 3}
    assert facts == {**wanted, "threshold": limit}


@pytest.mark.tensorflow
def test_a_picture_of_the_gallery_is_nearest_to_itself(served, pictures):
    _, runtime, index = served
    answer = runtime("neighbours", images=pictures)
    np.testing.assert_array_equal(answer["ids"][:, 0], index.ids)
    np.testing.assert_allclose(answer["distances"][:, 0], 0, atol=2e-6)
    assert runtime("neighbours", images=pictures[:0])["ids"].shape == (0, 4)


@pytest.mark.tensorflow
def test_files_of_pictures_and_of_none(served, pictures):
    Image = pytest.importorskip("PIL.Image")
    file = io.BytesIO()
    Image.fromarray(pictures[7].astype(np.uint8)).save(file, "PNG")
    files = [b"no image", file.getvalue()]
    _, runtime, _ = served
    answer = runtime("explain_bytes", image_bytes=files)
    alone = runtime("explain", images=pictures[7:8])
    assert answer["valid"].tolist() == [False, True]
    for name, values in alone.items():
        same = np.testing.assert_allclose if values.dtype.kind == "f" else np.testing.assert_equal
        same(answer[name][1:], values, **({"atol": 1e-5} if values.dtype.kind == "f" else {}))
    assert (answer["ids"][0] == -1).all()
    assert (answer["labels"][0] == b"").all()
    assert (answer["distances"][0] == np.finfo(np.float32).max).all()
    assert not answer["same"][0].any()
    assert not answer["maps"][0].any()


@pytest.mark.tensorflow
def test_the_audit_is_clean_and_the_gallery_is_no_constant(served):
    found = audit(served[0])
    assert found.ok, str(found)
    assert {"neighbours", "explain", "neighbours_bytes", "explain_bytes"} <= set(found.signatures)


@pytest.mark.parametrize("head", HEADS)
def test_shares_add_up_to_the_cosine_and_are_those_of_the_similarity_map(head, pictures):
    model = made(HEADS[head])
    found = linear_embedding(model)
    parts = keras.Model(model.inputs[0], [found.features, found.embedding])
    features, embeddings = parts.predict(pictures[:6], verbose=0)
    pairs = np.stack([np.roll(np.arange(6), shift) for shift in (1, 2)], axis=1)
    others = model.predict(pictures[:6], verbose=0)[pairs]
    maps = keras.ops.convert_to_numpy(found.maps(features, embeddings, others))
    unit = embeddings / np.linalg.norm(embeddings, axis=-1, keepdims=True)
    cosines = (unit[:, None] * unit[pairs]).sum(-1)
    np.testing.assert_allclose(maps.sum((2, 3)), cosines, atol=1e-5)
    cam = km.cam.SimilarityCAM(model, layer=model.layers[1], similarity="cosine")
    wanted = cam(pictures[:6], pictures[pairs[:, 1]], raw=True).first
    np.testing.assert_allclose(maps[:, 1], wanted, atol=1e-4)


@pytest.mark.parametrize("head", NO_HEADS)
def test_other_heads_draw_no_maps(head):
    assert linear_embedding(made(NO_HEADS[head])) is None


@pytest.mark.tensorflow
def test_maps_stay_out_where_they_would_not_be_exact(pictures, tmp_path):
    model = made(NO_HEADS["largest"])
    folder = saved_model(model, tmp_path, gallery=index_of(model, pictures))
    with Runtime(folder, xla=True) as runtime:
        assert "neighbours" in runtime.signatures
        assert "explain" not in runtime.signatures
        assert runtime("neighbours", images=pictures[:2])["ids"].shape == (2, 5)


@pytest.mark.tensorflow
def test_a_gallery_smaller_than_the_answer(model, pictures, tmp_path):
    index = km.retrieval.Index(model, distance="squared_euclidean")
    index.add(pictures[:2])
    folder = saved_model(model, tmp_path, gallery=index, signatures=["neighbours"])
    with Runtime(folder, xla=True) as runtime:
        answer = runtime("neighbours", images=pictures[:3])
    assert answer["ids"].shape == (3, 2)
    assert set(answer["labels"].ravel()) == {b""}
    assert "same" not in answer


def test_what_is_no_gallery_of_the_model_is_refused(model, pictures, tmp_path):
    other = made(HEADS["average, dense, unit"])
    classifier = encoder(layers.GlobalAveragePooling2D(), layers.Dense(5, activation="softmax"))
    foreign = km.retrieval.Index(distance="cosine")
    foreign.add(np.eye(7, dtype="float32"))
    wide = km.retrieval.Index(distance="cosine")
    wide.add(np.eye(5, dtype="float32"))
    lines = km.retrieval.Index(model)
    lines.add(pictures[:1], ["two\nlines"])
    for wrong, given, message in (
        (model, index_of(other, pictures), "The model is another model than the one"),
        (model, km.retrieval.Index(model), "Expected: an index with records"),
        (model, pictures, "Expected: a keras_metric.retrieval.Index. Received: ndarray"),
        (model, foreign, "Expected: embeddings of 5 numbers. Received: of 7"),
        (model, lines, "Expected: text without line breaks"),
        (
            classifier,
            wide,
            "a model of embeddings with one input. Received: one of kind 'classifier'",
        ),
    ):
        with pytest.raises((ValueError, TypeError), match=message):
            saved_model(wrong, tmp_path / "model", gallery=given)
    assert not list(tmp_path.glob("model/*"))


@pytest.mark.tensorflow
def test_records_nearer_than_a_product_can_tell_come_in_order():
    import tensorflow as tf

    from keras_metric.export.saved_models.gallery import Gallery, GalleryVariables

    apart = np.array([5, 2, 7, 1, 3, 6, 4], np.float32) / 128
    records = np.full((7, 4), 1000, np.float32)
    records[:, 0] += apart
    nobody = np.full(7, -1)
    gallery = Gallery(records, np.arange(10, 17), nobody, (), "euclidean", None)
    found, places = GalleryVariables.of(gallery, None).nearest(tf.fill([1, 4], 1000.0), 7)
    np.testing.assert_array_equal(places[0], np.argsort(apart))
    np.testing.assert_allclose(found[0], np.sort(apart), rtol=1e-5)
