"""The images of a folder or list in one order, cut into the shards that they become."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from keras_metric.image_files import SUFFIXES, below
from zoo.datasets.reading.lists import read_list

NO_TEXT = "The name cannot stand in a shard. Expected: UTF-8. Received: other bytes."


class Part(NamedTuple):
    """What becomes one shard: its number, the images by their path, and the label of each."""

    number: int
    paths: tuple[str, ...]
    labels: tuple[str | None, ...]


@dataclass(frozen=True)
class Listing:
    """Every image below a folder, by name, sorted, links not followed; or every line of a list.

    - `paths`: from the folder (of a list: its own), with `/`; `labels`: of each the first folder of
      its path, or what the list says, or None.
    - `digest`: SHA-256 of paths and file sizes, and of the labels of a list.
    - `unnamed`: images that a shard cannot name, their name not being UTF-8, each with the reason.
    - `others`: files that are no images by their name or hidden, each with the reason.
    """

    folder: Path
    paths: tuple[str, ...]
    labels: tuple[str | None, ...]
    digest: str
    unnamed: tuple[tuple[str, str], ...] = ()
    others: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, place: str | Path) -> "Listing":
        """The listing of a folder, or of a list (CSV, TSV) of paths and perhaps labels.

        Raises:
            FileNotFoundError: there is nothing at that place.
            ValueError: there is no image in it, or the file is not a list.
        """
        place = Path(place)
        if place.is_file():
            return cls._of_list(place)
        if not place.is_dir():
            raise FileNotFoundError(
                f"{place} cannot be embedded. Expected: a folder of images, or a list of them "
                "(CSV, TSV). Received: nothing at that path."
            )
        files = [(str(one.path.relative_to(place).as_posix()), one.reason) for one in below(place)]
        images = sorted(path for path, reason in files if reason is None)
        paths = tuple(path for path in images if _is_text(path))
        if not paths:
            raise ValueError(
                f"There are no images in {place}. Expected: one image at least "
                f"({', '.join(SUFFIXES)}), in it or in its sub-folders. Received: none."
            )
        digest = hashlib.sha256()
        for path in images:
            size = _size(place / path)
            digest.update(f"{size} {path}\n".encode(errors="surrogateescape"))
        return cls(
            place,
            paths,
            tuple(label(path) for path in paths),
            digest.hexdigest(),
            tuple((ascii(path), NO_TEXT) for path in images if not _is_text(path)),
            tuple((path, reason) for path, reason in files if reason is not None),
        )

    @classmethod
    def _of_list(cls, place: Path) -> "Listing":
        lines = read_list(place)
        known = {line.path: line for line in lines}
        if len(known) < len(lines):
            twice = next(line for line in lines if known[line.path] is not line)
            raise ValueError(
                f"{place} names a picture twice. Expected: each path once. Received: "
                f"{twice.path!r} in lines {twice.number} and {known[twice.path].number}."
            )
        digest = hashlib.sha256()
        for line in lines:
            size = _size(place.parent / line.path)
            digest.update(f"{size} {line.path}\t{line.label}\n".encode())
        labels = tuple(line.label for line in lines)
        return cls(place.parent, tuple(known), labels, digest.hexdigest())

    def parts(self, size: int) -> list[Part]:
        """The listing in pieces of `size` images; the last may be smaller."""
        starts = range(0, len(self.paths), size)
        return [
            Part(k, self.paths[at : at + size], self.labels[at : at + size])
            for k, at in enumerate(starts)
        ]


def label(path: str) -> str | None:
    """The first folder of a path, None for an image that lies in no sub-folder."""
    first, slash, _ = path.partition("/")
    return first if slash else None


def _size(file: Path) -> int:
    """Bytes of a file; -1 for one that is not there, which reading it will say."""
    try:
        return file.stat().st_size
    except OSError:
        return -1


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
