"""Photographs of folders and tables, listed: where each lies and what is known of it."""

import hashlib
import os
from array import array
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from keras_metric import image_files
from zoo.datasets.reading import tables
from zoo.datasets.reading.paths import Paths
from zoo.datasets.reading.tables import USUAL, Columns

PARTS = ("train", "validation", "test")
PART_NAMES = {
    **dict.fromkeys(("train", "training"), 0),
    **dict.fromkeys(("validation", "valid", "val", "dev"), 1),
    **dict.fromkeys(("test", "testing"), 2),
}
TABLES = (".csv", ".tsv", ".txt")
MISSING, NO_LABEL, TWICE = "not there", "no label", "named twice"
HEADERS = 50_000  # photographs up to which every file is opened as far as its header


class _One(NamedTuple):
    path: str
    label: str
    part: int
    group: str
    category: str = ""


@dataclass(frozen=True, eq=False)
class Listing:
    """N photographs with their classes; nothing is decoded yet.

    - `paths`: absolute. `labels`: `(N,)` int32, `names[label]` is the class.
    - `parts`: `(N,)` int8, the place in `PARTS` that the source says; -1 where it says nothing.
    - `groups`: `(N,)` int32, equal for photographs of one thing; None without groups.
    - `categories`: of each class the category that the table says, or None without categories.
    - `skipped`: pairs of a path (of a table: with its line) and the reason why it is left out.
    """

    paths: Paths
    labels: np.ndarray
    names: tuple[str, ...]
    parts: np.ndarray
    groups: np.ndarray | None
    skipped: tuple[tuple[str, str], ...] = ()
    categories: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.paths)

    @property
    def digest(self) -> str:
        """SHA-256 of the file names and of all that is known of them, in order; not of pixels."""
        found = hashlib.sha256()
        for row, path in enumerate(self.paths):
            group = -1 if self.groups is None else self.groups[row]
            label = self.names[self.labels[row]]
            found.update(f"{path.rpartition(os.sep)[2]}\t{label}\t{self.parts[row]}\t{group}\n".encode(
                errors="surrogateescape"))  # fmt: skip
        return found.hexdigest()[:16]


def is_source(place: str | Path) -> bool:
    """Whether this is a folder, or a table by its name."""
    place = Path(place)
    return place.is_dir() or (place.is_file() and place.suffix.lower() in TABLES)


def as_setting(places: Sequence[str | Path]) -> str:
    """The absolute paths of folders and tables in one text; `places_of` takes it apart.

    Raises:
        ValueError: a path with the character that stands between paths.
    """
    paths = [str(Path(place).absolute()) for place in places]
    odd = [path for path in paths if os.pathsep in path]
    if odd:
        raise ValueError(
            f"A path cannot be written down. Expected: paths without {os.pathsep!r}. "
            f"Received: {odd[0]!r}."
        )
    return os.pathsep.join(paths)


def places_of(setting: str) -> list[str]:
    """The paths that `as_setting` joined."""
    return [place for place in setting.split(os.pathsep) if place]


def listed(places: Sequence[str | Path], columns: Columns = USUAL) -> Listing:
    """The photographs of folders and tables together; classes of the same name are one class.

    A folder has a sub-folder a class; or sub-folders `train`, `validation` (`val`, `valid`) and
    `test`, each with a sub-folder a class, which then say the split. Paths of a table are relative
    to its folder, or absolute. What is missing, has no label, is named twice or does not open as a
    picture is in `skipped`; files are opened where there are no more than 50,000.

    Raises:
        FileNotFoundError: no such folder or table, or not one of the files that a table names.
        ValueError: a folder without classes, a table that cannot be read, an unknown part.
    """
    gathered = _Gathered()
    for place in map(Path, places):
        if not is_source(place):
            raise FileNotFoundError(
                f"There are no photographs at {place}. Expected: a folder with one sub-folder a "
                f"class, or a table ({', '.join(TABLES)}). Received: "
                f"{'a file of another kind' if place.exists() else 'nothing of that name'}."
            )
        before = len(gathered.labels)
        found = (
            _of_folder(place, gathered) if place.is_dir() else _of_table(place, columns, gathered)
        )
        gathered.take(found)
        if len(gathered.labels) == before:
            _refuse_empty(place, gathered.skipped)
    return gathered.listing(opened=len(gathered.labels) <= HEADERS)


class _Gathered:
    """Columns that grow: a number each where a number will do."""

    def __init__(self):
        self.block, self.ends = bytearray(), array("q")
        self.labels, self.parts, self.groups = array("i"), array("b"), array("i")
        self.names: dict[str, int] = {}
        self.group_names: dict[str, int] = {"": -1}
        self.categories: dict[str, str] = {}
        self.seen: set[int] = set()
        self.skipped: list[tuple[str, str]] = []

    def take(self, found: Iterator[_One]) -> None:
        for path, label, part, group, category in found:
            mark = hash(path)
            if mark in self.seen:
                self.skipped.append((path, TWICE))
                continue
            self.seen.add(mark)
            self.block += path.encode(errors="surrogateescape")
            self.ends.append(len(self.block))
            self.labels.append(self.names.setdefault(label, len(self.names)))
            self.parts.append(part)
            self.categories[label] = self.categories.get(label) or category
            self.groups.append(self.group_names.setdefault(group, len(self.group_names) - 1))

    def listing(self, *, opened: bool) -> Listing:
        paths = Paths(bytes(self.block), np.array(self.ends, np.int64))
        self.block, self.seen = bytearray(), set()
        names = sorted(self.names)
        order = np.empty(len(names), np.int32)
        order[[self.names[name] for name in names]] = np.arange(len(names), dtype=np.int32)
        labels, parts = order[np.array(self.labels, np.int64)], np.array(self.parts, np.int8)
        groups = np.array(self.groups, np.int32)
        categories = tuple(self.categories[name] for name in names)
        whole = Listing(
            paths,
            labels,
            tuple(names),
            parts,
            _grouped(groups),
            tuple(self.skipped),
            categories if any(categories) else None,
        )
        return _without_broken(whole) if opened else whole


def _grouped(groups: np.ndarray) -> np.ndarray | None:
    """Each photograph without a group is a group of its own; None where none has one."""
    alone = groups < 0
    if alone.all():
        return None
    groups = groups.copy()
    groups[alone] = groups.max() + 1 + np.arange(alone.sum(), dtype=np.int32)
    return groups


def _without_broken(listing: Listing) -> Listing:
    faults = [image_files.header_fault(path) for path in listing.paths]
    good = np.array([fault is None for fault in faults], bool)
    if good.all():
        return listing
    broken = [(listing.paths[row], faults[row] or "") for row in np.flatnonzero(~good)]
    if not good.any():
        _refuse_empty(Path(broken[0][0]).parent, broken)
    rows = np.flatnonzero(good)
    kept, labels = np.unique(listing.labels[rows], return_inverse=True)
    return Listing(
        listing.paths.of_rows(rows),
        labels.astype(np.int32),
        tuple(listing.names[label] for label in kept),
        listing.parts[rows],
        None if listing.groups is None else listing.groups[rows],
        (*listing.skipped, *broken),
        listing.categories and tuple(listing.categories[label] for label in kept),
    )


def _of_folder(folder: Path, gathered: _Gathered) -> Iterator[_One]:
    inside = [entry for entry in sorted(folder.iterdir()) if not entry.name.startswith(".")]
    folders = [entry for entry in inside if entry.is_dir()]
    parted = folders and all(entry.name.lower() in PART_NAMES for entry in folders)
    if parted and all(any(below.is_dir() for below in entry.iterdir()) for entry in folders):
        for entry in folders:
            yield from _classes(entry, PART_NAMES[entry.name.lower()], gathered)
    else:
        yield from _classes(folder, -1, gathered)


def _classes(folder: Path, part: int, gathered: _Gathered) -> Iterator[_One]:
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            gathered.skipped.append((str(entry), image_files.HIDDEN))
        elif not entry.is_dir():
            gathered.skipped.append((str(entry), "not in the folder of a class"))
        else:
            for path, reason in image_files.below(entry):
                if reason is None:
                    yield _One(os.path.abspath(path), entry.name, part, "")
                else:
                    gathered.skipped.append((str(path), reason))


def _of_table(file: Path, columns: Columns, gathered: _Gathered) -> Iterator[_One]:
    folder = os.path.abspath(file.parent)
    for row in tables.rows(file, columns):
        path = os.path.normpath(os.path.join(folder, row.path))
        if not row.label:
            gathered.skipped.append((f"{path} (line {row.number} of {file})", NO_LABEL))
        elif not row.path or not os.path.isfile(path):
            gathered.skipped.append((f"{path} (line {row.number} of {file})", MISSING))
        else:
            yield _One(path, row.label, _part(row, file), row.group, row.category)


def _part(row: tables.Row, file: Path) -> int:
    if not row.split:
        return -1
    part = PART_NAMES.get(row.split.lower())
    if part is None:
        raise ValueError(
            f"Line {row.number} of {file} is in an unknown part. Expected: one of "
            f"{', '.join(PART_NAMES)}, or nothing. Received: {row.split!r}."
        )
    return part


def _refuse_empty(place: Path, skipped: list[tuple[str, str]]) -> None:
    first = f"{skipped[-1][0]}: {skipped[-1][1]}" if skipped else "nothing"
    if any(reason == MISSING for _, reason in skipped):
        raise FileNotFoundError(
            f"Not one photograph that {place} names is there. Expected: paths from the folder of "
            f"the table, or whole ones. Received: {len(skipped):,} left out, such as {first}."
        )
    raise ValueError(
        f"There are no photographs to learn from in {place}. Expected: a sub-folder a class, with "
        f"pictures ({', '.join(image_files.SUFFIXES)}). Received: {len(skipped):,} other files, "
        f"such as {first}."
    )
