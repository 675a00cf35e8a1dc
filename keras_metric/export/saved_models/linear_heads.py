"""Heads that are linear in the last features, so that each position has a share in the answer.

Scores behind a global average: the kernel of the Dense layer draws the class activation map.

    score_c = b_c + mean over positions of  w_c . f(position)
    map_c(position) =                       w_c . f(position)

Zhou et al., "Learning Deep Features for Discriminative Localization", 2016. arXiv:1512.04150

Embeddings behind an average or a Flatten: what each position adds to the cosine with another.

    e         = b + sum over positions of  W_p^T f_p       (W_p = W / N behind an average)
    share_p   = (W_p^T f_p + b / N) . e' / (|e| |e'|)       sum over positions = cos(e, e')

Stylianou, Souvenir and Pless, "Visualizing Deep Similarity Networks", 2019. arXiv:1901.00536
"""

from dataclasses import dataclass

import keras
import numpy as np
from keras import ops

_AFTER_EMBEDDING = (keras.layers.Dropout, keras.layers.Identity)
_AFTER_SCORES = (keras.layers.Softmax, keras.layers.Activation, keras.layers.Identity)
_AFTER_POOLING = (keras.layers.Dropout, keras.layers.Flatten, keras.layers.Identity)
_TINY = 1e-12


@dataclass(frozen=True)
class PooledHead:
    """The last features `(B, h, w, K)` of a model and the Dense layer on their average."""

    features: keras.KerasTensor
    dense: keras.layers.Dense

    def maps(self, features, classes):
        """`(B, h, w, K), (B, k) -> (B, k, h, w)`, in units of the logit, without its bias.

        One unit is the logit of class 1; that of class 0 is its negative.
        """
        kernel = ops.transpose(ops.cast(self.dense.kernel, "float32"))
        if self.dense.units == 1:
            kernel = ops.concatenate([-kernel, kernel], axis=0)
        weights = ops.take(kernel, classes, axis=0)
        return ops.einsum("bhwc,bkc->bkhw", ops.cast(features, "float32"), weights)


def pooled_head(model: keras.Model) -> PooledHead | None:
    """The head GlobalAveragePooling2D, (Dropout, Flatten), Dense, (Softmax); None for others."""
    if not getattr(model, "inputs", None) or len(model.outputs) != 1:
        return None
    layer, tensor = _skip(model.outputs[0], _AFTER_SCORES)
    if not isinstance(layer, keras.layers.Dense):
        return None
    dense = layer
    layer, tensor = _skip(tensor, _AFTER_POOLING)
    average = isinstance(layer, keras.layers.GlobalAveragePooling2D)
    if not average or layer.data_format != "channels_last":
        return None
    return PooledHead(tensor, dense)


def _skip(tensor, passed: tuple) -> tuple:
    """The first layer above `tensor` that is none of `passed`, and its input."""
    while True:
        layer, node_index, _ = tensor._keras_history
        parents = layer._inbound_nodes[node_index].input_tensors
        if len(parents) != 1 or not isinstance(layer, passed):
            return layer, parents[0] if len(parents) == 1 else None
        tensor = parents[0]


@dataclass(frozen=True)
class LinearEmbedding:
    """The last features `(B, h, w, K)` of an encoder, its embedding before unit length, between
    them an average over positions or a `Flatten`, and a `Dense` layer or none."""

    features: keras.KerasTensor
    embedding: keras.KerasTensor
    dense: keras.layers.Dense | None
    averaged: bool

    def maps(self, features, embeddings, others):
        """Shares of each position in the cosine of an embedding with others.

        `(B, h, w, K), (B, D), (B, k, D) -> (B, k, h, w)`.
        """
        features = ops.cast(features, "float32")
        directions = ops.cast(others, "float32")
        directions = directions / _length(directions)
        directions = directions / _length(ops.cast(embeddings, "float32"))[:, None]
        positions = ops.cast(ops.shape(features)[1] * ops.shape(features)[2], "float32")
        shares = self._averaged if self.averaged else self._flattened
        of_bias = (self._of_bias(directions) / positions)[..., None, None]
        return shares(features, directions, positions) + of_bias

    def _averaged(self, features, directions, positions):
        if self.dense is not None:
            directions = ops.matmul(directions, ops.transpose(self._kernel))
        return ops.einsum("bhwc,bkc->bkhw", features, directions) / positions

    def _flattened(self, features, directions, positions):
        grid = tuple(features.shape[1:])
        if self.dense is None:
            directions = ops.reshape(directions, (-1, directions.shape[1], *grid))
            return ops.einsum("bhwc,bkhwc->bkhw", features, directions)
        vectors = ops.einsum("bhwc,hwcd->bhwd", features, ops.reshape(self._kernel, (*grid, -1)))
        return ops.einsum("bhwd,bkd->bkhw", vectors, directions)

    @property
    def _kernel(self):
        return ops.cast(self.dense.kernel, "float32")

    def _of_bias(self, directions):
        if self.dense is None or self.dense.bias is None:
            return ops.zeros_like(directions[..., 0])
        return ops.matmul(directions, ops.cast(self.dense.bias, "float32"))


def linear_embedding(model: keras.Model) -> LinearEmbedding | None:
    """The head GlobalAveragePooling2D or Flatten, (Dropout), (Dense), (unit length); else None."""
    if not getattr(model, "inputs", None) or len(model.outputs) != 1:
        return None
    embedding = _above(model.outputs[0], _scales_to_unit_length)
    tensor = _above(embedding)
    layer = _maker(tensor)
    dense = layer if _is_linear(layer) else None
    if dense is not None:
        tensor = _above(_input(tensor))
    layer = _maker(tensor)
    if isinstance(layer, keras.layers.Flatten) and isinstance(
        _maker(_input(tensor)), keras.layers.GlobalAveragePooling2D
    ):
        tensor = _input(tensor)
        layer = _maker(tensor)
    averaged = isinstance(layer, keras.layers.GlobalAveragePooling2D)
    if not averaged and not isinstance(layer, keras.layers.Flatten):
        return None
    features = _input(tensor)
    if len(features.shape) != 4 or layer.data_format != "channels_last":
        return None
    return LinearEmbedding(features, embedding, dense, averaged)


def _above(tensor, passed=lambda layer, tensor: False):
    """The tensor above the layers that change nothing, and those that `passed` says."""
    while True:
        layer = _maker(tensor)
        if not isinstance(layer, _AFTER_EMBEDDING) and not passed(layer, tensor):
            return tensor
        tensor = _input(tensor)


def _maker(tensor) -> keras.layers.Layer:
    return tensor._keras_history[0]


def _input(tensor):
    """The one input of the layer that made a tensor; the tensor itself where there are others."""
    layer, node, _ = tensor._keras_history
    inputs = layer._inbound_nodes[node].input_tensors
    return inputs[0] if len(inputs) == 1 else tensor


def _is_linear(layer) -> bool:
    linear = getattr(layer, "activation", None) is keras.activations.linear
    return isinstance(layer, keras.layers.Dense) and linear


def _scales_to_unit_length(layer, tensor) -> bool:
    """Proved on numbers, whatever layer does it."""
    if layer.weights or len(tensor.shape) != 2 or _input(tensor) is tensor:
        return False
    rows = 3 * np.random.default_rng(0).normal(size=(4, tensor.shape[-1])).astype("float32")
    if _input(tensor).shape != tensor.shape:
        return False
    answer = ops.convert_to_numpy(ops.cast(layer(rows), "float32"))
    unit = rows / np.linalg.norm(rows, axis=-1, keepdims=True)
    return bool(np.abs(answer - unit).max() <= 1e-2)


def _length(vectors):
    return ops.maximum(ops.norm(vectors, axis=-1, keepdims=True), _TINY)
