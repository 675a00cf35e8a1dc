"""What `saved_model` writes for each kind of model, and what it refuses."""

import json

import keras
import numpy as np
import pytest

import keras_metric as km
from keras_metric.export import read_metadata, saved_model
from keras_metric.export.saved_models.graph import session

pytestmark = pytest.mark.tensorflow


def files(folder):
    return sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if p.is_file())


def test_versions_count_up_and_are_never_overwritten(exported, encoder):
    before = {name: (exported / name).read_bytes() for name in files(exported)}
    home = exported.parent
    second = saved_model(encoder, home, signatures=["embed"])
    assert (exported.name, second.name) == ("1", "2")
    assert km.export.versions(home) == [1, 2]
    assert km.export.latest(home) == second
    with pytest.raises(FileExistsError, match="Version 1 .* the next is 3"):
        saved_model(encoder, home, version=1)
    assert {name: (exported / name).read_bytes() for name in files(exported)} == before
    assert saved_model(encoder, home, version=7, signatures=["embed"]).name == "7"
    for wrong in (0, -1, True, "2"):
        with pytest.raises(ValueError, match="Invalid version"):
            saved_model(encoder, home, version=wrong)


def test_a_refused_draft_leaves_nothing(encoder, tmp_path, monkeypatch):
    from keras_metric.export.saved_models import graph

    original = graph.check

    def check_after_damage(*args, **options):
        encoder.layers[-1].bias.assign_add([0, 0, 0, 0, 1e-3])
        original(*args, **options)

    monkeypatch.setattr(graph, "check", check_after_damage)
    with pytest.raises(RuntimeError, match="'embeddings' .* difference of [0-9.e-]+"):
        saved_model(encoder, tmp_path / "model", signatures=["embed"])
    encoder.layers[-1].bias.assign_sub([0, 0, 0, 0, 1e-3])
    assert list((tmp_path / "model").iterdir()) == []


def test_weights_are_stored_once(exported, encoder):
    weights = sum(np.asarray(w).nbytes for w in encoder.weights)
    stored = (exported / "variables" / "variables.data-00000-of-00001").stat().st_size
    assert stored < weights + 1500


def test_metadata_is_read_without_tensorflow(exported, threshold):
    facts = read_metadata(exported.parent / "1")
    assert facts["kind"] == "embedding"
    assert facts["threshold"] == threshold
    assert facts["about"] == {"recipe": "tiny", "license": "MIT"}
    assert facts["versions"]["keras"] == keras.__version__
    assert json.loads((exported / "assets.extra" / "keras_metric.json").read_text()) == facts


def test_triplet_net_brings_its_encoder_and_its_distance(encoder, images, tmp_path):
    net = km.models.TripletNet(encoder, distance="cosine")
    folder = saved_model(net, tmp_path, signatures=["similarity"])
    near_far = np.asarray(net((images, images[::-1], images[:1].repeat(6, 0)), training=False))
    with session(folder) as served:
        distance = served("similarity", {"left": images, "right": images[::-1]})
    assert set(distance) == {"distance"}
    np.testing.assert_allclose(distance["distance"], near_far[:, 0], atol=1e-6)


def test_two_branches_embed_each_on_its_own(encoder, images, tmp_path, rng):
    sketch = keras.Sequential(
        [keras.Input((8, 8, 1)), keras.layers.Flatten(), keras.layers.Dense(5)], name="sketch"
    )
    net = km.models.SiameseNet((encoder, sketch))
    folder = saved_model(net, tmp_path, signatures=["embed_encoder", "embed_sketch", "similarity"])
    drawn = rng.uniform(size=(6, 8, 8, 1)).astype("float32")
    left, right = encoder(images, training=False), sketch(drawn)
    with session(folder) as served:
        answer = served("embed_sketch", {"images": drawn})["embeddings"]
        np.testing.assert_allclose(answer, right, atol=1e-5)
        answer = served("similarity", {"left": images, "right": drawn})["distance"]
        np.testing.assert_allclose(answer, np.linalg.norm(left - right, axis=1), atol=1e-5)


def test_subclassed_model_says_its_image_shape(images, tmp_path):
    class Mean(keras.Model):
        def __init__(self):
            super().__init__()
            self.project = keras.layers.Dense(2)

        def call(self, x):
            return self.project(keras.ops.mean(x, axis=(1, 2)))

    model = Mean()
    with pytest.raises(ValueError, match="image_shape="):
        saved_model(model, tmp_path)
    folder = saved_model(model, tmp_path, image_shape=(None, None, 3))
    with session(folder) as served:
        for cut in (images, images[:, :9, :5]):
            answer = served("serving_default", {"images": cut})["embeddings"]
            np.testing.assert_allclose(answer, np.asarray(model(cut)), atol=1e-5)


def test_fully_convolutional_model_takes_any_size(images, tmp_path):
    model = keras.Sequential(
        [keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3, strides=2, padding="same")]
    )
    folder = saved_model(model, tmp_path)
    with session(folder) as served:
        for cut in (images, images[:, :9, :5]):
            answer = served("dense", {"images": cut})["map"]
            np.testing.assert_allclose(answer, np.asarray(model(cut)), atol=1e-5)


def test_half_precision_answers_in_float32(images, tmp_path):
    model = keras.Sequential(
        [keras.Input((16, 12, 3)), keras.layers.Flatten(), keras.layers.Dense(4)],
    )
    half = keras.Sequential(
        [
            keras.Input((16, 12, 3)),
            keras.layers.Flatten(),
            keras.layers.Dense(4, dtype="mixed_bfloat16"),
        ]
    )
    half.set_weights(model.get_weights())
    with session(saved_model(half, tmp_path, signatures=["serving_default"])) as served:
        answer = served("serving_default", {"images": images})["embeddings"]
    assert answer.dtype == np.float32
    np.testing.assert_allclose(answer, np.asarray(model(images)), atol=0.05)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"signatures": ["nearest"]}, "no such signature. Expected: some of serving_default"),
        ({"signatures": "embed"}, "single string"),
        ({"threshold": float("nan")}, "Unusable threshold"),
        ({"metadata": {"x": object()}}, "metadata cannot be kept"),
        ({"labels": ["a", "a"]}, "Unusable labels"),
        ({"image_shape": (8, 8, 3)}, "image_shape does not fit"),
        ({"distance": "euclidian"}, "did you mean 'euclidean'"),
    ],
)
def test_refusals_come_before_anything_is_written(encoder, tmp_path, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        saved_model(encoder, tmp_path, **options)
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_model_is_refused(tmp_path):
    with pytest.raises(TypeError, match=r"Expected: a keras.Model. Received: str"):
        saved_model("model.keras", tmp_path)
