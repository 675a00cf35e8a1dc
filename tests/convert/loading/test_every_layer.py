"""Every layer of Keras 2: read with the values that Keras 2 computes, or refused by name."""

import functools
import warnings

import numpy as np
import pytest

import keras_metric as km
from keras_metric.convert import ConversionError

pytestmark = pytest.mark.tensorflow
old = pytest.importorskip("tf_keras")
L = old.layers
IMAGE, LINE, VOLUME, VECTOR = (8, 8, 4), (6, 4), (5, 5, 5, 2), (7,)

READ = {
    IMAGE: [
        *(functools.partial(L.Activation, name) for name in ("hard_sigmoid", "swish", "gelu")),
        functools.partial(L.ActivityRegularization, 0.1),
        functools.partial(L.AlphaDropout, 0.1),
        functools.partial(L.AveragePooling2D, 3, 2, padding="same"),
        L.BatchNormalization,
        functools.partial(L.BatchNormalization, axis=1),
        functools.partial(L.BatchNormalization, synchronized=True),
        functools.partial(L.CenterCrop, 4, 4),
        functools.partial(L.Conv2D, 4, 3, padding="same", strides=2, activation="hard_sigmoid"),
        functools.partial(L.Conv2D, 4, 3, groups=2),
        functools.partial(L.Conv2DTranspose, 4, 3, strides=2, output_padding=1),
        functools.partial(L.Cropping2D, 1),
        functools.partial(
            L.Dense, 3, kernel_regularizer="l2", kernel_constraint="max_norm", bias_regularizer="l1"
        ),
        functools.partial(L.DepthwiseConv2D, 3, padding="same", depth_multiplier=2),
        functools.partial(L.Dropout, 0.5, noise_shape=(None, 1, 1, 4)),
        functools.partial(L.ELU, 0.5),
        functools.partial(L.EinsumDense, "abcd,de->abce", (None, None, 5), bias_axes="e"),
        L.Flatten,
        functools.partial(L.GaussianDropout, 0.1),
        functools.partial(L.GaussianNoise, 0.1),
        functools.partial(L.GlobalAveragePooling2D, keepdims=True),
        L.GlobalMaxPooling2D,
        functools.partial(L.GroupNormalization, 2),
        L.Identity,
        L.LayerNormalization,
        functools.partial(L.LayerNormalization, axis=[1, 2, 3]),
        functools.partial(L.LayerNormalization, axis=[1, 2]),
        functools.partial(L.LeakyReLU, 0.2),
        functools.partial(L.LocallyConnected2D, 3, 2, strides=2, activation="relu"),
        functools.partial(L.LocallyConnected2D, 3, 2, implementation=2),
        functools.partial(L.LocallyConnected2D, 3, 3, implementation=2, padding="same"),
        functools.partial(L.LocallyConnected2D, 3, (2, 3), implementation=3),
        functools.partial(L.MaxPooling2D, 3, padding="same"),
        functools.partial(L.Normalization, mean=[0.1, 0.2, 0.3, 0], variance=[1.0, 2, 3, 1]),
        functools.partial(L.PReLU, shared_axes=[1, 2]),
        functools.partial(L.Permute, (2, 1, 3)),
        functools.partial(L.RandomBrightness, 0.1),
        functools.partial(L.RandomContrast, 0.1),
        functools.partial(L.RandomCrop, 4, 4),
        functools.partial(L.RandomFlip, seed=1),
        functools.partial(L.RandomHeight, 0.1),
        functools.partial(L.RandomRotation, 0.1),
        functools.partial(L.RandomTranslation, 0.1, 0.1),
        functools.partial(L.RandomWidth, 0.1),
        functools.partial(L.RandomZoom, 0.1),
        functools.partial(L.ReLU, 6.0, 0.1, 0.2),
        functools.partial(L.Rescaling, 1 / 255, 0.5),
        functools.partial(L.Reshape, (-1, 4)),
        functools.partial(L.Resizing, 5, 7, crop_to_aspect_ratio=True),
        functools.partial(L.SeparableConv2D, 3, 2, depth_multiplier=2),
        functools.partial(L.Softmax, axis=1),
        functools.partial(L.SpatialDropout2D, 0.1),
        functools.partial(L.ThresholdedReLU, 0.3),
        L.UnitNormalization,
        functools.partial(L.UpSampling2D, interpolation="bilinear"),
        functools.partial(L.ZeroPadding2D, ((1, 0), (2, 1))),
    ],
    LINE: [
        functools.partial(L.AveragePooling1D, 2, padding="same"),
        lambda: L.Bidirectional(L.LSTM(3), backward_layer=L.LSTM(3, go_backwards=True)),
        lambda: L.Bidirectional(L.GRU(3, return_sequences=True), merge_mode="sum"),
        functools.partial(L.Conv1D, 3, 2, padding="causal"),
        functools.partial(L.Conv1DTranspose, 3, 2, strides=2),
        functools.partial(L.Cropping1D, 1),
        functools.partial(L.DepthwiseConv1D, 3),
        functools.partial(L.GRU, 3),
        functools.partial(L.GRU, 3, reset_after=False, recurrent_activation="hard_sigmoid"),
        L.GlobalAveragePooling1D,
        L.GlobalMaxPooling1D,
        functools.partial(L.LSTM, 3, implementation=1),
        functools.partial(L.LSTM, 3, recurrent_activation="hard_sigmoid", go_backwards=True),
        functools.partial(L.LocallyConnected1D, 3, 2),
        functools.partial(L.LocallyConnected1D, 3, 2, implementation=2),
        functools.partial(L.LocallyConnected1D, 3, 2, implementation=3, padding="same"),
        L.Masking,
        L.MaxPooling1D,
        lambda: L.RNN([L.LSTMCell(3), L.GRUCell(2)]),
        lambda: L.RNN(L.StackedRNNCells([L.SimpleRNNCell(3)])),
        functools.partial(L.SeparableConv1D, 3, 2),
        functools.partial(L.SimpleRNN, 3),
        functools.partial(L.SpatialDropout1D, 0.1),
        lambda: L.TimeDistributed(L.Dense(2)),
        L.UpSampling1D,
        L.ZeroPadding1D,
    ],
    VOLUME: [
        functools.partial(L.AveragePooling3D, 2),
        functools.partial(L.Conv3D, 3, 2),
        functools.partial(L.Conv3DTranspose, 3, 2),
        functools.partial(L.ConvLSTM2D, 2, 3),
        functools.partial(L.Cropping3D, 1),
        L.GlobalAveragePooling3D,
        L.GlobalMaxPooling3D,
        L.MaxPooling3D,
        functools.partial(L.SpatialDropout3D, 0.1),
        L.UpSampling3D,
        L.ZeroPadding3D,
    ],
    (3, 6, 2): [functools.partial(L.ConvLSTM1D, 2, 3)],
    (2, 4, 4, 4, 2): [functools.partial(L.ConvLSTM3D, 2, 3)],
    VECTOR: [functools.partial(L.RepeatVector, 2), functools.partial(L.Discretization, [0.0, 0.5])],
}
PAIRS = {
    IMAGE: [L.Add, L.Average, functools.partial(L.Concatenate, axis=1), L.Maximum, L.Minimum,
            L.Multiply, L.Subtract],
    VECTOR: [functools.partial(L.Dot, axes=1, normalize=True)],
    LINE: [functools.partial(L.Attention, use_scale=True), L.AdditiveAttention,
           functools.partial(L.Attention, score_mode="concat")],
}  # fmt: skip
REFUSED = {
    "time_major=True": functools.partial(L.LSTM, 3, time_major=True, return_sequences=True),
    "noise_shape": lambda: _with(L.SpatialDropout1D(0.1), noise_shape=[1, 1, 4]),
}
OF_NO_IMAGES = {
    "AbstractRNNCell", "CategoryEncoding", "DenseFeatures", "Embedding", "GRUCell",
    "HashedCrossing", "Hashing", "InputLayer", "IntegerLookup", "LSTMCell", "Lambda", "Layer",
    "MultiHeadAttention",
    "SimpleRNNCell", "SpectralNormalization", "StackedRNNCells", "StringLookup",
    "TextVectorization", "Wrapper",
}  # fmt: skip


def _with(layer, **extra):
    """A layer whose configuration says something more."""
    config = layer.get_config() | extra
    layer.get_config = lambda: config
    return layer


def save(model, path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the format
        model.save(path)


def check(shapes, call, tmp_path, array, rng):
    inputs = [old.Input(shape) for shape in shapes]
    model = old.Model(inputs, call(*inputs))
    several = isinstance(model.output, list)
    for weight in model.weights:
        if weight.dtype.is_floating and weight.shape.rank:
            drawn = 0.5 * rng.standard_normal(weight.shape).astype("float32")
            weight.assign(np.abs(drawn) + 0.5 if "variance" in weight.name else drawn)
    path = tmp_path / "old.h5"
    save(model, path)
    x = [rng.standard_normal((2, *shape)).astype("float32") for shape in shapes]
    expected = model(x, training=False)
    found = km.convert.load(path)(x if len(x) > 1 else x[0], training=False)
    for y, wanted in zip(*([z] if not several else z for z in (found, expected)), strict=True):
        np.testing.assert_allclose(array(y), np.asarray(wanted), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("shape", READ, ids=str)
def test_one_input(shape, tmp_path, array, rng):
    check([shape], lambda x: [build()(x) for build in READ[shape]], tmp_path, array, rng)


@pytest.mark.parametrize("shape", PAIRS, ids=str)
def test_two_inputs(shape, tmp_path, array, rng):
    def each(x, y):
        return [build()([x, y]) for build in PAIRS[shape]]

    check([shape, shape], each, tmp_path, array, rng)


@pytest.mark.parametrize(
    "call",
    [
        lambda x: L.MultiHeadAttention(2, 3)(x, x),
        lambda x: L.MultiHeadAttention(2, 3, value_dim=5, dropout=0.1)(x, value=x, key=x),
        lambda x: L.GRU(3)(x, initial_state=L.Dense(3)(L.Flatten()(x))),
    ],
)
def test_tensors_among_the_keywords(call, tmp_path, array, rng):
    check([LINE], call, tmp_path, array, rng)


def test_mixed_precision_is_kept(tmp_path):
    image = old.Input(IMAGE)
    model = old.Model(
        image, L.Conv2D(2, 3, dtype=old.mixed_precision.Policy("mixed_float16"))(image)
    )
    save(model, tmp_path / "old.h5")
    layer = km.convert.load(tmp_path / "old.h5").layers[-1]
    assert layer.dtype_policy.name == "mixed_float16"


@pytest.mark.parametrize("message", REFUSED)
def test_arguments_without_an_equivalent_are_refused(message, tmp_path, array, rng):
    with pytest.raises(ConversionError, match=message):
        check([LINE], REFUSED[message](), tmp_path, array, rng)


def test_no_layer_is_left_out():
    every = {
        cls.__name__
        for cls in vars(L).values()
        if isinstance(cls, type) and issubclass(cls, L.Layer) and cls.__name__ != "Lambda"
    }
    builds = [build for table in (READ, PAIRS) for row in table.values() for build in row]
    seen = {type(build()).__name__ for build in builds}
    assert every - seen - OF_NO_IMAGES == set()


@pytest.mark.parametrize(("kind", "gates"), [("LSTM", 4), ("GRU", 3)])
def test_layers_of_cudnn(kind, gates, tmp_path, array, rng):
    """Against Keras 2's own conversion, which its `load_weights` does."""
    import json

    import h5py

    image = old.Input(LINE)
    options = {"reset_after": True} if kind == "GRU" else {}
    model = old.Model(image, getattr(L, kind)(3, name="recurrent", **options)(image))
    path = tmp_path / "old.h5"
    save(model, path)
    with h5py.File(path, "r+") as file:
        config = json.loads(file.attrs["model_config"])
        config["config"]["layers"][1] |= {
            "class_name": f"CuDNN{kind}",
            "config": {"name": "recurrent", "units": 3, "return_sequences": False},
        }
        file.attrs["model_config"] = json.dumps(config)
        group = file["model_weights/recurrent"]
        drawn = [(4, 3 * gates), (3, 3 * gates), (6 * gates,)]
        for name, shape in zip(group.attrs["weight_names"], drawn, strict=True):
            del group[name]
            group[name] = rng.standard_normal(shape).astype("float32")
    model.load_weights(path)
    x = rng.standard_normal((2, *LINE)).astype("float32")
    np.testing.assert_allclose(array(km.convert.load(path)(x)), np.asarray(model(x)), atol=1e-5)
