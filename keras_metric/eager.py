"""Operations in fewer steps than `keras.ops` takes, above all on torch, which runs them one by one.

There `keras.ops` makes a tensor of every number that it is given, on a GPU a copy and a wait each.
On TensorFlow and JAX, which compile what a loss does, most are the operations of `keras.ops`.
"""

import math

import keras
from keras import ops

__all__ = ["at_least", "in_columns", "largest_magnitude", "rows_at", "switch", "where"]


def where(mask, x, otherwise):
    """x where the mask is True, else `otherwise`; at least one of the two is a tensor."""
    if keras.backend.backend() != "torch":
        return ops.where(mask, x, otherwise)
    import torch

    return torch.where(ops.convert_to_tensor(mask, "bool"), x, otherwise)


def at_least(x, least: float):
    """The larger of a tensor and a number."""
    return x.clamp_min(least) if keras.backend.backend() == "torch" else ops.maximum(x, least)


def in_columns(values, columns):
    """Of each row of (A, C) its values in columns (A, S), int32 from 0 on: (A, S)."""
    if keras.backend.backend() != "torch":
        return ops.take_along_axis(values, columns, axis=1)
    return values.gather(1, columns.long())


def largest_magnitude(x):
    """max |x| over the whole tensor, (); without gradient."""
    if keras.backend.backend() != "torch":
        return ops.stop_gradient(ops.amax(ops.abs(x)))
    import torch

    return torch.linalg.vector_norm(x.detach(), math.inf)


def rows_at(rows, places):
    """Rows (C, D) at places of any shape (...), int32 from 0 on: (..., D)."""
    if keras.backend.backend() == "torch":
        import torch

        return torch.nn.functional.embedding(places, rows)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.gather(rows, places)
    return ops.take(rows, places, axis=0)


def switch(index, branches):
    """The result of the branch at a whole number, (): 0 for the first."""
    if keras.backend.backend() != "torch":
        return ops.switch(index, branches)
    return branches[_known(index)]()


def _known(index) -> int:
    return int(index)


if keras.backend.backend() == "torch":
    import torch

    # what depends on data ends a compiled graph; like this without a warning
    _known = torch.compiler.disable(_known)
