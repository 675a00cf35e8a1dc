"""Models of other inputs than pictures are exported; image files are for pictures only."""

import keras
import numpy as np
import pytest

from keras_metric.export import Runtime, read_metadata, saved_model

layers = keras.layers
pytestmark = pytest.mark.tensorflow


def pooled(shape, *body) -> keras.Model:
    keras.utils.set_random_seed(5)
    return keras.Sequential([keras.Input(shape), *body, layers.GlobalAveragePooling2D()])


def of_image_and_vector() -> keras.Model:
    image, age = keras.Input((8, 6, 3), name="image"), keras.Input((2,), name="age")
    x = layers.GlobalAveragePooling2D()(layers.Conv2D(4, 3)(image))
    return keras.Model({"image": image, "age": age}, layers.Dense(5)(layers.concatenate([x, age])))


def of_tokens() -> keras.Model:
    tokens = keras.Input((None,), dtype="int32")
    x = layers.GlobalAveragePooling1D()(layers.Embedding(7, 4)(tokens))
    return keras.Model(tokens, layers.Dense(3, activation="softmax")(x))


def conv(**options) -> list:
    return [layers.Conv2D(4, 3, **options)]


ALL = {"serving_default", "embed", "similarity"}
CASES = {
    "2 channels": (lambda: pooled((8, 6, 2), *conv()), ALL),
    "11 channels": (lambda: pooled((8, 6, 11), *conv()), ALL),
    "channels first": (lambda: pooled((3, 8, 6), layers.Permute((2, 3, 1)), *conv()), ALL),
    "three pixels wide": (
        lambda: keras.Sequential(
            [keras.Input((4, 5, 3)), layers.GlobalMaxPooling2D(data_format="channels_first")]
        ),
        ALL,
    ),
    "signal": (
        lambda: keras.Sequential(
            [keras.Input((20, 2)), layers.Conv1D(4, 3), layers.GlobalMaxPooling1D()]
        ),
        ALL,
    ),
    "vector": (lambda: keras.Sequential([keras.Input((5,)), layers.Dense(2)]), ALL),
    "signal, a map of any length": (
        lambda: keras.Sequential([keras.Input((None, 2)), layers.Conv1D(4, 3)]),
        {"serving_default", "dense"},
    ),
    "segments": (
        lambda: keras.Sequential([keras.Input((8, 6, 3)), layers.Reshape((16, 9))]),
        {"serving_default", "bytes"},
    ),
    "image and vector": (of_image_and_vector, {"serving_default", "embed"}),
    "tokens": (of_tokens, {"serving_default", "classify"}),
}


@pytest.mark.parametrize("case", CASES)
def test_the_float_signature_answers_as_the_model(case, tmp_path, rng):
    build, signatures = CASES[case]
    model = build()
    folder = saved_model(model, tmp_path)
    given = {}
    for tensor in model.inputs:
        shape = [4, *(length or 9 for length in tensor.shape[1:])]
        name = tensor.name if len(model.inputs) > 1 else "images" if len(shape) == 4 else "inputs"
        whole = tensor.dtype.startswith("int")
        given[name] = rng.integers(0, 7, shape) if whole else rng.uniform(size=shape)
        given[name] = given[name].astype(tensor.dtype)
    wanted = model(given if len(given) > 1 else next(iter(given.values())), training=False)
    with Runtime(folder, xla=True) as served:
        assert set(served.signatures) == signatures
        (answer,) = served(**given).values()
    np.testing.assert_allclose(answer, np.asarray(wanted), atol=1e-5)
    assert read_metadata(folder)["kind"] in ("embedding", "dense", "other", "classifier")


def test_signatures_for_files_of_other_inputs_are_refused(tmp_path):
    with pytest.raises(ValueError, match="no such signature.*Received: bytes"):
        saved_model(pooled((8, 6, 2), *conv()), tmp_path, signatures=["bytes"])
    with pytest.raises(ValueError, match=r"image_shape does not fit.*several inputs"):
        saved_model(of_image_and_vector(), tmp_path, image_shape=(8, 6, 3))
