"""Emoji: one thing drawn by several companies, 64 x 64 on white, in categories of two levels.

An archive `emoji.zip` (or the folder it unpacks to) with `emoji/STYLE/CODE.webp` and a table
`emoji/classes.tsv` of code, name, category, subcategory and split. The drawings are those of the
npm packages `emoji-datasource-google` and `emoji-datasource-twitter` 16.0.0 (Apache-2.0, CC-BY 4.0)
and `@lobehub/fluent-emoji-3d` 1.1.0 (MIT).
"""

import csv
import io
import os
from pathlib import Path, PurePosixPath

import numpy as np

from keras_metric import image_files
from zoo.datasets.images import Images
from zoo.datasets.reading.archives import files_below, read_members

STYLES = ("google", "twitter", "fluent")
TRAIN = "train"
_FILE = "emoji.zip"
_TABLE = "classes.tsv"
_COLUMNS = ("code", "name", "category", "split")


def load(split: str = TRAIN, data: str | Path | None = None, *, size: int = 64) -> Images:
    """The emoji of one split, "train", or those of all others, "unseen", scaled to `size`.

    `labels` are emoji, `groups` their categories, `drawers` the styles 1 to 3 of `STYLES`. The
    archive is looked for in the folder `data`, else in the one that KERAS_METRIC_DATA names (each
    may hold it as `emoji/emoji.zip`, too); `data` may also be a path of such a zip file, or of the
    folder it unpacks to.

    Raises `FileNotFoundError` without the archive, `ValueError` for a damaged one, one of another
    layout, or an unknown split.
    """
    if split not in (TRAIN, "unseen"):
        raise ValueError(
            f"There is no such split. Expected: 'train' or 'unseen'. Received: {split!r}."
        )
    place = _find(data)
    rows = [row for row in _table(place) if (row["split"] == TRAIN) == (split == TRAIN)]
    drawings = _files(place, ".webp")
    categories = sorted({row["category"] for row in rows})
    images, labels, groups, drawers = [], [], [], []
    for label, row in enumerate(rows):
        for drawer, style in enumerate(STYLES, 1):
            content = _content(drawings, f"{style}/{row['code']}.webp", place)
            images.append(image_files.read(content, (size, size), fill=255))
            labels.append(label)
            groups.append(categories.index(row["category"]))
            drawers.append(drawer)
    return Images(
        np.stack(images) if images else np.zeros((0, size, size, 3), np.uint8),
        np.array(labels, np.int64),
        tuple(f"{row['name']} {row['code']}" for row in rows),
        np.array(groups, np.int64),
        tuple(categories),
        np.array(drawers, np.int64),
    )


def _find(data: str | Path | None) -> Path:
    given = data if data is not None else os.environ.get("KERAS_METRIC_DATA")
    places = [] if given is None else [Path(given), Path(given) / "emoji"]
    for place in places:
        if place.suffix == ".zip" and place.is_file():
            return place
        if (place / _FILE).is_file():
            return place / _FILE
        if (place / _TABLE).is_file():
            return place
    raise FileNotFoundError(
        f"There are no emoji. Expected: {_FILE}, or the folder it unpacks to, in the folder of "
        f"data sets (--data, KERAS_METRIC_DATA), as such or in emoji/. Received: "
        f"{'no folder' if given is None else f'nothing of that kind in {given}'}."
    )


def _table(place: Path) -> list[dict[str, str]]:
    (content,) = _files(place, _TABLE).values() or (b"",)
    reader = csv.DictReader(io.StringIO(content.decode("utf-8")), delimiter="\t")
    rows = list(reader)
    if not rows or not set(_COLUMNS) <= set(reader.fieldnames or ()):
        raise ValueError(
            f"{place} holds no table of emoji. Expected: {_TABLE} with the columns "
            f"{', '.join(_COLUMNS)} and a row for each. Received: {len(rows)} rows with "
            f"{', '.join(reader.fieldnames or ()) or 'no columns'}."
        )
    return rows


def _files(place: Path, suffix: str) -> dict[str, bytes]:
    """`STYLE/CODE.webp` -> its bytes, and the table by its name."""
    files = files_below(place, suffix) if place.is_dir() else read_members(place, suffix)
    return {"/".join(PurePosixPath(name).parts[-2:]): content for name, content in files.items()}


def _content(drawings: dict[str, bytes], name: str, place: Path) -> io.BytesIO:
    if name not in drawings:
        raise ValueError(
            f"A drawing is missing in {place}. Expected: {name}, which {_TABLE} names. "
            f"Received: {len(drawings):,} drawings without it."
        )
    return io.BytesIO(drawings[name])
