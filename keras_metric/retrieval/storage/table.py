"""What is known of each record: its id, label and metadata; and which records a filter leaves."""

import difflib
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

SCALARS = (str, int, float, bool, type(None))
RESERVED = ("id", "label")

Filter = Mapping[str, Any] | Callable[[dict[str, Any]], bool]


class Table:
    """Records in the order of their ids; metadata in columns, None where a record has none."""

    def __init__(self):
        self.ids = np.empty(0, np.int64)
        self.labels = np.empty(0, object)
        self.columns: dict[str, np.ndarray] = {}

    def __len__(self) -> int:
        return len(self.ids)

    def add(self, ids: np.ndarray, labels: list, metadata: list[dict[str, Any]]) -> None:
        """Append records whose ids are larger than all before."""
        before = len(self)
        self.ids = np.concatenate([self.ids, ids])
        self.labels = np.concatenate([self.labels, as_objects(labels)])
        names = dict.fromkeys(name for record in metadata for name in record)
        for name in [*self.columns, *(name for name in names if name not in self.columns)]:
            old = self.columns.get(name, np.full(before, None))
            new = as_objects([record.get(name) for record in metadata])
            self.columns[name] = np.concatenate([old, new])

    def keep(self, kept: np.ndarray) -> None:
        """Forget the records where `kept` (N,) is false."""
        self.ids, self.labels = self.ids[kept], self.labels[kept]
        self.columns = {name: column[kept] for name, column in self.columns.items()}

    def rows(self, ids: np.ndarray) -> np.ndarray:
        """The rows of ids, -1 for an id that no record has."""
        if not len(self.ids):
            return np.full(np.shape(ids), -1)
        rows = self.ids.searchsorted(ids)
        rows[rows == len(self.ids)] = 0
        rows[self.ids[rows] != ids] = -1
        return rows

    def record(self, row: int) -> dict[str, Any]:
        """The metadata of a row, without what it has not."""
        found = {name: column[row] for name, column in self.columns.items()}
        return {name: value for name, value in found.items() if value is not None}

    def chosen(self, filter: Filter) -> np.ndarray:
        """Which records (N,) a filter leaves."""
        if callable(filter):
            everything = (
                {"id": int(i), "label": label, **self.record(row)}
                for row, (i, label) in enumerate(zip(self.ids, self.labels, strict=True))
            )
            return np.fromiter((bool(filter(x)) for x in everything), bool, len(self))
        left = np.ones(len(self), bool)
        columns = {"id": self.ids.tolist(), "label": self.labels, **self.columns}
        for name, allowed in conditions(filter, list(columns) if len(self) else None).items():
            left &= np.fromiter((value in allowed for value in columns[name]), bool, len(self))
        return left

    def write(self, folder: Path) -> None:
        np.save(folder / "ids.npy", self.ids)
        content = {
            "labels": self.labels.tolist(),
            "metadata": {name: column.tolist() for name, column in self.columns.items()},
        }
        text = json.dumps(content, allow_nan=False)  # in ASCII: names of files may not be UTF-8
        (folder / "records.json").write_text(text, encoding="utf-8")

    @classmethod
    def read(cls, folder: Path) -> "Table":
        content = json.loads((folder / "records.json").read_text(encoding="utf-8"))
        table = cls()
        table.ids = np.load(folder / "ids.npy", allow_pickle=False)
        table.labels = as_objects(content["labels"])
        table.columns = {name: as_objects(v) for name, v in content["metadata"].items()}
        return table


def conditions(filter: Mapping[str, Any], known: Sequence[str] | None) -> dict[str, frozenset]:
    """Name -> the values allowed, of a filter {name: value, or a set or list of values}.

    Raises:
        KeyError: a name that no record has, if the `known` ones are given.
        TypeError: neither a mapping nor a function.
    """
    if not isinstance(filter, Mapping):
        raise TypeError(
            "The filter cannot be applied. Expected: a dictionary {name: value or set of values}, "
            f"or a function of a record. Received: {filter!r}."
        )
    for name in filter:
        if known is not None and name not in known:
            nearest = difflib.get_close_matches(str(name), known, n=1)
            hint = f" (did you mean {nearest[0]!r}?)" if nearest else ""
            raise KeyError(
                f"No record has this. Expected: one of {', '.join(known)}. "
                f"Received: {name!r}{hint}."
            )
    return {name: _allowed(value) for name, value in filter.items()}


def checked_labels(labels, count: int) -> list:
    """A label for each of `count` records: an integer, a string, or None.

    Raises:
        ValueError: another number of labels, or another type.
    """
    if labels is None:
        return [None] * count
    if hasattr(labels, "shape"):
        if tuple(labels.shape) not in ((count,), (count, 1)):
            raise ValueError(
                f"The labels do not fit. Expected: one for each of {count} embeddings; several of "
                "a record are metadata, a text or a number a name. "
                f"Received: labels of shape {tuple(labels.shape)}."
            )
        labels = np.ravel(labels)
    found = [_plain(label) for label in as_objects(labels)]
    strange = [x for x in found if x is not None and type(x) not in (int, str)]
    if len(found) != count or strange:
        what = f"{strange[0]!r}" if strange else f"{len(found)} labels"
        raise ValueError(
            f"The labels do not fit. Expected: an integer, a string or None for each of {count} "
            f"embeddings. Received: {what}."
        )
    return found


def checked_metadata(metadata, count: int) -> list[dict[str, Any]]:
    """A dictionary for each of `count` records; given so, or as columns {name: values}.

    Raises:
        ValueError: another number of them, a reserved name, or a value that is no scalar.
    """
    if metadata is None:
        return [{}] * count
    if isinstance(metadata, Mapping):
        lengths = {name: len(values) for name, values in metadata.items()}
        if wrong := {name: n for name, n in lengths.items() if n != count}:
            raise _no_metadata(count, f"{wrong}")
        rows = zip(*metadata.values(), strict=True) if metadata else [()] * count
        metadata = [dict(zip(metadata, row, strict=True)) for row in rows]
    if len(metadata) != count:
        raise _no_metadata(count, f"{len(metadata)}")
    if strange := [record for record in metadata if not isinstance(record, Mapping)]:
        raise _no_metadata(count, f"{strange[0]!r}")
    found = [{name: _plain(value) for name, value in record.items()} for record in metadata]
    for name, value in ((n, v) for record in found for n, v in record.items()):
        if not isinstance(name, str) or name in RESERVED or type(value) not in SCALARS:
            raise _no_metadata(count, f"{name!r}: {value!r}")
        if isinstance(value, float) and not np.isfinite(value):
            raise _no_metadata(count, f"{name!r}: {value!r}")
    return found


def as_objects(values) -> np.ndarray:
    """A one-dimensional array of Python objects, whatever they are."""
    values = values.tolist() if isinstance(values, np.ndarray) else list(values)
    found = np.empty(len(values), object)
    found[:] = values
    return found


def _no_metadata(count: int, received: str) -> ValueError:
    return ValueError(
        f"The metadata do not fit. Expected: for each of {count} embeddings a dictionary of names "
        f"(but for {' and '.join(RESERVED)}) to strings, finite numbers, booleans or None. "
        f"Received: {received}."
    )


def _allowed(value) -> frozenset:
    several = isinstance(value, set | frozenset | list | tuple | np.ndarray | range)
    return frozenset(map(_plain, value if several else [value]))


def _plain(value):
    """A NumPy scalar as Python's own."""
    return value.item() if isinstance(value, np.generic) else value
