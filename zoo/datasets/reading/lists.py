"""Lists of pictures: a line each, the path and perhaps the class, as TSV or CSV."""

import csv
from pathlib import Path
from typing import NamedTuple, NoReturn

from zoo.datasets.reading import tables


class Line(NamedTuple):
    """A line of a list: its number in the file, the path as it stands there, the class or None."""

    number: int
    path: str
    label: str | None


def read_list(path: Path, *, classes: bool = False) -> list[Line]:
    """The lines of a list: cells apart by commas in a `.csv` file, by tabs in any other.

    Paths are relative to the folder of the list, or absolute. A first line with a name for paths
    (`path`, `file`, `image`, ...) names the columns, as in `tables.rows`: then there may be others.
    Without it a line is a path and perhaps a class. `classes`: each line must have one.

    Raises:
        ValueError: the file is no text, has no line, or a line of another form, by its number.
    """
    kind = "comma" if path.suffix.lower() == ".csv" else "tab"
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"{path} is not a list. Expected: text (UTF-8), a path and a class in each line. "
            f"Received: other bytes ({error.reason})."
        ) from error
    if tables.has_head(path):
        found = [
            Line(row.number, row.path, row.label or None)
            for row in tables.rows(path, labelled=classes)
        ]
        lacking = [line.number for line in found if not line.path or (classes and not line.label)]
        if lacking:
            raise ValueError(
                f"Line {lacking[0]} of {path} cannot be read. Expected: a path"
                f"{' and a class' if classes else ''}. Received: an empty cell."
            )
        return found or _refuse_empty(path)
    found = []
    rows = csv.reader(text.splitlines(), delimiter="," if kind == "comma" else "\t")
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row]
        if not any(cells):
            continue
        if len(cells) > 2 or not all(cells) or (classes and len(cells) < 2):
            alone = "" if classes else ", or a path alone"
            raise ValueError(
                f"Line {number} of {path} cannot be read. Expected: a path, a {kind} and a class"
                f"{alone}. Received: {text.splitlines()[number - 1]!r}."
            )
        found.append(Line(number, cells[0], cells[1] if len(cells) == 2 else None))
    return found or _refuse_empty(path)


def _refuse_empty(path: Path) -> NoReturn:
    raise ValueError(f"{path} lists nothing. Expected: a picture a line. Received: no line.")
