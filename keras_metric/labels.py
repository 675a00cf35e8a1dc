"""Labels: integers of any size, read, compared and never cast to a float."""

import keras
import numpy as np
from keras import ops
from keras.backend import standardize_dtype

__all__ = ["as_labels", "class_columns", "exact_labels", "has_int64", "same_class", "widened"]

_INTEGERS = ("bool", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64")


def exact_labels(labels) -> np.ndarray:
    """Labels (N,) or (N, 1) in a form that `fit` passes to a loss without loss of digits.

        labels -> (N,) int64, or (N, 1, 2) int32

    By default JAX has no 64-bit integers, and `fit` passes only the low 32 bits of each label. If
    that would change a label (outside of -2^31 ... 2^31 - 1), each label becomes two words, the low
    one and the high one, which every loss and metric here accepts as the label.

    Raises ValueError for labels that are not integers of that shape.
    """
    labels = _integers(np.asarray(labels))
    if labels.ndim not in (1, 2) or labels.ndim == 2 and labels.shape[1] != 1:
        raise _wrong_shape(labels, multi_label=False)
    labels = labels.reshape(-1).astype("int64")
    if _fit_in_32_bits(labels) or has_int64():
        return labels
    return _halves(labels)[:, None]


def as_labels(labels, *, multi_label: bool | None = False):
    """`labels` as an integer tensor (N, W): W words make one label, or W labels with `multi_label`.

    Integers are kept exactly. On a backend without 64-bit integers (JAX by default) labels beyond
    32 bits become two words, if they are NumPy or Python integers or in the form of
    `exact_labels`. A tensor of such a backend has only 32 bits, so two labels that differ by a
    multiple of 2^32 are equal in it.

    With `multi_label` a sample has the labels whose entries are above 0. None means that the caller
    has no such argument, so that the error for rows of labels does not mention it.

    Raises ValueError for None, strings, floats, more than one column without `multi_label` (one-hot
    rows), rows with other values than 0 and 1, if the values are known, or other shapes.
    """
    labels = _integers(labels, multi_label=multi_label)
    rank = len(labels.shape)
    if multi_label and rank == 2:
        if isinstance(labels, np.ndarray) and not np.isin(labels, (0, 1)).all():
            raise ValueError(
                "The rows of labels are not binary. Expected: rows of 0 and 1, (B, L). "
                f"Received: numbers from {labels.min()} to {labels.max()}."
            )
        return ops.cast(labels > 0, "float32")
    if not multi_label and rank in (1, 2) and (rank == 1 or labels.shape[1] == 1):
        return _words(ops.reshape(labels, (-1,)) if ops.is_tensor(labels) else labels.reshape(-1))
    if not multi_label and rank == 3 and tuple(labels.shape[1:]) == (1, 2):
        return _joined(ops.cast(labels, "int32")[:, 0])
    raise _wrong_shape(labels, multi_label=multi_label)


def same_class(labels, candidate_labels, *, multi_label: bool | None = False):
    """(A, W), (C, W) from `as_labels` -> (A, C): the one place where labels are compared."""
    if multi_label:
        return ops.matmul(labels, ops.transpose(candidate_labels)) > 0
    width = max(labels.shape[1], candidate_labels.shape[1])
    labels, candidate_labels = widened(labels, width), widened(candidate_labels, width)
    same = labels[:, None, 0] == candidate_labels[None, :, 0]
    for word in range(1, width):
        same = ops.logical_and(same, labels[:, None, word] == candidate_labels[None, :, word])
    return same


def class_columns(labels, classes):
    """(B, W) from `as_labels` -> the class numbers, (B,) int32, and which are from 0 to classes.

    The column of a label outside of the classes is 0.
    """
    first = labels[:, 0]
    known = ops.logical_and(first >= 0, first < ops.cast(classes, first.dtype))
    if labels.shape[1] == 2:  # the high word of a class number is 0
        known = ops.logical_and(known, labels[:, 1] == 0)
    return ops.cast(ops.where(known, first, 0), "int32"), known


def widened(words, width: int):
    """(N, W) as (N, width); the high words of labels that fit in 32 bits are their sign."""
    if words.shape[1] == width:
        return words
    return ops.concatenate([words, ops.where(words < 0, -1, ops.zeros_like(words))], axis=1)


def has_int64() -> bool:
    """Whether tensors of the backend, as it is set, have 64-bit integers."""
    if keras.backend.backend() != "jax":
        return True
    return standardize_dtype(ops.convert_to_tensor(np.zeros(1, "int64")).dtype) == "int64"


def _integers(labels, *, multi_label: bool | None = False):
    if labels is None:
        raise ValueError(
            "There are no labels. Expected: fit(images, labels), or batches of (images, labels). "
            "Received: None."
        )
    if not ops.is_tensor(labels):
        labels = np.asarray(labels)
        dtype = labels.dtype.name
    elif "string" in str(labels.dtype):
        dtype = str(labels.dtype)
    else:
        dtype = standardize_dtype(labels.dtype)
    if dtype in _INTEGERS:
        return labels
    if _is_placeholder(labels):
        return ops.cast(labels, "int64")
    if multi_label:
        raise ValueError(
            "Rows of labels must be integers. Expected: 0 and 1, (B, L), as labels.astype('int32') "
            f"makes them. Received: {dtype}."
        )
    raise ValueError(
        "Labels must be integers, so that any two ids stay different. Expected: an integer dtype "
        f"(int64, int32, ...). Received: {dtype}. Strings and floats that stand for classes become "
        "integers with np.unique(labels, return_inverse=True)[1]."
    )


def _wrong_shape(labels, *, multi_label: bool | None) -> ValueError:
    expected = "(B, L) of 0 and 1" if multi_label else "(B,) or (B, 1)"
    hint = "" if multi_label else " For one-hot rows pass ops.argmax(labels, -1)"
    if multi_label is None:
        hint += "; here a sample has one label."
    elif not multi_label:
        hint += "; for several labels a sample set multi_label=True."
    return ValueError(
        f"Labels have the wrong shape. Expected: integers of shape {expected}. "
        f"Received: shape {tuple(labels.shape)}.{hint}"
    )


def _is_placeholder(labels) -> bool:
    """Under a tf.distribute strategy Keras first traces the loss on a mean of integer labels."""
    return getattr(getattr(labels, "graph", None), "name", "").startswith("scratch_graph")


def _words(labels):
    """(N,) integers -> (N, 1), or (N, 2) halves where the backend has no 64-bit integers."""
    if ops.is_tensor(labels):
        return ops.cast(labels, "int64" if has_int64() else "int32")[:, None]
    labels = labels.astype("int64")
    if has_int64():
        return ops.convert_to_tensor(labels)[:, None]
    halves = _halves(labels)
    return ops.convert_to_tensor(halves[:, :1] if _fit_in_32_bits(labels) else halves)


def _halves(labels: np.ndarray) -> np.ndarray:
    """(N,) int64 -> (N, 2) int32: the low and the high word."""
    halves = labels.view("int32").reshape(-1, 2)
    return halves if np.little_endian else halves[:, ::-1]


def _joined(halves):
    """(N, 2) int32 words -> (N, 1) int64 where the backend has it."""
    if not has_int64():
        return halves
    low, high = ops.cast(halves[:, :1], "int64"), ops.cast(halves[:, 1:], "int64")
    return high * 2**32 + ops.where(low < 0, low + 2**32, low)


def _fit_in_32_bits(labels: np.ndarray) -> bool:
    limits = np.iinfo("int32")
    return not labels.size or limits.min <= labels.min() <= labels.max() <= limits.max
