"""Files for LiteRT and ONNX Runtime: they answer as the SavedModel does, or are not written."""

import keras
import numpy as np
import pytest

import keras_metric as km
from keras_metric.export.portable import single_file as portable

pytestmark = [
    pytest.mark.tensorflow,
    pytest.mark.filterwarnings("ignore"),  # the converters use what numpy and TensorFlow retire
]
WRITERS = {"litert": km.export.to_litert, "onnx": km.export.to_onnx}


@pytest.fixture(params=WRITERS)
def write(request):
    return WRITERS[request.param]


@pytest.fixture(scope="module")
def classifier(tmp_path_factory):
    """A classifier with named classes, of images (16, 12, 3) from 0 to 255."""
    keras.utils.set_random_seed(0)
    layers = keras.layers
    model = keras.Sequential(
        [
            keras.Input((16, 12, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, activation="relu"),
            layers.Conv2D(8, 3, strides=2, padding="same"),
            layers.BatchNormalization(),
            layers.GlobalAveragePooling2D(),
            layers.Dense(6, activation="softmax"),
        ]
    )
    folder = tmp_path_factory.mktemp("classifier")
    return km.export.saved_model(model, folder, signatures=["explain"])


def test_embeddings_and_the_similarity_of_two_images(write, exported, images, tmp_path):
    embedded = write(exported, tmp_path / "embed", samples=images)
    assert (embedded.inputs, embedded.outputs) == (("images",), ("embeddings",))
    assert embedded.bytes == (tmp_path / "embed").stat().st_size > 1000
    assert 0 < embedded.difference < 1e-5
    pair = {"left": images, "right": images[::-1]}
    similar = write(exported, tmp_path / "same", signature="similarity", samples=pair)
    assert set(similar.inputs) == {"left", "right"}
    assert set(similar.outputs) == {"distance", "same"}
    assert sorted(p.name for p in tmp_path.iterdir()) == ["embed", "same"]


def test_maps_leave_too(write, classifier, tmp_path):
    explained = write(classifier, tmp_path / "explain", signature="explain")
    assert {"maps", "scores", "classes"} <= set(explained.outputs)


def test_a_map_of_any_size_is_read_at_another_size(tmp_path, exported):
    net = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 5, name="map")])
    saved = km.export.saved_model(net, tmp_path / "dense")
    larger = np.random.default_rng(1).uniform(size=(2, 40, 31, 3)).astype("float32")
    for name, write in WRITERS.items():
        made = write(saved, tmp_path / name, signature="dense", samples=larger)
        assert made.difference < 1e-5


def test_the_exact_gelu(write, tmp_path, rng):
    net = keras.Sequential([keras.Input((4, 4, 3)), keras.layers.Activation("gelu")])
    saved = km.export.saved_model(net, tmp_path / "net", signatures=["serving_default"])
    samples = rng.normal(size=(4, 4, 4, 3)).astype("float32")
    made = write(saved, tmp_path / "file", samples=samples)
    assert made.difference < 1e-6


def test_an_operation_that_onnx_lacks_is_an_error_in_three_parts(tmp_path):
    import tensorflow as tf

    module = tf.Module()
    module.answer = tf.function(
        lambda x: tf.math.xdivy(x, x), [tf.TensorSpec([None, 3], name="x")], autograph=False
    )
    tf.saved_model.save(module, str(tmp_path / "1"), signatures=module.answer)
    with pytest.raises(RuntimeError, match=r"ONNX cannot express.*Expected: .*Received: .*Xdivy"):
        km.export.to_onnx(tmp_path / "1", tmp_path / "file")
    assert not (tmp_path / "file").exists()


@pytest.mark.parametrize("precision", ["float16", "dynamic", "int8"])
def test_smaller_weights_make_a_smaller_file_and_nearly_the_same_answers(precision, tmp_path):
    layers = keras.layers
    keras.utils.set_random_seed(0)
    net = keras.Sequential(
        [
            keras.Input((12, 12, 3)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Flatten(),
            layers.Dense(16),
        ]
    )
    saved = km.export.saved_model(net, tmp_path / "net")
    samples = np.random.default_rng(0).uniform(size=(40, 12, 12, 3)).astype("float32")
    full = km.export.to_litert(saved, tmp_path / "full.tflite", samples=samples)
    small = km.export.to_litert(
        saved, tmp_path / "small.tflite", precision=precision, samples=samples
    )
    assert small.bytes < 0.6 * full.bytes
    assert full.difference < 1e-5 < small.difference < 5e-2


def test_int8_wants_images(exported, tmp_path):
    with pytest.raises(ValueError, match=r"Expected: samples.* Received: samples=None"):
        km.export.to_litert(exported, tmp_path / "m", precision="int8")


def test_an_unknown_precision_is_refused(exported, tmp_path):
    with pytest.raises(ValueError, match=r"Expected: one of float32, .* Received: 'int4'"):
        km.export.to_litert(exported, tmp_path / "m", precision="int4")


def test_files_and_unknown_signatures_are_refused(write, exported, tmp_path):
    with pytest.raises(ValueError, match=r"serving_default.* Received: 'bytes', which has text"):
        write(exported, tmp_path / "m", signature="bytes")
    with pytest.raises(ValueError, match=r"Received: 'embde'\."):
        write(exported, tmp_path / "m", signature="embde")


def test_nothing_is_overwritten(write, exported, tmp_path):
    (tmp_path / "m").write_text("mine")
    with pytest.raises(FileExistsError, match="never overwritten"):
        write(exported, tmp_path / "m")
    assert (tmp_path / "m").read_text() == "mine"


@pytest.mark.parametrize(
    ("samples", "message"),
    [
        (np.zeros((0, 16, 12, 3)), r"Received: shape \(0, 16, 12, 3\)"),
        (np.zeros((2, 9, 9, 3)), r"Expected: .* of \(16, 12, 3\)"),
        ({"image": np.zeros((2, 16, 12, 3))}, r"Expected: arrays for: images. Received: image"),
    ],
)
def test_samples_that_do_not_fit_are_refused(write, exported, tmp_path, samples, message):
    with pytest.raises(ValueError, match=message):
        write(exported, tmp_path / "m", samples=samples)


def test_what_answers_otherwise_is_not_kept(exported, images, tmp_path):
    source = portable.open_source(exported, "embed", images)

    def off_by_a_hundredth(inputs):
        answers = source.function(**inputs)
        return {name: np.asarray(values) + 0.01 for name, values in answers.items()}

    with pytest.raises(RuntimeError, match=r"'embeddings' .* at most 0.001. Received: 0.0"):
        portable.keep(source, tmp_path / "m", b"content", off_by_a_hundredth, 1e-3)
    assert list(tmp_path.iterdir()) == []
