"""Batches of any number of rows, 0 included."""

from keras import ops

__all__ = ["at_least_one"]


def at_least_one(*arrays):
    """The tensors (B, ...) with one row of zeros where B is 0, and what takes it away again.

    Reductions over nothing have no value, and some backends refuse them; a batch of one zero row
    has no pair, and its row is taken away before anything is reduced. A batch that is known to
    have rows is handed back as it is.
    """
    if arrays[0].shape[0]:
        return (*arrays, _as_it_is)
    count = ops.shape(arrays[0])[0]
    missing = 1 - count if isinstance(count, int) else ops.maximum(1 - count, 0)
    tensors = [ops.convert_to_tensor(x) for x in arrays]
    filled = [
        ops.concatenate([x, ops.zeros((missing, *ops.shape(x)[1:]), dtype=x.dtype)], axis=0)
        for x in tensors
    ]
    return (*filled, lambda rows: rows[:count])


def _as_it_is(rows):
    return rows
