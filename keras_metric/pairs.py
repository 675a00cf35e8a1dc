"""Pairs: A anchors against C candidates: their distances, and which of them are of one class.

Anchors are the rows. C is wider than A when there is a memory bank, other replicas, or only a
block of the anchors; whoever reads Pairs need not know which.
"""

from typing import NamedTuple

import numpy as np
from keras import ops
from keras.backend import standardize_dtype

__all__ = [
    "Pairs",
    "as_labels",
    "count_below",
    "from_labels",
    "from_words",
    "masked_logsumexp",
    "masked_max",
    "masked_mean",
    "masked_min",
    "masked_sum",
    "same_class",
]

_SMALL = ("bool", "int8", "int16", "int32", "uint8", "uint16")
_WIDE = ("int64", "uint32", "uint64")


class Pairs(NamedTuple):
    """Distances and the two kinds of pair, `(A, C)` each. An anchor is never paired with itself."""

    distances: object
    positives: object
    negatives: object


def from_labels(
    distances, labels, candidate_labels=None, *, offset=0, multi_label: bool = False
) -> Pairs:
    """The pairs of labelled anchors with labelled candidates.

    distances: (A, C). labels: (A,) or (A, 1) integers of any size; with `multi_label` (A, L) of 0
    and 1, and two samples are positive when they share at least one label. candidate_labels: the
    same for the candidates, by default the anchors' own.
    offset: the column that is anchor 0 itself; anchor i is column `offset + i`, and that pair is
    neither positive nor negative. None when no anchor is among the candidates.

    Raises ValueError for labels that are not integers or not of these shapes (see `as_labels`).
    """
    labels = as_labels(labels, multi_label=multi_label)
    if candidate_labels is None:
        candidate_labels = labels
    else:
        candidate_labels = as_labels(candidate_labels, multi_label=multi_label)
    return from_words(distances, labels, candidate_labels, offset=offset, multi_label=multi_label)


def from_words(distances, words, candidate_words, *, offset=0, multi_label: bool = False) -> Pairs:
    """`from_labels` for labels that `as_labels` has already read."""
    same = same_class(words, candidate_words, multi_label=multi_label)
    different = ops.logical_not(same)
    if offset is None:
        return Pairs(distances, same, different)
    rows = ops.arange(ops.shape(same)[0], dtype="int32") + ops.cast(offset, "int32")
    others = rows[:, None] != ops.arange(ops.shape(same)[1], dtype="int32")[None]
    if multi_label:  # a sample without a label is not even of its own class
        different = ops.logical_and(different, others)
    return Pairs(distances, ops.logical_and(same, others), different)


def as_labels(labels, *, multi_label: bool = False):
    """`labels` as an integer tensor (N, W): W words make one label, or W labels with `multi_label`.

    Integers are kept exactly. A backend without 64-bit integers (JAX as it starts) gets labels
    beyond 32 bits as two words, if they arrive as NumPy or Python integers; what has already become
    a tensor there has 32 bits, and two labels that differ by a multiple of 2^32 are then equal.

    Raises ValueError for strings, floats, more than one column without `multi_label` (one-hot
    rows), or other shapes.
    """
    labels = _integers(labels)
    rank = len(labels.shape)
    if multi_label and rank == 2:
        return ops.cast(labels, "float32")
    if not multi_label and rank in (1, 2) and (rank == 1 or labels.shape[1] == 1):
        return _words(ops.reshape(labels, (-1,)) if ops.is_tensor(labels) else labels.reshape(-1))
    expected = "(B, L) of 0 and 1" if multi_label else "(B,) or (B, 1)"
    hint = (
        ""
        if multi_label
        else (
            " For one-hot rows pass ops.argmax(labels, -1); for several labels a sample set"
            " multi_label=True."
        )
    )
    raise ValueError(
        f"Labels have the wrong shape. Expected integers of shape {expected}. "
        f"Received: shape {tuple(labels.shape)}.{hint}"
    )


def same_class(labels, candidate_labels, *, multi_label: bool = False):
    """(A, W), (C, W) from `as_labels` -> (A, C): the one place where labels are compared."""
    if multi_label:
        return ops.matmul(labels, ops.transpose(candidate_labels)) > 0
    width = max(labels.shape[1], candidate_labels.shape[1])
    labels, candidate_labels = _widened(labels, width), _widened(candidate_labels, width)
    same = labels[:, None, 0] == candidate_labels[None, :, 0]
    for word in range(1, width):
        same = ops.logical_and(same, labels[:, None, word] == candidate_labels[None, :, word])
    return same


def _integers(labels):
    if not ops.is_tensor(labels):
        labels = np.asarray(labels)
        dtype = labels.dtype.name
    else:
        dtype = (
            str(labels.dtype)
            if "string" in str(labels.dtype)
            else (standardize_dtype(labels.dtype))
        )
    if dtype in _SMALL or dtype in _WIDE:
        return labels
    if _is_placeholder(labels):
        return ops.cast(labels, "int64")
    raise ValueError(
        "Labels must be integers, so that any two ids stay different. Expected an integer dtype "
        f"(int64, int32, ...). Received: {dtype}. Strings and floats that stand for classes become "
        "integers with np.unique(labels, return_inverse=True)[1]."
    )


def _is_placeholder(labels) -> bool:
    """Under a tf.distribute strategy Keras first traces the loss on a mean of integer labels."""
    return getattr(getattr(labels, "graph", None), "name", "").startswith("scratch_graph")


def _words(labels):
    """(N,) integers -> (N, 1), or (N, 2) halves where the backend has no 64-bit integers."""
    if ops.is_tensor(labels):
        wide = standardize_dtype(labels.dtype) in _WIDE and _has_int64()
        return ops.cast(labels, "int64" if wide else "int32")[:, None]
    labels = labels.astype("int64")
    if _has_int64():
        return ops.convert_to_tensor(labels)[:, None]
    halves = labels.view("int32").reshape(-1, 2)
    low, high = halves.T if np.little_endian else halves.T[::-1]
    if np.array_equal(high, low >> 31):
        return ops.convert_to_tensor(low[:, None])
    return ops.convert_to_tensor(np.stack([low, high], axis=1))


def _has_int64():
    return standardize_dtype(ops.convert_to_tensor(np.zeros(1, "int64")).dtype) == "int64"


def _widened(words, width):
    """The high words of labels that fit in 32 bits are their sign."""
    if words.shape[1] == width:
        return words
    return ops.concatenate([words, ops.where(words < 0, -1, ops.zeros_like(words))], axis=1)


def masked_sum(values, mask):
    """The sum of the chosen values of each row, 0 where none is chosen."""
    return ops.sum(ops.where(mask, values, 0), axis=-1)


def masked_mean(values, mask):
    """The mean of the chosen values of each row, 0 where none is chosen."""
    count = ops.sum(ops.cast(mask, values.dtype), axis=-1)
    return masked_sum(values, mask) / ops.maximum(count, 1)


def masked_max(values, mask):
    """The largest chosen value of each row, 0 where none is chosen."""
    largest = ops.max(ops.where(mask, values, -np.inf), axis=-1)
    return ops.where(ops.any(mask, axis=-1), largest, 0)


def masked_min(values, mask):
    """The smallest chosen value of each row, 0 where none is chosen."""
    smallest = ops.min(ops.where(mask, values, np.inf), axis=-1)
    return ops.where(ops.any(mask, axis=-1), smallest, 0)


def masked_logsumexp(values, mask, axis=-1):
    """log sum exp of the chosen values, -1e37 (in place of minus infinity) where none is chosen."""
    chosen = ops.where(mask, values, -1e37)
    peak = ops.stop_gradient(ops.max(chosen, axis=axis, keepdims=True))
    total = ops.sum(ops.exp(chosen - peak), axis=axis)
    return ops.log(total) + ops.squeeze(peak, axis=axis)


def count_below(in_order, limits, *, strictly: bool):
    """How many of each ascending row lie below (or at) each limit of that row: binary search."""
    in_order, limits = ops.stop_gradient(in_order), ops.stop_gradient(limits)
    width = ops.shape(in_order)[1]
    below = ops.less if strictly else ops.less_equal

    def halve(step, count):
        probe = ops.minimum(count + step, width)
        value = ops.take_along_axis(in_order, probe - 1, axis=1)
        inside = ops.logical_and(count + step <= width, below(value, limits))
        return step // 2, ops.where(inside, probe, count)

    bits = ops.floor(ops.log2(ops.cast(width, "float32") + 0.5))
    first = ops.cast(ops.power(2.0, bits) + 0.5, "int32")
    zero = ops.zeros_like(limits, dtype="int32")
    return ops.while_loop(lambda step, _: step > 0, halve, (first, zero))[1]
