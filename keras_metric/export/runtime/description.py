"""The signatures of a SavedModel, read without TensorFlow."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .wire import fields

STRING = 7
NUMPY = {
    1: "f4", 2: "f8", 3: "i4", 4: "u1", 5: "i2", 6: "i1", 9: "i8", 10: "?", 17: "u2", 19: "f2",
}  # fmt: skip


@dataclass(frozen=True)
class Tensor:
    """One named input or output: the tensor's name in the graph, its type and its shape."""

    name: str
    dtype: int
    shape: tuple[int, ...] | None

    def __str__(self) -> str:
        kind = "string" if self.dtype == STRING else np.dtype(NUMPY[self.dtype]).name
        return f"{kind}{'[?]' if self.shape is None else list(self.shape)}"


def missing_variables(folder: Path) -> Path | None:
    """The file of the variables that a SavedModel needs and does not have; None if it is whole.

    TensorFlow loads it all the same, and then every request fails.
    """
    index = folder / "variables" / "variables.index"
    if index.is_file():
        return None
    graph = (folder / "saved_model.pb").read_bytes()
    restores = b"RestoreV2" in graph and (b"VarHandleOp" in graph or b"VariableV2" in graph)
    return index if restores else None


@dataclass(frozen=True)
class Signature:
    inputs: dict[str, Tensor]
    outputs: dict[str, Tensor]


def _tensor_info(message: bytes) -> Tensor:
    name, dtype, shape = "", 0, None
    for field, value in fields(message):
        if field == 1:
            name = value.decode()
        elif field == 2:
            dtype = value
        elif field == 3:
            dims = list(fields(value))
            sizes = (dict(fields(dim)).get(1, 0) for number, dim in dims if number == 2)
            shape = None if (3, 1) in dims else tuple(sizes)
    return Tensor(name, dtype, shape)


def signatures(description: bytes) -> Iterator[tuple[str, Signature]]:
    """The SignatureDefs of a serialized MetaGraphDef, in alphabetical order."""
    entries = (dict(fields(entry)) for number, entry in fields(description) if number == 5)
    named = {entry[1].decode(): entry[2] for entry in entries}
    for name in sorted(named):
        if not name.startswith("__saved_model"):
            yield name, _signature(named[name])


def _signature(message: bytes) -> Signature:
    sides: dict[int, dict[str, Tensor]] = {1: {}, 2: {}}
    for side, entry in fields(message):
        if side in sides:
            pair = dict(fields(entry))
            sides[side][pair[1].decode()] = _tensor_info(pair[2])
    return Signature(*(dict(sorted(side.items())) for side in sides.values()))
