"""Scores behind a global average are linear over positions: their kernel draws the map.

    score_c = b_c + mean over positions of  w_c . f(position)
    map_c(position) =                       w_c . f(position)

Zhou et al., "Learning Deep Features for Discriminative Localization", 2016. arXiv:1512.04150
"""

from dataclasses import dataclass

import keras
from keras import ops

_AFTER_SCORES = (keras.layers.Softmax, keras.layers.Activation, keras.layers.Identity)
_AFTER_POOLING = (keras.layers.Dropout, keras.layers.Flatten, keras.layers.Identity)


@dataclass(frozen=True)
class PooledHead:
    """The last features `(B, h, w, K)` of a model and the Dense layer on their average."""

    features: keras.KerasTensor
    dense: keras.layers.Dense

    def maps(self, features, classes):
        """`(B, h, w, K), (B, k) -> (B, k, h, w)`, in units of the logit, without its bias."""
        kernel = ops.transpose(ops.cast(self.dense.kernel, "float32"))
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
