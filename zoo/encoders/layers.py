"""Custom layers that saved encoders contain."""

import keras
from keras import layers, ops

from keras_metric.arguments import number


@keras.saving.register_keras_serializable("keras_metric")
class UnitLength(layers.Layer):
    """`(..., D) -> (..., D)`: x / |x|, in at least float32.

    A vector shorter than 1e-6 has no reliable direction and is returned unchanged, with gradient 1:
    zeros give zeros and finite gradients on every backend. (At zero, the gradient of
    `keras.layers.UnitNormalization` is NaN on JAX and torch, and 1e12 on TensorFlow.)
    """

    def call(self, inputs):
        x = ops.cast(inputs, keras.backend.result_type(self.compute_dtype, "float32"))
        squared = ops.sum(ops.square(x), axis=-1, keepdims=True)
        long_enough = squared > 1e-12
        scale = ops.where(long_enough, ops.rsqrt(ops.where(long_enough, squared, 1.0)), 1.0)
        return ops.cast(x * scale, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable("keras_metric")
class SignedPower(layers.Layer):
    """`(..., D) -> (..., D)`: sign(x) |x|^exponent; below 1 it makes few large values count less.

    Within 1e-12 of 0 it is 0, with gradient 0. Raises `ValueError` for an exponent that is not
    above 0.

    Perronnin, Sanchez and Mensink, "Improving the Fisher Kernel for Large-Scale Image
    Classification", ECCV 2010, section 3.2
    """

    def __init__(self, exponent: float, **options):
        super().__init__(**options)
        self.exponent = number("exponent", exponent, above=0)

    def call(self, inputs):
        size = ops.abs(inputs)
        there = size > 1e-12
        power = ops.power(ops.where(there, size, 1.0), self.exponent)
        return ops.where(there, ops.sign(inputs) * power, 0.0)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "exponent": self.exponent}


@keras.saving.register_keras_serializable("keras_metric")
class FusedBatchNormalization(layers.BatchNormalization):
    """Keras's batch normalisation of maps, which TensorFlow trains in one operation.

    Keras composes it of several passes over the maps: a training step of `conv4` takes 50 ms for
    36. Values, moments and gradients are the same. Other backends, inference, masks, renorm and
    moments over several devices take Keras's way.
    """

    infers_as = layers.BatchNormalization  # for the converter

    def call(self, inputs, training=None, mask=None):
        if training and self.trainable and mask is None and self._has_one_operation():
            return ops.cast(self._trained(inputs), self.compute_dtype)
        return super().call(inputs, training=training, mask=mask)

    def _has_one_operation(self):
        maps = self.input_spec.ndim == 4 and self.axis in (-1, 3)
        renorm = getattr(self, "renorm", False)  # Keras 3.14 brought it
        usual = not (renorm or self.synchronized) and self.compute_dtype != "float64"
        return maps and usual and keras.backend.backend() == "tensorflow"

    def _trained(self, inputs):
        import tensorflow as tf

        taken = inputs.dtype in (tf.float32, tf.float16, tf.bfloat16)
        maps = inputs if taken else tf.cast(inputs, tf.float32)
        channels = maps.shape[-1]
        normalised, mean, variance = tf.compat.v1.nn.fused_batch_norm(
            maps,
            ops.cast(self.gamma, "float32") if self.scale else tf.ones(channels),
            ops.cast(self.beta, "float32") if self.center else tf.zeros(channels),
            epsilon=self.epsilon,
            is_training=True,
        )
        places = tf.cast(tf.size(maps) // channels, "float32")
        variance *= (places - 1) / places  # the operation divides by one place less
        for moving, of_batch in ((self.moving_mean, mean), (self.moving_variance, variance)):
            before = ops.cast(moving, "float32")
            moving.assign(before * self.momentum + of_batch * (1 - self.momentum))
        return normalised


@keras.saving.register_keras_serializable("keras_metric")
class ImageNetScaling(layers.Layer):
    """RGB images 0..255 -> the values ImageNet weights were trained with.

    - "caffe": BGR minus the mean (103.939, 116.779, 123.68).
    - "torch": (x / 255 - mean) / deviation, per channel.
    - "tf": x / 127.5 - 1.
    """

    def __init__(self, mode: str, **options):
        super().__init__(**options)
        if mode not in ("caffe", "torch", "tf"):
            raise ValueError(
                f"Unknown scaling. Expected: 'caffe', 'torch' or 'tf'. Received: {mode!r}."
            )
        self.mode = mode

    def call(self, inputs):
        x = ops.cast(inputs, self.compute_dtype)
        if self.mode == "caffe":
            return ops.flip(x, axis=-1) - ops.array([103.939, 116.779, 123.68], x.dtype)
        if self.mode == "torch":
            mean = ops.array([0.485, 0.456, 0.406], x.dtype)
            return (x / 255 - mean) / ops.array([0.229, 0.224, 0.225], x.dtype)
        return x / 127.5 - 1

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self):
        return {**super().get_config(), "mode": self.mode}


@keras.saving.register_keras_serializable("keras_metric")
class PatchMap(layers.Layer):
    """`(B, N, K) -> (B, h, w, K)`: tokens of patches, row by row, as a map over the image.

    `sides` are h and w; the first `before` tokens, of no patch, are left out: N is before + h w.
    """

    def __init__(self, sides: tuple[int, int], before: int = 0, **options):
        super().__init__(**options)
        self.sides, self.before = tuple(sides), before

    def call(self, inputs):
        return ops.reshape(inputs[:, self.before :], (-1, *self.sides, inputs.shape[-1]))

    def compute_output_shape(self, input_shape):
        return (input_shape[0], *self.sides, input_shape[-1])

    def get_config(self):
        return {**super().get_config(), "sides": self.sides, "before": self.before}


@keras.saving.register_keras_serializable("keras_metric")
class FirstToken(layers.Layer):
    """`(B, N, K) -> (B, K)`: the first token."""

    def call(self, inputs):
        return inputs[:, 0]

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[-1])
