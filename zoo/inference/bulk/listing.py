"""The images of a folder in one order, cut into the shards that they become."""

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from zoo.datasets.reading.folders import SUFFIXES

NO_TEXT = "The name cannot stand in a shard. Expected UTF-8. Received: other bytes."


class Part(NamedTuple):
    """What becomes one shard: its number, and the images by their path from the folder."""

    number: int
    paths: tuple[str, ...]


@dataclass(frozen=True)
class Listing:
    """Every image below a folder: by name, sorted, hidden ones left out, links not followed.

    - `paths`: from the folder, with `/`.
    - `digest`: SHA-256 of paths and file sizes: the same for the same pictures.
    - `unnamed`: files that a shard cannot name, their name not being UTF-8, each with the reason.
    """

    folder: Path
    paths: tuple[str, ...]
    digest: str
    unnamed: tuple[tuple[str, str], ...] = ()

    @classmethod
    def of(cls, folder: str | Path) -> "Listing":
        """The listing of a folder.

        Raises:
            FileNotFoundError: there is no such folder.
            ValueError: there is no image in it.
        """
        folder = Path(folder)
        if not folder.is_dir():
            received = "a file" if folder.exists() else "nothing at that path"
            raise FileNotFoundError(
                f"{folder} cannot be embedded. Expected a folder of images. Received: {received}."
            )
        found = sorted(_images(folder))
        paths = tuple(path for path, _ in found if _is_text(path))
        if not paths:
            raise ValueError(
                f"There is nothing to embed in {folder}. Expected one image at least "
                f"({', '.join(SUFFIXES)}), in it or in its sub-folders. Received: none."
            )
        digest = hashlib.sha256()
        for path, size in found:
            digest.update(f"{size} {path}\n".encode(errors="surrogateescape"))
        unnamed = tuple((ascii(path), NO_TEXT) for path, _ in found if not _is_text(path))
        return cls(folder, paths, digest.hexdigest(), unnamed)

    def parts(self, size: int) -> list[Part]:
        """The listing in pieces of `size` images; the last may be smaller."""
        starts = range(0, len(self.paths), size)
        return [Part(k, self.paths[at : at + size]) for k, at in enumerate(starts)]


def label(path: str) -> str | None:
    """The first folder of a path, None for an image that lies in no sub-folder."""
    first, slash, _ = path.partition("/")
    return first if slash else None


def _images(folder: Path) -> Iterator[tuple[str, int]]:
    """Path from the folder and size of every image; -1 for a link that leads nowhere."""
    for here, folders, names in os.walk(folder, onerror=_refuse):
        folders[:] = [name for name in folders if not name.startswith(".")]
        inside = Path(here).relative_to(folder).as_posix()
        for name in names:
            if not name.startswith(".") and name.lower().endswith(SUFFIXES):
                yield name if inside == "." else f"{inside}/{name}", _size(os.path.join(here, name))


def _size(file: str) -> int:
    try:
        return os.stat(file).st_size
    except OSError:  # reading it will say why
        return -1


def _refuse(error: OSError) -> None:
    raise PermissionError(
        f"A folder cannot be read. Expected: to see what is in {error.filename}. Received: {error}."
    ) from error


def _is_text(path: str) -> bool:
    try:
        path.encode()
    except UnicodeEncodeError:
        return False
    return True
