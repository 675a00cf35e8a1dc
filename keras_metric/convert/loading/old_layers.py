"""Layers and functions of Keras 1 and 2 that Keras 3 does not have."""

import math

import keras
import numpy as np
from keras import ops

__all__ = ["LocallyConnected1D", "LocallyConnected2D", "ThresholdedReLU", "keras_2_hard_sigmoid"]


@keras.saving.register_keras_serializable("keras_metric")
def keras_2_hard_sigmoid(x):
    """`hard_sigmoid` of Keras 1 and 2: `clip(0.2 x + 0.5, 0, 1)`; of the shape of `x`.

    Keras 3 has another function of this name: `relu6(x + 3) / 6`.
    """
    return ops.clip(0.2 * x + 0.5, 0.0, 1.0)


@keras.saving.register_keras_serializable("keras_metric")
class ThresholdedReLU(keras.layers.Layer):
    """`x` where `x > theta`, else 0; of the shape of `x`."""

    def __init__(self, theta=1.0, **kwargs):
        super().__init__(**kwargs)
        self.theta = float(theta)
        self.supports_masking = True

    def call(self, inputs):
        return ops.where(inputs > self.theta, inputs, ops.zeros_like(inputs))

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return super().get_config() | {"theta": self.theta}


class _LocallyConnected(keras.layers.Layer):
    """A convolution with a kernel of its own at every position.

    out[p, f] = activation(bias[p, f] + sum over i of kernel[p, i, f] patch_p[i])

    Shapes: inputs (B, *image, channels), channels second where `data_format` says so. `kernel` is
    (positions, patch x channels, filters), `bias` (*positions, filters).
    """

    rank = 2

    def __init__(
        self,
        filters,
        kernel_size,
        strides=1,
        padding="valid",
        data_format="channels_last",
        activation=None,
        use_bias=True,
        kernel_initializer="glorot_uniform",
        bias_initializer="zeros",
        kernel_regularizer=None,
        bias_regularizer=None,
        kernel_constraint=None,
        bias_constraint=None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.kernel_size = self._by_axis(kernel_size)
        self.strides = self._by_axis(strides)
        self.padding = padding
        self.data_format = data_format
        self.activation = keras.activations.get(activation)
        self.use_bias = use_bias
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.kernel_regularizer = keras.regularizers.get(kernel_regularizer)
        self.bias_regularizer = keras.regularizers.get(bias_regularizer)
        self.kernel_constraint = keras.constraints.get(kernel_constraint)
        self.bias_constraint = keras.constraints.get(bias_constraint)

    def build(self, input_shape):
        *image, channels = self._channels_last(input_shape)[1:]
        self.image, self.channels = tuple(image), channels
        self.reads = patches(self.image, self.kernel_size, self.strides, self.padding)
        *positions, size = self.reads.shape
        self.kernel = self.add_weight(
            name="kernel",
            shape=(math.prod(positions), size * channels, self.filters),
            initializer=self.kernel_initializer,
            regularizer=self.kernel_regularizer,
            constraint=self.kernel_constraint,
        )
        self.bias = None
        if self.use_bias:
            self.bias = self.add_weight(
                name="bias",
                shape=(*positions, self.filters),
                initializer=self.bias_initializer,
                regularizer=self.bias_regularizer,
                constraint=self.bias_constraint,
            )

    def call(self, inputs):
        *positions, size = self.reads.shape
        x = inputs if self.data_format == "channels_last" else self._moved(inputs, -1, 1)
        x = ops.reshape(x, (-1, math.prod(self.image), self.channels))
        x = ops.concatenate([x, ops.zeros_like(x[:, :1])], axis=1)  # what padding reads
        x = ops.take(x, self.reads.reshape(-1), axis=1)
        x = ops.reshape(x, (-1, math.prod(positions), size * self.channels))
        x = ops.reshape(ops.einsum("bpi,pif->bpf", x, self.kernel), (-1, *positions, self.filters))
        x = self.activation(x if self.bias is None else x + self.bias)
        return x if self.data_format == "channels_last" else self._moved(x, 1, -1)

    def compute_output_shape(self, input_shape):
        *image, _ = self._channels_last(input_shape)[1:]
        shape = patches(tuple(image), self.kernel_size, self.strides, self.padding).shape[:-1]
        if self.data_format == "channels_last":
            return (input_shape[0], *shape, self.filters)
        return (input_shape[0], self.filters, *shape)

    def get_config(self):
        config = {
            name: getattr(self, name)
            for name in ("filters", "kernel_size", "strides", "padding", "data_format", "use_bias")
        }
        config["activation"] = keras.activations.serialize(self.activation)
        for part in ("kernel", "bias"):
            for what in ("initializer", "regularizer", "constraint"):
                module = getattr(keras, f"{what}s")
                config[f"{part}_{what}"] = module.serialize(getattr(self, f"{part}_{what}"))
        return super().get_config() | config

    def _by_axis(self, size) -> tuple[int, ...]:
        return (size,) * self.rank if isinstance(size, int) else tuple(size)

    def _channels_last(self, shape):
        return shape if self.data_format == "channels_last" else (shape[0], *shape[2:], shape[1])

    def _moved(self, x, to, source):
        return ops.moveaxis(x, source, to)


@keras.saving.register_keras_serializable("keras_metric")
class LocallyConnected1D(_LocallyConnected):
    __doc__ = _LocallyConnected.__doc__
    rank = 1


@keras.saving.register_keras_serializable("keras_metric")
class LocallyConnected2D(_LocallyConnected):
    __doc__ = _LocallyConnected.__doc__


def patches(image, kernel, strides, padding: str) -> np.ndarray:
    """What each position reads: (*positions, patch) places of the flattened image.

    A place in the padding is the number of pixels, one past the last. With "same" padding position
    i reads the pixels from `i * stride - kernel // 2` on.
    """
    reads = []
    for size, width, step in zip(image, kernel, strides, strict=True):
        count = -(-size // step) if padding == "same" else (size - width) // step + 1
        before = width // 2 if padding == "same" else 0
        reads.append(np.arange(count)[:, None] * step - before + np.arange(width)[None])
    flat, outside = np.zeros((1,) * (2 * len(image)), int), False
    for axis, (places, size) in enumerate(zip(reads, image, strict=True)):
        shape = [1] * (2 * len(image))
        shape[axis], shape[len(image) + axis] = places.shape
        places = places.reshape(shape)
        outside = outside | (places < 0) | (places >= size)
        flat = flat * size + places
    flat = np.where(outside, math.prod(image), flat)
    return flat.reshape(*flat.shape[: len(image)], -1)
