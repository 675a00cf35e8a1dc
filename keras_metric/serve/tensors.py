"""TensorProto, TensorFlow's message for an array, read and written without TensorFlow."""

import math
from operator import index

import numpy as np

from keras_metric.export.runtime.description import NUMPY, STRING
from keras_metric.export.runtime.wire import field, fields, numbers

_STRINGS = 8
_HALF = 13
_VALUES = {5: "<f4", 6: "<f8", 7: None, 10: None, 11: None, _HALF: None}  # None: whole numbers


def from_message(message: bytes, *, max_bytes: int) -> np.ndarray:
    """The array in a TensorProto; texts are `bytes` in an array of objects.

    Raises:
        ValueError: broken bytes, an unknown type, values that do not fill the shape, or a shape of
            more than `max_bytes`, which a message of a few bytes can claim.
    """
    dtype, shape, content, texts, values = 0, (), None, [], []
    for number, value in fields(message):
        if number == 1:
            dtype = value
        elif number == 2:
            shape = _shape(value)
        elif number == 4:
            content = value
        elif number == _STRINGS:
            texts.append(value)
        elif number in _VALUES:
            values += _values(number, value)
    size = math.prod(shape)
    width = 24 if dtype == STRING else np.dtype(_type_name(dtype)).itemsize
    if min(shape, default=0) < 0 or size * width > max_bytes:
        raise ValueError(
            f"A tensor of shape {list(shape)} is not taken. Expected: sizes from 0 on, at most "
            f"{max_bytes:,} bytes. Received: {size * width:,} bytes."
        )
    if dtype == STRING:
        return _filled(texts, size, "O", b"").reshape(shape)
    if content is not None:
        _check_full(len(content), size * width)
        return np.frombuffer(content, NUMPY[dtype]).reshape(shape)
    if dtype == 19:  # half precision travels as the bits of 16-bit whole numbers
        return _filled(values, size, "u2", 0).view("f2").reshape(shape)
    return _filled(values, size, NUMPY[dtype], 0).reshape(shape)


def to_message(array: np.ndarray) -> bytes:
    """The TensorProto of an array of numbers, or of objects that are `bytes`."""
    shape = b"".join(field(2, field(1, length)) for length in array.shape)
    dtype = _type_number(array.dtype)
    head = field(1, dtype) + field(2, shape)
    if dtype == STRING:
        return head + b"".join(field(_STRINGS, text) for text in array.ravel())
    return head + field(4, np.ascontiguousarray(array).tobytes())


def _shape(message) -> tuple[int, ...]:
    dims = (dict(fields(dim)) for number, dim in fields(message) if number == 2)
    return tuple(index(dim.get(1, 0)) for dim in dims)


def _values(number: int, value) -> list:
    if isinstance(value, int):
        return [value]
    kind = _VALUES[number]
    return list(numbers(value)) if kind is None else np.frombuffer(value, kind).tolist()


def _filled(values: list, size: int, dtype: str, nothing) -> np.ndarray:
    """All values, or fewer of which the last fills the rest, as TensorFlow reads them."""
    if len(values) > size:
        _check_full(len(values), size)
    array = np.empty(size, dtype)
    array[: len(values)] = values
    array[len(values) :] = values[-1] if values else nothing
    return array


def _check_full(received: int, expected: int) -> None:
    if received != expected:
        raise ValueError(
            "The values do not fill the tensor. "
            f"Expected: {expected} of them. Received: {received}."
        )


def _type_name(dtype: int) -> str:
    if dtype not in NUMPY:
        raise ValueError(f"Unknown type of tensor. Expected: one of {sorted(NUMPY)}, or {STRING}. "
                         f"Received: {dtype}.")  # fmt: skip
    return NUMPY[dtype]


def _type_number(dtype: np.dtype) -> int:
    if dtype.hasobject:
        return STRING
    return next(number for number, name in NUMPY.items() if np.dtype(name) == dtype)
