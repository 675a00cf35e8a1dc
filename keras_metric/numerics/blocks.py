"""Row blocks: a function of rows, a block of rows at a time, recomputed in the backward pass.

Memory then grows with the block and no longer with the number of rows; value and gradient are those
of the whole. Recomputing is each backend's own business, so this file meets the backends.
"""

from collections.abc import Callable

import keras
from keras import ops

__all__ = ["map_rows", "rows_from"]


def map_rows(function: Callable, rows, shared, *, rows_per_block: int, dtype: str | None = None):
    """`function(start, block, shared)`, one block of rows at a time, put together again.

    rows: (A, ...) float tensor, cut into blocks of `rows_per_block` (the last one filled with
    zeros). shared: float tensor that every block sees whole. function(start, block, shared) returns
    (rows_per_block, ...) for the rows from `start` (a scalar int32 tensor) on; it must be finite on
    rows of zeros. Gradients reach `rows` and `shared`; whatever else the function uses is constant.
    dtype: of what the function returns, by default that of `rows`. Integers have no gradient.

    Returns (A, ...). Time: one more forward pass in the backward pass.
    """
    blocks = {"tensorflow": _tensorflow, "jax": _jax, "torch": _torch}[keras.backend.backend()]
    count = ops.shape(rows)[0]
    missing = -count % rows_per_block
    padding = ops.zeros((missing, *ops.shape(rows)[1:]), dtype=rows.dtype)
    padded = ops.concatenate([rows, padding], axis=0)
    return blocks(function, padded, shared, rows_per_block, dtype or rows.dtype)[:count]


def rows_from(tensor, size: int) -> Callable:
    """A function from a start to `size` rows of (A, W) from there on, zeros beyond the end."""
    width = tensor.shape[1]
    padded = ops.concatenate([tensor, ops.zeros((size, width), tensor.dtype)], axis=0)
    places = ops.arange(size, dtype="int32")
    return lambda start: ops.take(padded, places + start, axis=0)


def _jax(function, rows, shared, size, _):
    import jax

    count = rows.shape[0] // size
    starts = jax.numpy.arange(count, dtype="int32") * size
    blocks = rows.reshape((count, size, *rows.shape[1:]))
    one = jax.checkpoint(lambda start, block: function(start, block, shared))
    values = jax.lax.map(lambda block: one(*block), (starts, blocks))
    return values.reshape((count * size, *values.shape[2:]))


def _torch(function, rows, shared, size, _):
    import torch
    from torch.utils.checkpoint import checkpoint

    starts = range(0, rows.shape[0], size)
    return torch.cat(
        [
            checkpoint(function, start, rows[start : start + size], shared, use_reentrant=False)
            for start in starts
        ]
    )


def _tensorflow(function, rows, shared, size, dtype):
    """Two loops that share nothing but their inputs: forward values, then gradients block by block.

    `tf.recompute_grad` in a loop would do the same, were it not that the loop keeps every block.
    """
    import tensorflow as tf

    count = tf.shape(rows)[0] // size

    def block(i, tensor):
        blocks = tf.reshape(tensor, tf.concat([[count, size], tf.shape(tensor)[1:]], 0))
        return tf.ensure_shape(blocks[i], (size, *tensor.shape[1:]))

    @tf.custom_gradient
    def mapped(rows, shared):
        # a tape outside of a graph would keep what the loop computes of watched tensors
        rows, shared = tf.stop_gradient(rows), tf.stop_gradient(shared)

        def forward(i, values):
            return i + 1, values.write(i, function(i * size, block(i, rows), shared))

        array = tf.TensorArray(dtype, size=count)
        _, values = _loop(count, forward, (0, array))

        def gradient(upstream):
            def backward(i, row_gradients, shared_gradient):
                chunk = block(i, rows)
                with tf.GradientTape(watch_accessed_variables=False) as tape:
                    tape.watch([chunk, shared])
                    value = function(i * size, chunk, shared)
                of_chunk, of_shared = tape.gradient(
                    value,
                    [chunk, shared],
                    output_gradients=block(i, upstream),
                    unconnected_gradients="zero",
                )
                return i + 1, row_gradients.write(i, of_chunk), shared_gradient + of_shared

            array = tf.TensorArray(rows.dtype, size=count, element_shape=(size, *rows.shape[1:]))
            _, row_gradients, shared_gradient = _loop(
                count, backward, (0, array, tf.zeros_like(shared))
            )
            return row_gradients.concat(), shared_gradient

        return values.concat(), gradient

    def _loop(count, body, state):
        return tf.while_loop(lambda i, *_: i < count, body, state, parallel_iterations=1)

    return mapped(rows, shared)
