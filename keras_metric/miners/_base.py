"""The base class of miners: saved by its arguments."""

import numpy as np
from keras import ops

from keras_metric.arguments import Configured

__all__ = []


class Miner(Configured):
    """A subclass implements `__call__(pairs) -> pairs` and only removes pairs."""

    looks_beyond_row = False  # or `__call__(pairs, between)`, between: columns (A,) -> (A, C)


def one(d, mask, *, farthest: bool):
    """The mask of the farthest (or nearest) chosen column of each row, the first of equals."""
    if farthest:
        winner = ops.argmax(ops.where(mask, d, -np.inf), axis=1)
    else:
        winner = ops.argmin(ops.where(mask, d, np.inf), axis=1)
    columns = ops.arange(ops.shape(d)[1], dtype="int32")[None]
    return ops.logical_and(mask, columns == ops.cast(winner, "int32")[:, None])
