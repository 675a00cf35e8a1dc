"""Lists of pictures: a line each, the path and perhaps the class, as TSV or CSV."""

import csv
from pathlib import Path
from typing import NamedTuple

HEADS = ("path", "file", "filename", "image")


class Line(NamedTuple):
    """A line of a list: its number in the file, the path as it stands there, the class or None."""

    number: int
    path: str
    label: str | None


def read_list(path: Path, *, classes: bool = False) -> list[Line]:
    """The lines of a list: cells apart by commas in a `.csv` file, by tabs in any other.

    Paths are relative to the folder of the list, or absolute. A first line that begins with
    `path`, `file`, `filename` or `image` is a heading. `classes`: each line must have one.

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
    found = []
    rows = csv.reader(text.splitlines(), delimiter="," if kind == "comma" else "\t")
    for number, row in enumerate(rows, 1):
        cells = [cell.strip() for cell in row]
        if not any(cells) or (number == 1 and cells[0].lower() in HEADS):
            continue
        if len(cells) > 2 or not all(cells) or (classes and len(cells) < 2):
            alone = "" if classes else ", or a path alone"
            raise ValueError(
                f"Line {number} of {path} cannot be read. Expected: a path, a {kind} and a class"
                f"{alone}. Received: {text.splitlines()[number - 1]!r}."
            )
        found.append(Line(number, cells[0], cells[1] if len(cells) == 2 else None))
    if not found:
        raise ValueError(f"{path} lists nothing. Expected: a picture a line. Received: no line.")
    return found
