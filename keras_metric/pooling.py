"""Generalized-mean pooling of feature maps: between their average and their maximum."""

import keras
from keras import ops

from keras_metric.arguments import FixedArguments, number, serializable, whole

__all__ = ["GeM", "SlidingGeM"]


class _Powers(FixedArguments, keras.layers.Layer):
    """What both layers share: the exponent, one trainable number that training holds at 1 or above.

    Computes in at least float32 and returns the layer's precision: a power of float16 soon leaves
    its range.
    """

    def __init__(self, p: float, epsilon: float, data_format: str | None, **options):
        super().__init__(**options)
        self.p = number("p", p, least=1)
        self.epsilon = number("epsilon", epsilon, above=0)
        self.data_format = keras.config.image_data_format() if data_format is None else data_format
        if self.data_format not in ("channels_first", "channels_last"):
            raise ValueError(
                "Unknown data format. Expected: 'channels_last', 'channels_first' or None. "
                f"Received: {data_format!r}"
            )

    def build(self, input_shape):
        if len(input_shape) < 3:
            raise ValueError(
                "There are no positions to pool. Expected: feature maps, (B, positions..., C). "
                f"Received: shape {tuple(input_shape)}"
            )
        self.exponent = self.add_weight(
            name="exponent",
            shape=(),
            dtype="float32",
            initializer=keras.initializers.Constant(self.p),
            constraint=_at_least_one,
            autocast=False,
        )

    def get_config(self) -> dict:
        own = {"p": self.p, "epsilon": self.epsilon, "data_format": self.data_format}
        return {**super().get_config(), **own}

    def _positive(self, maps):
        """The maps in at least float32, no value below epsilon, and the exponent in the same."""
        wide = keras.backend.result_type(self.compute_dtype, "float32")
        return ops.maximum(ops.cast(maps, wide), self.epsilon), ops.cast(self.exponent, wide)

    def _positions(self, rank: int) -> tuple[int, ...]:
        return tuple(range(2, rank)) if self._channels_first else tuple(range(1, rank - 1))

    @property
    def _channels_first(self) -> bool:
        return self.data_format == "channels_first"


@serializable
class GeM(_Powers):
    """Generalized-mean pooling over all positions, with a trainable exponent.

        GeM(x)_c = (mean over positions of max(x_c, epsilon)^p)^(1/p)

    p = 1 is average pooling, and the larger p is, the nearer it comes to the maximum. Feature maps
    (B, positions..., C), or channels first, with any number of position axes -> (B, C). All
    channels have one p, a weight that begins at `p` and that training holds at 1 or above;
    `trainable=False` keeps it where it is. Each channel is divided by its maximum before it is
    raised to p, so that no power overflows; values below epsilon, such as the zeros of a ReLU,
    count as epsilon and have no gradient.

    Args:
        p: the exponent at first, from 1 on.
        epsilon: the least value of a feature, above 0.
        data_format: as in Keras's own pooling layers.

    Raises:
        ValueError: arguments out of range, or inputs without positions.

    Radenovic, Tolias, Chum, "Fine-tuning CNN image retrieval with no human annotation", TPAMI 2018,
    arXiv:1711.02512, eq. 3.
    """

    def __init__(
        self, p: float = 3.0, *, epsilon: float = 1e-6, data_format: str | None = None, **options
    ):
        super().__init__(p, epsilon, data_format, **options)

    def call(self, maps):
        axes = self._positions(len(maps.shape))
        positive, p = self._positive(maps)
        largest = ops.stop_gradient(ops.amax(positive, axis=axes, keepdims=True))
        pooled = ops.power(ops.mean(ops.power(positive / largest, p), axis=axes), 1 / p)
        return ops.cast(pooled * ops.squeeze(largest, axes), self.compute_dtype)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[1 if self._channels_first else -1])


@serializable
class SlidingGeM(_Powers):
    """`GeM` over a window at every position of a map, at stride 1: what conversion turns it into.

        y_c(i) = (mean over k of max(x_c(i + rate · k), epsilon)^p)^(1/p)

    One axis after the other, which is the same: a generalized mean of generalized means of windows
    of one size. Maps (B, positions..., C) -> the same, with (size - 1) · rate positions fewer on
    each axis.

    Args:
        size: number of positions of a window on each axis.
        rate: distance between the positions of a window on each axis; None is 1.
        p, epsilon, data_format: as in `GeM`.

    Raises:
        ValueError: arguments out of range, or inputs with another number of position axes.

    Radenovic, Tolias, Chum 2018, arXiv:1711.02512, eq. 3.
    """

    def __init__(
        self,
        size: tuple[int, ...],
        rate: tuple[int, ...] | None = None,
        *,
        p: float = 3.0,
        epsilon: float = 1e-6,
        data_format: str | None = None,
        **options,
    ):
        super().__init__(p, epsilon, data_format, **options)
        self.size = tuple(whole("size", side) for side in size)
        self.rate = tuple(whole("rate", step) for step in rate or (1,) * len(self.size))

    def build(self, input_shape):
        super().build(input_shape)
        if not len(input_shape) - 2 == len(self.size) == len(self.rate):
            raise ValueError(
                "The window does not fit the maps. Expected: one size and rate for each axis of "
                f"positions. Received: size={self.size}, rate={self.rate}, "
                f"shape {tuple(input_shape)}"
            )

    def call(self, maps):
        means, p = self._positive(maps)
        places = self._positions(len(maps.shape))
        for axis, side, rate in zip(places, self.size, self.rate, strict=True):
            means = _along(means, p, axis, side, rate)
        return ops.cast(means, self.compute_dtype)

    def compute_output_shape(self, input_shape):
        shape = list(input_shape)
        places = self._positions(len(shape))
        for axis, side, rate in zip(places, self.size, self.rate, strict=True):
            shape[axis] = None if shape[axis] is None else shape[axis] - (side - 1) * rate
        return tuple(shape)

    def get_config(self) -> dict:
        return {**super().get_config(), "size": self.size, "rate": self.rate}


def _at_least_one(exponent):
    return ops.maximum(exponent, 1.0)


def _along(x, p, axis: int, side: int, rate: int):
    """Generalized means of `side` positions of one axis, each divided by their maximum."""
    parts = []
    for i in range(side):
        places = [slice(None)] * len(x.shape)
        places[axis] = slice(i * rate, (i - side + 1) * rate or None)
        parts.append(x[tuple(places)])
    largest = parts[0]
    for part in parts[1:]:
        largest = ops.maximum(largest, part)
    largest = ops.stop_gradient(largest)
    total = sum(ops.power(part / largest, p) for part in parts)
    return largest * ops.power(total / side, 1 / p)
