"""Operations in fewer steps than `keras.ops` takes, above all on torch, which runs them one by one.

There `keras.ops` makes a tensor of every number that it is given, on a GPU a copy and a wait each.
On TensorFlow and JAX, which compile what a loss does, most are the operations of `keras.ops`.
"""

import math

import keras
from keras import ops

__all__ = [
    "at_least",
    "in_columns",
    "known",
    "largest_magnitude",
    "rows_at",
    "switch",
    "where",
]


def where(mask, x, otherwise):
    """x where the mask is True, else `otherwise`; each of the two a tensor or a number."""
    if _are_of_torch(mask, *(part for part in (x, otherwise) if not isinstance(part, int | float))):
        return torch.where(mask, x, otherwise)
    return ops.where(mask, x, otherwise)


def at_least(x, least: float):
    """The larger of a tensor and a number."""
    return x.clamp_min(least) if _are_of_torch(x) else ops.maximum(x, least)


def in_columns(values, columns):
    """Of each row of (A, C) its values in columns (A, S), int32 from 0 on: (A, S)."""
    if _are_of_torch(values, columns):
        return values.gather(1, columns.long())
    return ops.take_along_axis(values, columns, axis=1)


def largest_magnitude(x):
    """max |x| over the whole tensor, (); without gradient."""
    if _are_of_torch(x) and x.numel():
        return torch.linalg.vector_norm(x.detach(), math.inf)
    return ops.stop_gradient(ops.amax(ops.abs(x)))


def rows_at(rows, places):
    """Rows (C, D) at places of any shape (...), int32 from 0 on: (..., D)."""
    if _are_of_torch(rows, places):
        return torch.nn.functional.embedding(places, rows)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.gather(rows, places)
    return ops.take(rows, places, axis=0)


def switch(index, branches):
    """The result of the branch at a whole number, (): 0 for the first."""
    if keras.backend.backend() != "torch":
        return ops.switch(index, branches)
    return branches[_whole(index)]()


def known(tensor):
    """The values as a NumPy array, or None while a graph is being traced and there are none."""
    if keras.backend.backend() == "torch" and torch.compiler.is_compiling():
        return None
    try:
        return ops.convert_to_numpy(tensor)
    except (NotImplementedError, TypeError):
        return None


def _whole(index) -> int:
    return int(index)


def _are_of_torch(*tensors) -> bool:
    """Not so of arrays and of the symbols with which Keras builds a network."""
    return keras.backend.backend() == "torch" and all(map(torch.is_tensor, tensors))


if keras.backend.backend() == "torch":
    import torch

    # what depends on data ends a compiled graph; like this without a warning
    _whole = torch.compiler.disable(_whole)
