"""Tensors out of PyTorch's two file formats, without PyTorch and without running code.

A file of `torch.save` is a pickle, and a pickle can run any function it names. Here its
instructions are read first: one that names anything but tensors, or uses an instruction that
tensors do not need, is refused before anything is built.
"""

import hashlib
import pickle
import pickletools
import zipfile
from collections import OrderedDict
from io import BytesIO
from math import prod
from pathlib import Path
from typing import BinaryIO, NamedTuple

import numpy as np

__all__ = ["read_tensors"]

_MAGIC = 0x1950A86A20F9469CFC6C
_PROTOCOL = 1001
_MOST = 64 * 2**20  # bytes of a pickle; that of 300 tensors takes 42,000
_DTYPES = {
    "FloatStorage": "<f4",
    "DoubleStorage": "<f8",
    "HalfStorage": "<f2",
    "LongStorage": "<i8",
    "IntStorage": "<i4",
    "ShortStorage": "<i2",
    "CharStorage": "|i1",
    "ByteStorage": "|u1",
    "BoolStorage": "|b1",
}
# fmt: off
_INSTRUCTIONS = {  # that PyTorch writes; none names what it does not show
    "PROTO", "STOP", "MARK", "NONE", "NEWTRUE", "NEWFALSE", "BININT", "BININT1", "BININT2",
    "LONG1", "BINUNICODE", "EMPTY_DICT", "EMPTY_LIST", "EMPTY_TUPLE", "TUPLE", "TUPLE1",
    "TUPLE2", "TUPLE3", "SETITEM", "SETITEMS", "APPEND", "APPENDS", "BINPUT", "LONG_BINPUT",
    "BINGET", "LONG_BINGET", "GLOBAL", "REDUCE", "BUILD", "BINPERSID",
}
# fmt: on


class _Storage(NamedTuple):
    """Numbers of one type, kept under a key elsewhere in the file."""

    key: str
    dtype: np.dtype
    count: int


class _Tensor(NamedTuple):
    """A view of a storage: where it starts, its shape, and steps between elements."""

    storage: _Storage
    offset: int
    shape: tuple
    strides: tuple


def _rebuild_tensor(storage, offset, shape, strides, *_):
    return _Tensor(storage, offset, shape, strides)


def _rebuild_parameter(tensor, *_):
    return tensor


class _State(OrderedDict):
    """A `state_dict`, whose attributes (versions of modules) are not kept."""

    def __setstate__(self, state):
        pass


_KNOWN = {
    "collections OrderedDict": _State,
    "torch._utils _rebuild_tensor_v2": _rebuild_tensor,
    "torch._utils _rebuild_parameter": _rebuild_parameter,
    **{f"torch {name}": np.dtype(kind) for name, kind in _DTYPES.items()},
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module, name):
        return _KNOWN[f"{module} {name}"]

    def persistent_load(self, pid):
        kind, dtype, key, _, count, *view = pid
        if kind != "storage" or not isinstance(dtype, np.dtype) or any(view):
            raise _refused("a storage that is no plain row of numbers", repr(pid)[:80])
        return _Storage(str(key), dtype, int(count))


def read_tensors(path: str | Path, *, sha256: str | None = None) -> dict[str, np.ndarray]:
    """The tensors of a `state_dict` saved by `torch.save`, by name, as NumPy arrays.

    Both formats are read: the zip archive of PyTorch 1.6 and later, and the row of pickles before
    it. Whatever strides a tensor has in the file, the array is contiguous.

    Args:
        path: of the file.
        sha256: the expected checksum of the file, compared first.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another checksum, a file that is truncated or no `state_dict`, anything in its
            pickle that is not a tensor, sizes that do not fit.
    """
    path = Path(path)
    content = path.read_bytes()
    if sha256 is not None and hashlib.sha256(content).hexdigest() != sha256:
        raise ValueError(
            f"The file {path.name} is not the one that is known. Expected: sha256 {sha256}. "
            f"Received: {hashlib.sha256(content).hexdigest()}."
        )
    try:
        if zipfile.is_zipfile(BytesIO(content)):
            state, storages = _read_archive(content)
        else:
            state, storages = _read_pickles(content)
        if not isinstance(state, dict) or not all(isinstance(t, _Tensor) for t in state.values()):
            raise _refused("something else than tensors by name", type(state).__name__)
        return {str(name): _array(tensor, storages) for name, tensor in state.items()}
    except _Refused as error:
        raise ValueError(
            f"The file {path.name} is not read. Expected: a state_dict of torch.save: tensors of "
            f"numbers by name. Received: {error}."
        ) from None
    except Exception as error:  # a broken zip archive or pickle can raise almost anything
        raise ValueError(
            f"The file {path.name} is broken. Expected: a state_dict of torch.save. Received: "
            f"{len(content):,} bytes, {type(error).__name__}: {error}."
        ) from error


class _Refused(Exception):
    """What a file holds that tensors do not need."""


def _refused(what: str, received: str) -> _Refused:
    return _Refused(f"{what} ({received})")


def _unpickle(file: BinaryIO):
    """The next pickle of `file`, whose instructions are looked at before one is carried out."""
    start = file.tell()
    for number, (code, argument, place) in enumerate(pickletools.genops(file)):
        if code.name not in _INSTRUCTIONS:
            raise _refused("an instruction that tensors do not need", code.name)
        if code.name == "GLOBAL" and argument not in _KNOWN:
            raise _refused("a name that is no tensor's", str(argument).replace(" ", "."))
        if code.name in ("BINPUT", "LONG_BINPUT") and argument > number:
            raise _refused("a table of values with holes", f"{code.name} {argument}")
        if place - start > _MOST:
            raise _refused("a pickle that is too long", f"over {_MOST:,} bytes")
    file.seek(start)
    return _Unpickler(file).load()


def _read_pickles(content: bytes):
    """The format before PyTorch 1.6: five pickles, then every storage with its length."""
    file = BytesIO(content)
    if _unpickle(file) != _MAGIC or _unpickle(file) != _PROTOCOL:
        raise _refused("another kind of file", repr(content[:8]))
    system = _unpickle(file)
    if not system.get("little_endian"):
        raise _refused("numbers in another order of bytes", str(system))
    state = _unpickle(file)
    kinds = _storages(state)
    storages = {}
    for key in _unpickle(file):
        count = int.from_bytes(_exactly(file, 8), "little")
        if key not in kinds or count != kinds[key].count:
            raise _refused("a storage of another length than its tensors say", f"{key}: {count}")
        storages[key] = np.frombuffer(_exactly(file, count * kinds[key].dtype.itemsize),
                                      kinds[key].dtype)  # fmt: skip
    return state, storages


def _read_archive(content: bytes):
    """The format since PyTorch 1.6: a zip archive, nothing in it compressed."""
    with zipfile.ZipFile(BytesIO(content)) as archive:
        packed = [e.filename for e in archive.infolist() if e.compress_type != zipfile.ZIP_STORED]
        if packed or sum(entry.file_size for entry in archive.infolist()) > len(content):
            raise _refused("an archive that is larger inside", ", ".join(packed[:3]))
        names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        if len(names) != 1:
            raise _refused("an archive without its one data.pkl", f"{len(names)} of them")
        folder = names[0].removesuffix("data.pkl")
        order = f"{folder}byteorder"
        if order in archive.namelist() and archive.read(order) != b"little":
            raise _refused("numbers in another order of bytes", archive.read(order).decode())
        state = _unpickle(BytesIO(archive.read(names[0])))
        storages = {}
        for key, storage in _storages(state).items():
            raw = archive.read(f"{folder}data/{key}")
            if len(raw) != storage.count * storage.dtype.itemsize:
                raise _refused("a storage of another length than its tensors say", key)
            storages[key] = np.frombuffer(raw, storage.dtype)
        return state, storages


def _storages(state) -> dict[str, _Storage]:
    return {t.storage.key: t.storage for t in state.values() if isinstance(t, _Tensor)}


def _exactly(file: BinaryIO, count: int) -> bytes:
    found = file.read(count) if count >= 0 else b""
    if len(found) != count:
        raise EOFError(f"{count:,} bytes are asked for, {len(found):,} are left")
    return found


def _array(tensor: _Tensor, storages: dict) -> np.ndarray:
    """A contiguous array of the tensor; ValueError where it would read beyond its storage."""
    values = storages[tensor.storage.key]
    shape, strides = (tuple(map(int, sizes)) for sizes in (tensor.shape, tensor.strides))
    numbers = (tensor.offset, *shape, *strides)
    if len(shape) != len(strides) or min(numbers) < 0 or prod(shape) > values.size:
        raise _refused("a shape that does not fit its storage", f"{shape} of {values.size}")
    last = tensor.offset + sum((size - 1) * step for size, step in zip(shape, strides, strict=True))
    if prod(shape) and last >= values.size:
        raise _refused("a shape that does not fit its storage", f"{shape} of {values.size}")
    steps = [step * values.itemsize for step in strides]
    view = np.lib.stride_tricks.as_strided(values[tensor.offset :], shape, steps, writeable=False)
    return np.ascontiguousarray(view).reshape(shape)
