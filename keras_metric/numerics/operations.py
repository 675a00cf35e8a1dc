"""Operations that cost less than those of `keras.ops`, in steps or in their gradients.

Torch runs operations one by one, and there `keras.ops` makes a tensor of every number that it is
given, on a GPU a copy and a wait each. On TensorFlow the gradient of a transpose can take longer
than a small product, that of a gather writes a whole matrix of zeros, that of a masked log-sum-exp
passes three times over the matrix, that of a row of length 1 takes twice the steps it needs,
softplus takes one number at a time, and softmax cross-entropy passes over targets that are a mask.
This file meets the backends.
"""

import math

import keras
from keras import ops

__all__ = [
    "all_products",
    "at_least",
    "at_least_one",
    "cross_entropy_of_chosen",
    "known_values",
    "largest_magnitude",
    "masked_logsumexp",
    "may_branch",
    "nan_unless_finite",
    "softplus",
    "switch",
    "take_columns",
    "take_rows",
    "unit_rows",
    "where",
    "with_columns",
]

_HUGE = 1e37  # its negative stands in place of minus infinity
_LEAST = 1e-36  # a float32 at or below it has no inverse and counts as 0


def where(mask, x, otherwise):
    """x where the mask is True, else `otherwise`; each of the two a tensor or a number."""
    if _are_of_torch(mask, *(part for part in (x, otherwise) if not isinstance(part, int | float))):
        return torch.where(mask, x, otherwise)
    return ops.where(mask, x, otherwise)


def at_least(x, least: float):
    """The larger of a tensor and a number."""
    return x.clamp_min(least) if _are_of_torch(x) else ops.maximum(x, least)


def take_columns(values, columns):
    """Of each row of (A, C) its values in columns (A, S), int32 from 0 on: (A, S)."""
    if _are_of_torch(values, columns):
        return values.gather(1, columns.long())
    return ops.take_along_axis(values, columns, axis=1)


def largest_magnitude(x):
    """max |x| over the whole tensor, (); without gradient."""
    if _are_of_torch(x) and x.numel():
        return torch.linalg.vector_norm(x.detach(), math.inf)
    return ops.stop_gradient(ops.amax(ops.abs(x)))


def take_rows(rows, places):
    """Rows (C, D) at places of any shape (...), int32 from 0 on: (..., D)."""
    if _are_of_torch(rows, places):
        return torch.nn.functional.embedding(places, rows)
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.gather(rows, places)
    return ops.take(rows, places, axis=0)


def switch(index, branches, *tensors):
    """branches[index](*tensors), index a whole number, (): only that one is run.

    The tensors have A rows; a branch returns (A,) floats and whatever else, which has no gradient.
    Gradients reach the tensors, not what else a branch reads. On TensorFlow the backward pass runs
    the last branch, the rarest, again: what two branches keep for it goes through the same places,
    and a float of the one where the other has an integer is an invalid graph to TensorFlow.
    """
    if keras.backend.backend() == "tensorflow":
        return _switch(index, branches, tensors)
    if keras.backend.backend() == "jax":
        return ops.switch(index, branches, *tensors)
    return branches[_whole(index)](*tensors)


def may_branch(*tensors, loops: bool = False) -> bool:
    """Whether a branch around gathers of these tensors can be compiled, with its gradient.

    XLA on TensorFlow ends the process at the scatter of such a gradient if a size is not known,
    and breaks its memory where there are `loops` in the branch.
    """
    known = all(None not in tensor.shape for tensor in tensors)
    if (known and not loops) or keras.backend.backend() != "tensorflow":
        return True
    import tensorflow as tf
    from tensorflow.python.ops import control_flow_util

    return not control_flow_util.GraphOrParentsInXlaContext(tf.compat.v1.get_default_graph())


def nan_unless_finite(values, *tensors):
    """The values; NaN, as are their gradients, where any tensor holds a number that is not finite.

    Comparisons with NaN are False: miners and hinges would drop such rows and show a loss of 0.
    """
    different = {id(tensor): tensor for tensor in tensors}.values()
    total = sum(ops.sum(ops.stop_gradient(x) * 1e-30) for x in different)  # finite if they are
    return values * ops.cast(where(ops.isfinite(total), 1.0, float("nan")), values.dtype)


def known_values(tensor):
    """The values as a NumPy array, or None while a graph is being traced and there are none."""
    if keras.backend.backend() == "torch" and torch.compiler.is_compiling():
        return None
    try:
        return ops.convert_to_numpy(tensor)
    except (NotImplementedError, TypeError):
        return None


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


def all_products(anchors, candidates):
    """Inner products of all anchors with all candidates, (..., A, D), (..., C, D) -> (..., A, C).

    In full float32 on JAX, too, which by itself rounds factors to 10 bits on a GPU; who sets
    `jax_default_matmul_precision` gets that. TensorFlow has a switch for the whole program only.
    """
    if keras.backend.backend() == "tensorflow":
        import tensorflow as tf

        return tf.matmul(anchors, candidates, transpose_b=True)
    if keras.backend.backend() == "jax":
        import jax

        precision = None if jax.config.jax_default_matmul_precision else "highest"
        return jax.numpy.matmul(anchors, candidates.swapaxes(-1, -2), precision=precision)
    return ops.matmul(anchors, ops.swapaxes(candidates, -1, -2))


def with_columns(values, columns):
    """(A, C), (A, S) int32 -> the values as they are, and those in the columns, (A, S).

    What is computed from either reaches the same values: take the first instead of `values`.
    """
    if keras.backend.backend() == "tensorflow":
        return _with_columns(values, columns)
    return values, take_columns(values, columns)


def masked_logsumexp(values, mask, scale: float = 1.0, *, axis: int = -1):
    """log sum exp(scale · value) over the chosen values along an axis.

    Where none is chosen it is a huge negative number, with gradient 0.
    """
    away = -_HUGE / scale if abs(scale) > 1 else (-_HUGE if scale > 0 else _HUGE)
    if keras.backend.backend() == "tensorflow":
        return _masked_logsumexp(values, mask, scale, away, axis)
    chosen = where(mask, values, away)
    nearest = (ops.amax if scale > 0 else ops.amin)(chosen, axis=axis, keepdims=True)
    peak = ops.stop_gradient(nearest)
    total = ops.sum(ops.exp(scale * (chosen - peak)), axis=axis)
    return ops.log(total) + scale * ops.squeeze(peak, axis=axis)


def cross_entropy_of_chosen(logits, mask):
    """log sum exp of a row minus the mean of its chosen values, (A, C), (A, C) -> (A,).

    Softmax cross-entropy against targets spread evenly over the mask; of an empty row, the first.
    """
    if keras.backend.backend() == "tensorflow":
        return _cross_entropy_of_chosen(logits, mask)
    share = 1 / at_least(ops.sum(ops.cast(mask, logits.dtype), axis=1), 1)
    return ops.logsumexp(logits, axis=1) - share * ops.sum(where(mask, logits, 0), axis=1)


def softplus(x):
    """log(1 + exp(x))."""
    return _softplus(x) if keras.backend.backend() == "tensorflow" else ops.softplus(x)


def unit_rows(x):
    """x / |x| along the last axis, of any norm; a zero row becomes zero, with gradient 0."""
    if keras.backend.backend() == "tensorflow":
        return _unit_rows(x)
    largest = ops.stop_gradient(ops.amax(ops.abs(x), axis=-1, keepdims=True))
    nothing = largest <= _LEAST
    x = x * where(nothing, 0, ops.reciprocal(largest))
    squares = ops.sum(ops.square(x), axis=-1, keepdims=True)
    return x * ops.rsqrt(squares + ops.cast(nothing, x.dtype))


def _as_it_is(rows):
    return rows


def _switch(index, branches, tensors):
    """A switch whose last branch keeps nothing for the backward pass, which runs it again.

    Its gradient is chosen where the tensors enter, not added to another: they may be of size A x C.
    Zeros that are added to the result bring there what it is differentiated by.
    """
    import tensorflow as tf

    if tf.executing_eagerly():
        return branches[int(index)](*tensors)
    *branches, last = branches

    @tf.custom_gradient
    def enter(*tensors):
        def gradient(of_result, *parts):
            return tf.cond(
                index == len(branches),
                lambda: gradient_of_last(tensors, of_result),
                lambda: list(parts),
            )

        zeros = tf.zeros(tf.shape(tensors[0])[:1], tensors[0].dtype)
        return [zeros, *map(tf.identity, tensors)], gradient

    def gradient_of_last(tensors, of_result):
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(tensors)
            result, *_ = tf.nest.flatten(last(*tensors))
        parts = tape.gradient(result, tensors, of_result, unconnected_gradients="zero")
        return [tf.convert_to_tensor(part) for part in parts]

    def last_alone(*tensors):
        return tf.nest.map_structure(tf.stop_gradient, last(*tensors))

    zeros, *tensors = enter(*tensors)
    results = ops.switch(index, [*branches, last_alone], *tensors)
    first, *others = tf.nest.flatten(results)
    return tf.nest.pack_sequence_as(results, [first + zeros, *others])


def _with_columns(values, columns):
    import tensorflow as tf

    rows = tf.broadcast_to(tf.range(tf.shape(columns)[0])[:, None], tf.shape(columns))
    places = tf.stack([rows, columns], axis=-1)

    @tf.custom_gradient
    def both(values):
        def gradient(of_all, of_columns):
            return tf.tensor_scatter_nd_add(of_all, places, of_columns)

        return (tf.identity(values), tf.gather(values, columns, batch_dims=1)), gradient

    return both(values)


def _masked_logsumexp(values, mask, scale, away, axis):
    import tensorflow as tf

    @tf.custom_gradient
    def logsumexp(values):
        chosen = tf.where(mask, values, tf.constant(away, values.dtype))
        if scale > 0:
            peak = tf.reduce_max(chosen, axis=axis, keepdims=True)
            apart = chosen - peak
        else:
            peak = tf.reduce_min(chosen, axis=axis, keepdims=True)
            apart = peak - chosen
        powers = tf.exp(apart if abs(scale) == 1 else apart * abs(scale))
        total = tf.reduce_sum(powers, axis=axis, keepdims=True)

        def gradient(upstream):
            some = peak > away if away < 0 else peak < away
            return powers * tf.where(some, scale * tf.expand_dims(upstream, axis) / total, 0)

        return tf.squeeze(tf.math.log(total) + scale * peak, axis=axis), gradient

    return logsumexp(values)


def _cross_entropy_of_chosen(logits, mask):
    import tensorflow as tf

    def of_rows(x):
        return tf.reduce_sum(x, axis=1, keepdims=True)

    @tf.custom_gradient
    def value(logits):
        peak = tf.reduce_max(logits, axis=1, keepdims=True)
        powers = tf.exp(logits - peak)
        total = of_rows(powers)
        share = tf.math.reciprocal_no_nan(of_rows(tf.cast(mask, logits.dtype)))
        chosen = share * of_rows(tf.where(mask, logits, 0))

        def gradient(upstream):
            upstream = upstream[:, None]
            return powers * (upstream / total) - tf.where(mask, upstream * share, 0)

        return tf.squeeze(tf.math.log(total) + peak - chosen, 1), gradient

    return value(logits)


def _softplus(x):
    import tensorflow as tf

    @tf.custom_gradient
    def value(x):
        small = tf.exp(tf.minimum(x, -x))

        def gradient(upstream):
            return upstream * tf.where(x < 0, small, 1) / (1 + small)

        return tf.nn.relu(x) + tf.math.log1p(small), gradient

    return value(x)


def _unit_rows(x):
    import tensorflow as tf

    @tf.custom_gradient
    def rows(x):
        largest = tf.reduce_max(tf.abs(x), axis=-1, keepdims=True)
        nothing = largest <= _LEAST
        inverse = tf.where(nothing, tf.zeros_like(largest), 1 / largest)
        x = x * inverse
        squares = tf.reduce_sum(tf.square(x), axis=-1, keepdims=True)
        scale = tf.math.rsqrt(squares + tf.cast(nothing, x.dtype))
        unit = x * scale

        def gradient(upstream):
            along = tf.reduce_sum(upstream * unit, axis=-1, keepdims=True)
            return (upstream - along * unit) * (scale * inverse)

        return unit, gradient

    return rows(x)


def _whole(index) -> int:
    return int(index)


def _are_of_torch(*tensors) -> bool:
    """Not so of arrays and of the symbols with which Keras builds a network."""
    return keras.backend.backend() == "torch" and all(map(torch.is_tensor, tensors))


if keras.backend.backend() == "torch":
    import torch

    # what depends on data ends a compiled graph; like this without a warning
    _whole = torch.compiler.disable(_whole)
