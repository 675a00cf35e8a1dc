"""Writes models with an old Keras, and what they answer, into the files of this folder.

    KERAS_BACKEND=theano python write_old_models.py FOLDER

Run with Python 3.6 and Keras 1.2.2 (Theano 0.9 or TensorFlow 1.4), 2.0.9 or 2.2.5 (Theano 1.0.5 or
TensorFlow 1.14), Python 3.7 and 2.3.1 (TensorFlow 2.0), Python 3.9 and 2.6, Python 3.10 and 2.15.
A file is what `model.save` writes, with the group "reference" beside: input `x`, outputs `y0`, ...
The folder keeps them packed: `gzip -9 -n *.h5`.
"""

import os
import sys

import h5py
import keras
import numpy as np
from keras import backend
from keras import layers as L
from keras.models import Model, Sequential

FIRST = keras.__version__.startswith("1.")
MODERN = int(keras.__version__.split(".")[1]) >= 6
IMAGE, LINE = (7, 6, 2), (6, 3)
rng = np.random.RandomState(0)


def model(inputs, outputs):
    if FIRST:
        return Model(input=inputs, output=outputs)
    return Model(inputs, outputs)


def each(shape, *layers):
    image = L.Input(shape)
    return model(image, [layer(image) for layer in layers])


def names_of_keras_1():
    convolutions = {
        "th": lambda: each(
            (2, 7, 6),
            L.Convolution2D(3, 3, 3, border_mode="same", dim_ordering="th"),
            L.Convolution2D(
                2, 3, 2, subsample=(2, 1), dim_ordering="th", activation="hard_sigmoid"
            ),
            L.AtrousConvolution2D(2, 3, 3, atrous_rate=(2, 2), dim_ordering="th"),
            L.Deconvolution2D(2, 3, 3, (None, 2, 9, 8), dim_ordering="th"),
            L.BatchNormalization(axis=1),
            L.ZeroPadding2D((1, 2), dim_ordering="th"),
            L.LocallyConnected2D(2, 3, 3, dim_ordering="th"),
        ),
        "images": lambda: each(
            IMAGE,
            L.Convolution2D(3, 3, 3, border_mode="same", dim_ordering="tf", bias=False),
            L.Convolution2D(2, 3, 3, dim_ordering="tf", W_regularizer="l2"),
            L.AveragePooling2D((2, 2), dim_ordering="tf"),
            L.BatchNormalization(mode=0),
            L.Dropout(0.3),
            L.SpatialDropout2D(0.3, dim_ordering="tf"),
            L.GaussianNoise(0.2),
            L.LeakyReLU(0.2),
            L.ThresholdedReLU(0.3),
            L.PReLU(shared_axes=[1, 2]),
            L.UpSampling2D((2, 2), dim_ordering="tf"),
            L.Cropping2D(((1, 0), (0, 1)), dim_ordering="tf"),
        ),
        "lines": lambda: each(
            LINE,
            L.Convolution1D(2, 3, subsample_length=2),
            L.AtrousConvolution1D(2, 2, atrous_rate=2),
            L.LSTM(2, consume_less="cpu", return_sequences=True),
            L.LSTM(2, consume_less="gpu"),
            L.GRU(2, consume_less="cpu"),
            L.SimpleRNN(2, go_backwards=True),
            L.Bidirectional(L.LSTM(2)),
            L.TimeDistributed(L.Dense(2)),
            L.MaxPooling1D(2),
            L.LocallyConnected1D(2, 3),
            L.UpSampling1D(2),
        ),
        "convlstm": lambda: each(
            (3, 2, 5, 4), L.ConvLSTM2D(2, 3, 3, dim_ordering="th", border_mode="same")
        ),
        "sequential": lambda: Sequential(
            [
                L.Convolution2D(2, 3, 3, input_shape=IMAGE, dim_ordering="tf", activation="relu"),
                L.MaxPooling2D(dim_ordering="tf"),
                L.Flatten(),
                L.Dense(3, activation="softmax"),
            ]
        ),
        "graph": graph_of_keras_1,
    }
    if backend.backend() != "theano":  # there, Keras 1.2.2 adds atrous biases along the columns
        del convolutions["convlstm"], convolutions["th"]
    return convolutions


def graph_of_keras_1():
    """Merges, a shared layer, and a nested model called twice."""
    base = Sequential([L.Dense(3, input_shape=LINE), L.BatchNormalization()])
    x = L.Input(LINE)
    a, b = base(x), base(L.Activation("tanh")(x))
    merges = [L.merge([a, b], mode=mode) for mode in ("sum", "mul", "ave", "max")]
    both = L.merge([*merges, a], mode="concat", concat_axis=-1)
    return model(x, [both, L.Dense(2)(both)])


def names_of_keras_2():
    theano = backend.backend() == "theano"
    found = {
        "images": lambda: each(
            IMAGE,
            L.Conv2D(3, 3, padding="same"),
            L.Conv2D(2, (3, 2), strides=(2, 1), activation="hard_sigmoid"),
            L.Conv2D(2, 3, dilation_rate=2),
            L.Conv2DTranspose(2, 3, strides=2),
            L.LeakyReLU(0.2),
            L.ThresholdedReLU(0.3),
            L.SpatialDropout2D(0.2),
            L.LocallyConnected2D(2, 3),
        ),
        "lines": lambda: each(
            LINE,
            L.Conv1D(2, 3, padding="causal"),
            L.GRU(2),
            L.LSTM(2),
            L.Bidirectional(L.LSTM(2, return_sequences=True)),
            L.TimeDistributed(L.Dense(2)),
            L.LocallyConnected1D(2, 3),
        ),
        "convlstm": lambda: each((3, 5, 4, 2), L.ConvLSTM2D(2, 3)),
        "sequential": sequential_of_keras_2,
        "graph": graph_of_keras_2,
    }
    if theano:
        found["volumes"] = lambda: each((4, 5, 4, 2), L.Conv3D(2, 3), L.Conv3DTranspose(2, 2))
        found["padding"] = lambda: each(IMAGE, L.MaxPooling2D(2, padding="same"))
        del found["lines"]
    else:
        first = {"data_format": "channels_first"}
        found["local"] = lambda: each((2, 7, 6), L.LocallyConnected2D(2, (3, 2), **first))
    if not theano and keras.__version__ == "2.2.5":
        found["bilinear"] = lambda: each(IMAGE, L.UpSampling2D(2, interpolation="bilinear"))
    return found


def sequential_of_keras_2():
    layers = [L.Conv2D(2, 3, input_shape=IMAGE, activation="relu"), L.BatchNormalization()]
    return Sequential([*layers, L.MaxPooling2D(), L.Flatten(), L.Dense(3, activation="softmax")])


def graph_of_keras_2():
    """Merges and nested models: one called twice, one frozen."""
    base = Sequential([L.Dense(3, input_shape=LINE), L.BatchNormalization()])
    frozen = Sequential([L.BatchNormalization(input_shape=LINE), L.Dense(2)])
    frozen.trainable = False
    x = L.Input(LINE)
    a, b = base(x), base(L.Activation("tanh")(x))
    return model(x, [L.Concatenate()([L.Add()([a, b]), L.Maximum()([a, b]), frozen(x)])])


def leaves(of):
    for layer in of.layers:
        yield from leaves(layer) if hasattr(layer, "layers") else [layer]


def write(name, of, folder):
    for layer in leaves(of):
        values = [(rng.rand(*v.shape) - 0.4).astype("float32") for v in layer.get_weights()]
        if isinstance(layer, L.BatchNormalization):
            values[-1] = np.abs(values[-1]) + 0.3
        if values:
            layer.set_weights(values)
    x = (2 * rng.randn(2, *backend.int_shape(of.inputs[0])[1:])).astype("float32")
    outputs = of.predict(x)
    file = os.path.join(folder, f"keras-{keras.__version__}-{backend.backend()}-{name}.h5")
    of.save(file) if FIRST else of.save(file, include_optimizer=False)
    with h5py.File(file, "a") as target:
        target["reference/x"] = x
        for i, y in enumerate(outputs if isinstance(outputs, list) else [outputs]):
            target[f"reference/y{i}"] = y


if __name__ == "__main__":
    only = sys.argv[2:]
    for name, build in (names_of_keras_1() if FIRST else names_of_keras_2()).items():
        if not only or name in only:
            write(name, build(), sys.argv[1])
