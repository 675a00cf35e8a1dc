"""The way out for heads that are no convolution: the original layers, run once per window.

`WindowPatches` lays each window's elements along the channels; `CellsToBatch` makes every window
a sample, on which the unchanged head runs; `BatchToCells` puts the results back on the map. They
are registered with Keras, so a saved model loads wherever `keras_metric.convert` is imported.
Memory grows by the number of elements in a window.
"""

from itertools import product

import keras
from keras import ops


@keras.saving.register_keras_serializable("keras_metric")
class WindowPatches(keras.layers.Layer):
    """`(B, rows, columns, C) -> (B, rows', columns', size * C)`, one window per cell.

    `order` picks and orders the elements of the flattened window; None keeps all.
    """

    def __init__(self, size, rate=None, order=None, **base):
        super().__init__(**base)
        self.size = tuple(size)
        self.rate = tuple(rate or (1,) * len(self.size))
        self.order = None if order is None else [int(i) for i in order]

    def call(self, x):
        parts = [x[self._shifted(offset)] for offset in product(*map(range, self.size))]
        patches = ops.concatenate(parts, axis=-1)
        return patches if self.order is None else ops.take(patches, self.order, axis=-1)

    def _shifted(self, offset):
        return (slice(None),) + tuple(
            slice(o * r, (o - k + 1) * r or None)
            for o, k, r in zip(offset, self.size, self.rate, strict=True)
        )

    def compute_output_shape(self, shape):
        elements = shape[-1]
        for k in self.size:
            elements *= k
        sizes = [
            None if n is None else n - (k - 1) * r
            for n, k, r in zip(shape[1:-1], self.size, self.rate, strict=True)
        ]
        return (shape[0], *sizes, elements if self.order is None else len(self.order))

    def get_config(self):
        return {**super().get_config(), "size": self.size, "rate": self.rate, "order": self.order}


@keras.saving.register_keras_serializable("keras_metric")
class CellsToBatch(keras.layers.Layer):
    """`(B, rows, columns, D) -> (B * rows * columns, *inner)`."""

    def __init__(self, inner, **base):
        super().__init__(**base)
        self.inner = tuple(inner)

    def call(self, x):
        return ops.reshape(x, (-1, *self.inner))

    def compute_output_shape(self, shape):
        return (None, *self.inner)

    def get_config(self):
        return {**super().get_config(), "inner": self.inner}


@keras.saving.register_keras_serializable("keras_metric")
class BatchToCells(keras.layers.Layer):
    """`[(B * rows * columns, *inner), (B, rows, columns, any)] -> (B, rows, columns, D)`."""

    def call(self, inputs):
        vectors, like = inputs
        width = 1
        for d in vectors.shape[1:]:
            width *= d
        return ops.reshape(vectors, (*ops.shape(like)[:-1], width))

    def compute_output_shape(self, shapes):
        width = 1
        for d in shapes[0][1:]:
            width *= d
        return (*shapes[1][:-1], width)
