"""Tables of photographs (CSV, TSV): a line each, with columns for path, label, split and group.

Read as a stream, so that a million lines cost seconds and no more memory than what they say.
"""

import csv
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import NamedTuple

from keras_metric.image_files import SUFFIXES

PATHS = ("path", "file", "filename", "image", "filepath", "file_path", "image_path", "photo")
LABELS = ("label", "class", "category", "name", "target")


class Row(NamedTuple):
    """A line of a table: its number in the file and the cells that were asked for."""

    number: int
    path: str
    label: str
    split: str
    group: str
    category: str


@dataclass(frozen=True)
class Columns:
    """Names of the columns; None is found by its usual names (path, label) or not read."""

    path: str | None = None
    label: str | None = None
    split: str | None = None
    group: str | None = None
    category: str | None = None


USUAL = Columns()


def rows(file: str | Path, columns: Columns = USUAL, *, labelled: bool = True) -> Iterator[Row]:
    """The lines of a table one by one; `labelled`: it must have a column of labels.

    Cells are apart by tabs, in a `.csv` file by commas, or by semicolons where the first line has
    no comma; they may stand in quotes. The text is UTF-8, with or without a byte order mark. The
    first line names the columns; a table of two columns may do without, path and label.

    Raises:
        ValueError: the file is no text, has no lines, lacks a column, or a line has too few cells.
    """
    file = Path(file)
    try:
        with file.open(encoding="utf-8-sig", newline="") as stream:
            yield from _rows(file, stream, columns, labelled)
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{file} is not a table. Expected: text in UTF-8 with a path and a label in each line. "
            f"Received: other bytes ({error.reason} at byte {error.start})."
        ) from error
    except csv.Error as error:
        raise ValueError(
            f"{file} cannot be read as a table. Expected: cells apart by commas or tabs, quotes in "
            f"pairs. Received: {error}."
        ) from error


def has_head(file: Path) -> bool:
    """Whether the first line of a table names a column of paths, and is not a picture's."""
    with file.open(encoding="utf-8-sig", newline="") as stream:
        first = stream.readline()
    cells = [
        x.strip().lower() for x in next(csv.reader([first], delimiter=_delimiter(file, first)), [])
    ]
    return any(x in PATHS for x in cells) and not any(x.endswith(SUFFIXES) for x in cells)


def _rows(file: Path, stream, columns: Columns, labelled: bool) -> Iterator[Row]:
    first = stream.readline()
    stream.seek(0)
    reader = csv.reader(stream, delimiter=_delimiter(file, first), strict=True)
    head = [cell.strip() for cell in next(reader, [])]
    places, headed = _places(file, head, columns, labelled)
    if not headed:
        yield _row(file, 1, head, places)
    for cells in reader:
        if any(cell.strip() for cell in cells):
            yield _row(file, reader.line_num, cells, places)


def _delimiter(file: Path, first: str) -> str:
    if file.suffix.lower() != ".csv":
        return "\t"
    return ";" if ";" in first and "," not in first else ","


def _places(
    file: Path, head: list[str], columns: Columns, labelled: bool
) -> tuple[tuple[int | None, ...], bool]:
    """The numbers of the columns of `Columns`, in its order; whether the table has a head."""
    named = {name.lower(): place for place, name in reversed(list(enumerate(head)))}
    asked = astuple(columns)
    found = [
        next((named[name] for name in names if name in named), None)
        for names in (
            (columns.path.lower(),) if columns.path else PATHS,
            (columns.label.lower(),) if columns.label else LABELS,
            (columns.split.lower(),) if columns.split else (),
            (columns.group.lower(),) if columns.group else (),
            (columns.category.lower(),) if columns.category else (),
        )
    ]
    options = [f"--{field.name}-column" for field in fields(columns)]
    if found[0] is None and found[1] is None and len(head) == 2 and not any(asked):
        return (0, 1, None, None, None), False
    needs = (True, labelled, False, False, False)
    for place, name, option, needed in zip(found, asked, options, needs, strict=True):
        if place is None and (name or needed):
            raise ValueError(
                f"{file} has no column {name or _kind(option)!r}. Expected: {option} with one of "
                f"{', '.join(head) or 'none'}. Received: {name or 'nothing'}."
            )
    return tuple(found), True


def _kind(option: str) -> str:
    return option.removeprefix("--").partition("-")[0]


def _row(file: Path, number: int, cells: list[str], places: tuple[int | None, ...]) -> Row:
    try:
        found = ["" if place is None else cells[place].strip() for place in places]
    except IndexError as error:
        raise ValueError(
            f"Line {number} of {file} is too short. Expected: {1 + max(p or 0 for p in places)} "
            f"cells or more. Received: {len(cells)}, {cells!r}."
        ) from error
    return Row(number, *found)
