"""Image folders: a sub-folder a class, or a tab-separated list of path and class."""

import os
import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from zoo.datasets.images import Images
from zoo.datasets.reading._extras import need
from zoo.datasets.reading.fitting import fit

SUFFIXES = (".bmp", ".gif", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp")


@dataclass(frozen=True, eq=False)
class Files:
    """Pictures found on the disk, with their classes; nothing is decoded yet.

    - `paths`: one for each picture, in the order of the classes and then of the file names
      (of a list: in the order of its lines).
    - `labels`: `(N,)` int64; `names[label]` is the name of the class, and names are sorted.
    - `skipped`: pairs of a path and the reason why it is left out: hidden, no image, unreadable.
    """

    paths: tuple[Path, ...]
    labels: np.ndarray
    names: tuple[str, ...]
    skipped: tuple[tuple[Path, str], ...] = ()

    def __len__(self) -> int:
        return len(self.paths)

    def __repr__(self) -> str:
        return f"Files({len(self):,} in {len(self.names)} classes, {len(self.skipped)} skipped)"


def scan(path: str | Path) -> Files:
    """The pictures of a folder `path/CLASS/.../image`, or of a list with lines `image<TAB>class`.

    Paths of a list are relative to its folder. Every file is opened as far as its header; what is
    hidden (a name that begins with a dot), not an image or unreadable is in `skipped`.

    Raises `FileNotFoundError` when `path`, or a file of the list, is not there; `ValueError` for a
    folder without classes, a class without pictures, or a line of another form.
    """
    path = Path(path)
    if path.is_dir():
        names, found, skipped = _from_folder(path)
    elif path.is_file():
        names, found, skipped = _from_list(path)
    else:
        raise FileNotFoundError(
            f"There are no images at {path}. Expected a folder with one sub-folder a class, or a "
            "list of "
            "path and class. Received: nothing of that name."
        )
    kept = []
    for file, name in found:
        reason = _unreadable(file)
        if reason is None:
            kept.append((file, name))
        else:
            skipped.append((file, reason))
    _check_classes(path, names, {name for _, name in kept})
    number = {name: label for label, name in enumerate(names)}
    labels = np.array([number[name] for _, name in kept], np.int64)
    return Files(tuple(file for file, _ in kept), labels, names, tuple(skipped))


def load(
    path: str | Path | Files,
    size: int | tuple[int, int],
    *,
    resize: str = "stretch",
    fill: int = 0,
    grey: bool = False,
    largest: float = 4.0,
) -> Images:
    """The pictures of `scan(path)` in memory, RGB or grey, upright as their EXIF data says.

    - `size`: side, or height and width.
    - `resize`: "stretch" changes the shape, as embedding, serving and batches of a folder do;
      "letterbox" keeps all of the picture and its shape, and pads with `fill`; "crop" keeps the
      shape and fills the frame from the middle. A model that learns of one and is asked about
      another is wrong more often.
    - `largest`: GiB that the array may take; more is an error before anything is read.

    Unreadable files are left out with a warning that names them. Raises what `scan` raises;
    `MemoryError` above `largest`; `ValueError` for a bad size or a picture that breaks off in the
    middle.
    """
    sides = (size, size) if isinstance(size, int) else tuple(size)
    if len(sides) != 2 or min(sides) < 1:
        raise ValueError(
            f"The size is wrong. Expected a side, or height and width. Received: {size!r}."
        )
    files = path if isinstance(path, Files) else scan(path)
    _report(files)
    shape = (len(files), *sides, 1 if grey else 3)
    _check_memory(shape, largest)
    images = np.empty(shape, np.uint8)
    for position, file in enumerate(files.paths):
        images[position] = fit(file, sides, resize=resize, fill=fill, grey=grey)
    return Images(images, files.labels, files.names)


def _from_folder(folder: Path) -> tuple[tuple[str, ...], list, list]:
    names, found, skipped = [], [], []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            skipped.append((entry, "hidden"))
        elif not entry.is_dir():
            skipped.append((entry, "not in the folder of a class"))
        else:
            names.append(entry.name)
            for file in _files_below(entry):
                reason = _no_image(file, entry)
                if reason is None:
                    found.append((file, entry.name))
                else:
                    skipped.append((file, reason))
    return tuple(names), found, skipped


def _files_below(folder: Path) -> list[Path]:
    return sorted(Path(here, name) for here, _, names in os.walk(folder) for name in names)


def _no_image(file: Path, folder: Path) -> str | None:
    if any(part.startswith(".") for part in file.relative_to(folder).parts):
        return "hidden"
    return None if file.suffix.lower() in SUFFIXES else "not an image by its name"


def _from_list(path: Path) -> tuple[tuple[str, ...], list, list]:
    found = []
    lines = path.read_text(encoding="utf-8-sig").splitlines()
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        parts = [part.strip() for part in line.split("\t")]
        if len(parts) != 2 or not all(parts):
            raise ValueError(
                f"Line {number} of {path} cannot be read. Expected a path, a tab and a class. "
                f"Received: {line!r}."
            )
        file = path.parent / parts[0]
        if not file.is_file():
            raise FileNotFoundError(
                f"Line {number} of {path} names no file. Expected one at {file}. Received: "
                f"{line!r}."
            )
        found.append((file, parts[1]))
    return tuple(sorted({name for _, name in found})), found, []


def _unreadable(file: Path) -> str | None:
    image_module = need("PIL.Image", extra="plots", purpose="Reading image files")
    try:
        with image_module.open(file):
            return None
    except (OSError, SyntaxError, ValueError, image_module.DecompressionBombError) as error:
        return f"unreadable: {type(error).__name__}"


def _check_classes(path: Path, names: tuple[str, ...], filled: set[str]) -> None:
    empty = [name for name in names if name not in filled]
    if not names or empty:
        raise ValueError(
            f"{path} has {'a class without pictures' if empty else 'no classes'}. Expected "
            "classes, "
            f"each with a readable image ({', '.join(SUFFIXES)}). "
            f"Received: {', '.join(empty[:5]) if empty else 'none'}."
        )


def _report(files: Files) -> None:
    broken = [path for path, reason in files.skipped if reason.startswith("unreadable")]
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        warnings.warn(
            f"{len(broken)} of {len(files) + len(broken)} files cannot be read and are left out: "
            f"{', '.join(map(str, broken[:3]))}{more}.",
            stacklevel=3,
        )


def _check_memory(shape: tuple, largest: float) -> None:
    needed = int(np.prod(shape, dtype=np.int64)) / 2**30
    if needed > largest:
        raise MemoryError(
            f"{shape[0]:,} pictures of {shape[1]} x {shape[2]} are too many to hold in memory. "
            f"Expected at most {largest:g} GiB; choose a smaller size or raise `largest`. "
            f"Received: {needed:.1f} GiB."
        )
