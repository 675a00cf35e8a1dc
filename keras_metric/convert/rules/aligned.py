"""Layers that lay maps on one another and on the image, at any size.

They are registered with Keras: a saved network loads wherever `keras_metric.convert` is imported.
`geometry/walk.py` follows their receptive fields.
"""

import keras
from keras import layers, ops


@keras.saving.register_keras_serializable("keras_metric")
class AddAligned(layers.Layer):
    """Sum of two maps `(B, h, w, C)`, the first shifted by `shift` positions, cropped to both."""

    def __init__(self, shift, **base):
        super().__init__(**base)
        self.shift = tuple(shift)

    @property
    def starts(self) -> tuple[tuple[int, ...], ...]:
        """The first position that is used, of each map."""
        return tuple(max(d, 0) for d in self.shift), tuple(max(-d, 0) for d in self.shift)

    def call(self, inputs):
        coarse, fine = inputs
        first, second = [slice(None)], [slice(None)]
        for axis, (a, b) in enumerate(zip(*self.starts, strict=True), start=1):
            n = _smaller(ops.shape(coarse)[axis] - a, ops.shape(fine)[axis] - b)
            first.append(slice(a, a + n))
            second.append(slice(b, b + n))
        return coarse[tuple(first)] + fine[tuple(second)]

    def compute_output_shape(self, shapes):
        sizes = [
            None if None in (n, m) else min(n - max(d, 0), m - max(-d, 0))
            for n, m, d in zip(shapes[0][1:3], shapes[1][1:3], self.shift, strict=True)
        ]
        return (shapes[0][0], *sizes, shapes[0][-1])

    def get_config(self):
        return {**super().get_config(), "shift": self.shift}


@keras.saving.register_keras_serializable("keras_metric")
class AlignCells(layers.Layer):
    """`[(B, h, w, C), ...]` -> the same maps at one stride, cropped to the smallest of them.

    Of map k every `factors[k]`-th position stays: those whose windows are windows of all maps.
    """

    def __init__(self, factors, **base):
        super().__init__(**base)
        self.factors = tuple(map(tuple, factors))

    def call(self, maps):
        thin = [
            x[(slice(None), *(slice(None, None, f) for f in factors))]
            for x, factors in zip(maps, self.factors, strict=True)
        ]
        sizes = []
        for axis in range(1, len(self.factors[0]) + 1):
            size = ops.shape(thin[0])[axis]
            for x in thin[1:]:
                size = _smaller(size, ops.shape(x)[axis])
            sizes.append(slice(0, size))
        return [x[(slice(None), *sizes)] for x in thin]

    def compute_output_shape(self, shapes):
        thin = [
            [None if n is None else -(-n // f) for n, f in zip(shape[1:-1], factors, strict=True)]
            for shape, factors in zip(shapes, self.factors, strict=True)
        ]
        sizes = [None if None in axis else min(axis) for axis in zip(*thin, strict=True)]
        return [(shape[0], *sizes, shape[-1]) for shape in shapes]

    def get_config(self):
        return {**super().get_config(), "factors": self.factors}


def _smaller(a, b):
    """Of two sizes; one that is known stays a number, as slices on JAX need it."""
    return min(a, b) if isinstance(a, int) and isinstance(b, int) else ops.minimum(a, b)


@keras.saving.register_keras_serializable("keras_metric")
class Stretch(layers.Layer):
    """`(B, h, w, C) -> (B, h f, w g, C)`, bilinear, half-pixel centres, edges held.

    Keras 3.15 does not trace a bilinear `UpSampling2D` where the size is not known.
    """

    def __init__(self, factors, **base):
        super().__init__(**base)
        self.factors = tuple(factors)

    def call(self, x):
        for axis, factor in enumerate(self.factors, start=1):
            x = _stretched(x, factor, axis)
        return x

    def compute_output_shape(self, shape):
        sizes = [n and n * f for n, f in zip(shape[1:3], self.factors, strict=True)]
        return (shape[0], *sizes, shape[-1])

    def get_config(self):
        return {**super().get_config(), "factors": self.factors}


def _stretched(x, factor: int, axis: int):
    """Each position becomes `factor`, each a mean of it and of its neighbour on that side."""
    size = ops.shape(x)[axis]
    first, last = ops.take(x, [0], axis=axis), ops.take(x, [-1], axis=axis)
    inner = [slice(None)] * axis
    before = ops.concatenate([first, x[(*inner, slice(0, size - 1))]], axis=axis)
    after = ops.concatenate([x[(*inner, slice(1, size))], last], axis=axis)
    offsets = [(2 * k + 1 - factor) / (2 * factor) for k in range(factor)]
    parts = [x + abs(d) * ((after if d > 0 else before) - x) for d in offsets]
    shape = list(ops.shape(x))
    shape[axis] = size * factor
    return ops.reshape(ops.stack(parts, axis=axis + 1), shape)


@keras.saving.register_keras_serializable("keras_metric")
class CropToImage(layers.Layer):
    """`[(B, h, w, C), image (B, H, W, any)] -> (B, H, W, C)`, from position `start` on."""

    def __init__(self, start, **base):
        super().__init__(**base)
        self.start = tuple(start)

    @property
    def starts(self) -> tuple[tuple[int, ...], ...]:
        """The first position that is used of the scores; of the image only the size is."""
        return (self.start,)

    def call(self, inputs):
        scores, image = inputs
        (a, b), shape = self.start, ops.shape(image)
        return scores[:, a : a + shape[1], b : b + shape[2]]

    def compute_output_shape(self, shapes):
        return (*shapes[1][:3], shapes[0][-1])

    def get_config(self):
        return {**super().get_config(), "start": self.start}
