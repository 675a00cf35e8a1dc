"""One row for each rule: a head, converted, equals the model on every window of a larger image."""

import numpy as np
import pytest
from keras import layers, ops

import keras_metric as km

D = layers.Dense


def vector(x):
    return D(4)(layers.Flatten()(x))


def tokens(x):
    return D(6, activation="relu")(layers.Reshape((-1, 5))(x))


class NormOfNoKind(layers.BatchNormalization):
    """A `call` of its own: it has no rule."""

    def call(self, inputs, training=None, mask=None):
        return super().call(inputs, training=training, mask=mask)


class NormOfOnesOwn(NormOfNoKind):
    infers_as = layers.BatchNormalization


HEADS = {
    "dense": lambda x: D(3, activation="softmax")(D(7, activation="relu")(layers.Flatten()(x))),
    "without bias": lambda x: D(3, use_bias=False)(layers.Flatten()(x)),
    "average": lambda x: D(3)(layers.GlobalAveragePooling2D()(x)),
    "maximum": lambda x: D(3)(layers.GlobalMaxPooling2D()(x)),
    "keepdims and 1x1": lambda x: layers.Flatten()(
        layers.Conv2D(3, 1)(layers.GlobalAveragePooling2D(keepdims=True)(x))
    ),
    "keepdims and same 3x3": lambda x: layers.Flatten()(
        layers.Conv2D(3, 3, padding="same")(layers.GlobalAveragePooling2D(keepdims=True)(x))
    ),
    "keepdims and even, dilated": lambda x: layers.Flatten()(
        layers.Conv2D(3, 2, padding="same", dilation_rate=2)(
            layers.GlobalAveragePooling2D(keepdims=True)(x)
        )
    ),
    "raw mean": lambda x: D(3)(ops.mean(x, axis=(1, 2))),
    "raw max": lambda x: D(3)(ops.max(x, axis=(-3, -2), keepdims=False)),
    "batch norm before dense": lambda x: D(3)(layers.BatchNormalization()(layers.Flatten()(x))),
    "folded into no bias": lambda x: D(3, use_bias=False)(
        layers.BatchNormalization(scale=False)(
            layers.BatchNormalization(center=False)(layers.Flatten()(x))
        )
    ),
    "folded and permuted": lambda x: D(3)(
        layers.Reshape((-1,))(
            layers.Permute((2, 1))(layers.BatchNormalization(axis=1)(layers.Reshape((12, 5))(x)))
        )
    ),
    "infers as a batch norm": lambda x: D(3)(NormOfOnesOwn()(layers.Flatten()(x))),
    "norm of no known kind": lambda x: D(3)(NormOfNoKind()(layers.Flatten()(x))),
    "permute": lambda x: D(3)(layers.Flatten()(layers.Permute((2, 3, 1))(x))),
    "reshape": lambda x: D(3)(layers.Reshape((-1,))(layers.Reshape((6, 10))(x))),
    "raw reshape": lambda x: D(3)(ops.reshape(x, (-1, 60))),
    "slice": lambda x: D(3)(layers.Flatten()(ops.flip(x[:, 1:3, :, :4], axis=2))),
    "slice then convolve": lambda x: D(3)(layers.Flatten()(layers.Conv2D(2, 2)(x[:, 1:, :-1]))),
    "cropping": lambda x: D(3)(layers.Flatten()(layers.Cropping2D(((1, 0), (0, 1)))(x))),
    "tokens": lambda x: D(3)(layers.GlobalAveragePooling1D()(tokens(x))),
    "flat tokens": lambda x: D(3)(layers.Flatten()(tokens(x))),
    "relu after flatten": lambda x: D(3)(layers.ReLU()(layers.Flatten()(x))),
    "dropout after flatten": lambda x: D(3)(layers.Dropout(0.5)(layers.Flatten()(x))),
    "layer norm after flatten": lambda x: D(3)(layers.LayerNormalization()(layers.Flatten()(x))),
    "batch norm, relu, dense": lambda x: D(3)(
        layers.ReLU()(layers.BatchNormalization()(layers.Flatten()(x)))
    ),
    "ends in flatten": lambda x: layers.Flatten()(x),
    "batch norm": lambda x: layers.BatchNormalization()(vector(x)),
    "batch norm, axis 1": lambda x: layers.BatchNormalization(axis=1)(vector(x)),
    "layer norm": lambda x: layers.LayerNormalization()(vector(x)),
    "softmax, axis 1": lambda x: layers.Softmax(axis=1)(vector(x)),
    "raw softmax, axis 1": lambda x: ops.softmax(ops.relu(vector(x) * 2 + 1), axis=1),
    "unit norm, axis 1": lambda x: layers.UnitNormalization(axis=1)(vector(x)),
    "raw norm, axis 1": lambda x: ops.normalize(vector(x), axis=1),
    "group norm of a vector": lambda x: layers.GroupNormalization(1)(vector(x)),
    "prelu of a vector": lambda x: layers.PReLU()(vector(x)),
    "raw sum, axis 1": lambda x: ops.sum(vector(x), axis=1, keepdims=True),
    "raw slice": lambda x: D(3)(vector(x)[:, :2]),
    "raw strided slice": lambda x: D(3)(vector(x)[:, ::2]),
    "everything after a dense": lambda x: layers.Rescaling(3.0, 0.5)(
        layers.Dropout(0.5)(layers.Activation("tanh")(layers.LeakyReLU()(vector(x))))
    ),
    "dot": lambda x: layers.Dot(axes=1)([vector(x), D(4)(layers.GlobalMaxPooling2D()(x))]),
    "attention over tokens": lambda x: D(3)(
        layers.GlobalAveragePooling1D()(
            layers.MultiHeadAttention(1, 2)(layers.Reshape((-1, 5))(x), layers.Reshape((-1, 5))(x))
        )
    ),
    "transpose and dot": lambda x: ops.matmul(
        ops.expand_dims(vector(x), 1), ops.transpose(ops.expand_dims(vector(x), 1), (0, 2, 1))
    ),
    "einsum dense": lambda x: layers.EinsumDense("ab,bc->ac", output_shape=3)(vector(x)),
    "softmax of a matrix": lambda x: layers.Flatten()(
        layers.Softmax()(layers.Reshape((2, 2))(vector(x)))
    ),
    "lambda": lambda x: layers.Lambda(lambda t: t / (1 + ops.sum(t * t, axis=1, keepdims=True)))(
        vector(x)
    ),
    "joined views": lambda x: D(3, activation="tanh")(
        layers.Concatenate()([layers.Flatten()(x), layers.GlobalAveragePooling2D()(x)])
    ),
    "joined vectors, axis 1": lambda x: D(3)(
        layers.Concatenate(axis=1)([vector(x), layers.GlobalMaxPooling2D()(x)])
    ),
    "joined, flattened again": lambda x: layers.LayerNormalization()(
        layers.Flatten()(layers.Concatenate()([layers.Flatten()(x), layers.Flatten()(x)]))
    ),
    "adaptive pooling that changes nothing": lambda x: D(3)(
        layers.Flatten()(layers.AdaptiveAveragePooling2D((4, 3))(x))
    ),
    "shared prelu in the trunk": lambda x: D(3)(
        layers.Flatten()(layers.PReLU(shared_axes=[1, 2])(x))
    ),
    "norm over the channels": lambda x: D(3)(
        layers.Flatten()(x / (1 + ops.sum(x * x, axis=-1, keepdims=True)))
    ),
    "dense on the map": lambda x: D(3)(layers.Flatten()(D(6, activation="relu")(x))),
    "layer norm of channels": lambda x: D(3)(layers.Flatten()(layers.LayerNormalization()(x))),
    "convolution of a transposed map": lambda x: D(3)(
        layers.Flatten()(layers.Conv2D(2, 2)(layers.Permute((2, 1, 3))(x)))
    ),
    "convolution of a mirrored map": lambda x: layers.Flatten()(
        layers.Conv2D(2, 2)(ops.flip(x, axis=1))
    ),
    "decoder": lambda x: layers.Flatten()(
        layers.Conv2DTranspose(2, 3)(layers.Reshape((2, 2, 3))(D(12)(layers.Flatten()(x))))
    ),
    "gate of the flattened map": lambda x: layers.Flatten()(
        x * layers.Reshape((1, 1, 5))(D(5)(layers.Flatten()(x)))
    ),
    "logarithm": lambda x: D(3)(layers.Flatten()(ops.log(ops.exp(x) + 1) + ops.sqrt(ops.abs(x)))),
    "residual": lambda x: D(3)(
        layers.Flatten()(layers.Add()([layers.Conv2D(5, 1)(x), x]) * 0.5 - x)
    ),
    "one position": lambda x: layers.Softmax()(
        layers.Flatten()(layers.Conv2D(3, (4, 3))(layers.SeparableConv2D(4, 1)(x)))
    ),
}


@pytest.mark.parametrize("name", HEADS)
def test_every_cell_is_the_model_on_its_window(name, net, trunk, windows, array, rng):
    model = net(lambda image: HEADS[name](trunk(image)))
    fcn = km.convert.to_fully_convolutional(model)
    images = rng.standard_normal((2, 19, 18, 3)).astype("float32")
    expected = windows(model, images, 2, (14, 12), (3, 4))
    found = array(fcn(images))
    assert found.shape[1:3] == (3, 4)
    difference = np.abs(found.reshape(expected.shape) - expected).max()
    assert difference <= 1e-5 * max(expected.std(), 0.1 * np.abs(expected).max())


def test_parameters_are_neither_made_nor_lost(net, trunk):
    """Rebuilding a classifier at a free size may change its number of weights, silently."""
    model = net(lambda x: HEADS["dense"](layers.BatchNormalization()(trunk(x))))
    fcn = km.convert.to_fully_convolutional(model)
    assert fcn.count_params() == model.count_params()


def test_a_layer_that_infers_as_another_has_its_rule(net, trunk):
    model = net(lambda x: D(3)(layers.Flatten()(NormOfOnesOwn(name="own")(trunk(x)))))
    rows = km.convert.to_fully_convolutional(model).conversion.rows
    assert {name: rule for name, rule, *_ in rows}["own"] == "batch_norm"


def test_the_record_says_what_was_done(net, trunk):
    model = net(lambda x: D(3, name="fc")(layers.Flatten(name="flat")(trunk(x))))
    fcn = km.convert.to_fully_convolutional(model)
    rows = {name: (rule, old, new) for name, rule, old, new in fcn.conversion.rows}
    assert rows["fc"] == ("dense_over_map", (3,), (None, None, 3))
    assert rows["flat"] == ("move_map", (60,), ())
    assert "dense_over_map" in str(fcn.conversion)
