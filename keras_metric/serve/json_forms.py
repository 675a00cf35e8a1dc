"""The two forms of a JSON request, rows and columns, and of its answer.

    {"instances": [row, ...]}      ->  {"predictions": [row, ...]}     every tensor has a first axis
    {"inputs": value or by name}   ->  {"outputs": value or by name}

A row, or the value, is by name where a signature has several inputs or outputs. Bytes travel as
{"b64": "..."}; an output of bytes does so where its name ends in `_bytes`, and is text otherwise.
"""

import base64
import binascii

import numpy as np

from keras_metric.export.runtime import Signature, Tensor
from keras_metric.export.runtime.description import NUMPY, STRING
from keras_metric.serve.refusals import Refusal


def inputs_of(body: dict, signature: Signature) -> tuple[dict[str, np.ndarray], bool]:
    """The arrays of a request by name, and whether it came in rows."""
    if ("instances" in body) == ("inputs" in body):
        raise _invalid(
            'The request has no values, or two forms of them. Expected: one of "instances" (rows) '
            f'and "inputs" (columns). Received: {", ".join(body) or "none"}.'
        )
    in_rows = "instances" in body
    columns = _columns(body["instances"], signature) if in_rows else body["inputs"]
    if not in_rows and not _is_by_name(columns, signature):
        columns = {_only(signature.inputs): columns}
    if set(columns) != set(signature.inputs):
        raise _invalid(
            f"Wrong inputs. Expected: {', '.join(signature.inputs)}. "
            f"Received: {', '.join(map(str, columns)) or 'none'}."
        )
    return {name: _array(columns[name], t, name) for name, t in signature.inputs.items()}, in_rows


def answer_of(outputs: dict[str, np.ndarray], *, in_rows: bool) -> dict:
    """The answer, in the form of the request."""
    values = {name: _plain(array, name) for name, array in outputs.items()}
    if len(values) == 1:
        (value,) = values.values()
        return {"predictions" if in_rows else "outputs": value}
    if not in_rows:
        return {"outputs": values}
    rows = zip(*values.values(), strict=True)
    return {"predictions": [dict(zip(values, row, strict=True)) for row in rows]}


def _columns(rows, signature: Signature) -> dict:
    if not isinstance(rows, list):
        raise _invalid(
            '"instances" is not a list of rows. Expected: [row, ...]. '
            f"Received: {type(rows).__name__}."
        )
    if not rows:
        return {name: [] for name in signature.inputs}
    if not all(_is_by_name(row, signature) for row in rows):
        return {_only(signature.inputs): rows}
    if any(set(row) != set(rows[0]) for row in rows):
        raise _invalid(
            "The rows have different names. Expected: the same names in every row. Received: "
            f"{sorted({', '.join(sorted(row)) for row in rows})}."
        )
    return {name: [row[name] for row in rows] for name in rows[0]}


def _is_by_name(value, signature: Signature) -> bool:
    named = isinstance(value, dict) and set(value) != {"b64"}
    if not named and len(signature.inputs) > 1:
        raise _invalid(
            f"The values have no names. Expected: values by name: {', '.join(signature.inputs)}. "
            f"Received: {type(value).__name__}."
        )
    return named


def _only(inputs: dict) -> str:
    (name,) = inputs
    return name


def _array(value, tensor: Tensor, name: str) -> np.ndarray:
    try:
        return _texts(value) if tensor.dtype == STRING else _numbers(value, tensor)
    except (ValueError, TypeError, OverflowError, RecursionError, binascii.Error) as error:
        raise _invalid(f"Input {name} is not {tensor}: {error}") from error


def _numbers(value, tensor: Tensor) -> np.ndarray:
    wanted = np.dtype(NUMPY[tensor.dtype])
    if value == [] and tensor.shape is not None:
        return np.zeros((0, *(max(length, 0) for length in tensor.shape[1:])), wanted)
    given = np.array(value)
    if given.dtype.kind not in {"f": "iuf", "b": "b"}.get(wanted.kind, "iu"):
        raise ValueError(f"the values are of kind {given.dtype}")
    with np.errstate(over="ignore"):
        array = given.astype(wanted)
    if wanted.kind in "iu" and (array != given).any():
        raise ValueError("a value is out of range")
    return array


def _texts(value) -> np.ndarray:
    """Strings and {"b64": ...}, nested in lists, as an array of `bytes`."""
    shape, texts = _nested(value)
    array = np.empty(len(texts), object)
    array[:] = texts
    return array.reshape(shape)


def _nested(part) -> tuple[tuple[int, ...], list[bytes]]:
    if not isinstance(part, list):
        return (), [_text(part)]
    inner = [_nested(each) for each in part]
    if len({shape for shape, _ in inner}) > 1:
        raise ValueError("lists of different lengths")
    shape = inner[0][0] if inner else ()
    return (len(part), *shape), [text for _, texts in inner for text in texts]


def _text(part) -> bytes:
    if isinstance(part, str):
        return part.encode()
    if isinstance(part, dict) and set(part) == {"b64"} and isinstance(part["b64"], str):
        return base64.b64decode(part["b64"], validate=True)
    raise ValueError('expected strings, or {"b64": ...}')


def _plain(array: np.ndarray, name: str):
    if not array.dtype.hasobject:
        return array.tolist()
    as_bytes = name.endswith("_bytes")
    texts = [
        {"b64": base64.b64encode(text).decode()} if as_bytes else text.decode(errors="replace")
        for text in array.ravel()
    ]
    wrapped = np.empty(array.size, object)
    wrapped[:] = texts
    return wrapped.reshape(array.shape).tolist()


def _invalid(message: str) -> Refusal:
    return Refusal("INVALID_ARGUMENT", message)
