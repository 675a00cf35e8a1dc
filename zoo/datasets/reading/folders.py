"""Image folders: a sub-folder a class, or a list (TSV, CSV) of path and class."""

import warnings
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_metric import Preprocessing, image_files
from keras_metric.image_files import HIDDEN, SUFFIXES
from zoo.datasets.images import Images
from zoo.datasets.reading.lists import read_list

MISSING = "not there"


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


def scan(path: str | Path, *, skip_missing: bool = False) -> Files:
    """The pictures of a folder `path/CLASS/.../image`, or of a list with lines `image<TAB>class`.

    A list that ends in `.csv` has commas for tabs; its paths are relative to its folder. Every file
    is opened as far as its header; files that are hidden (a name that begins with a dot), not
    images or unreadable are in `skipped`, with `skip_missing` also files of a list that do not
    exist.

    Raises `FileNotFoundError` when `path`, or a file of the list, is not there; `ValueError` for a
    folder without classes, a class without pictures, or a line of another form.
    """
    path = Path(path)
    if path.is_dir():
        names, found, skipped = _from_folder(path)
    elif path.is_file():
        names, found, skipped = _from_list(path, skip_missing)
    else:
        raise FileNotFoundError(
            f"There are no images at {path}. Expected: a folder with one sub-folder a class, or a "
            "list of "
            "path and class. Received: nothing of that name."
        )
    kept = []
    for file, name in found:
        reason = image_files.header_fault(file)
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
    size: int | tuple[int, int] | Preprocessing,
    *,
    resize: str = "stretch",
    fill: int = 0,
    grey: bool = False,
    largest: float = 4.0,
    skip_missing: bool = False,
) -> Images:
    """The pictures of `scan(path)` in memory, RGB or grey, upright as their EXIF data says.

    - `size`: side, or height and width; or a `keras_metric.Preprocessing` with a size, which says
      the rest too, such as `zoo.preprocessing(model)`. Values stay 0..255 whatever its
      `pixel_range`.
    - `resize`: "stretch" changes the shape; "letterbox" keeps all of the picture and its shape, and
      pads with `fill`; "crop" keeps the shape and fills the frame from the middle. Use the same for
      training and inference.
    - `largest`: GiB that the array may take; more is an error before anything is read.
    - `skip_missing`: skip files of a list that do not exist, like unreadable files.

    Files that cannot be decoded completely are skipped with a warning that names them. Raises
    what `scan` raises; `MemoryError` above `largest`; `ValueError` for a bad size.
    """
    preprocess = _preprocessing(size, resize, fill, grey)
    files = path if isinstance(path, Files) else scan(path, skip_missing=skip_missing)
    shape = (len(files), *preprocess.shape)
    _check_memory(shape, largest)
    images, kept, broken = np.empty(shape, np.uint8), [], []
    for position, file in enumerate(files.paths):
        try:
            images[len(kept)] = preprocess.read(file)
        except image_files.Unreadable as error:
            broken.append((file, str(error)))
        else:
            kept.append(position)
    _report([*_unread(files), *broken])
    labels = files.labels[kept]
    if broken:
        _check_classes(files.paths[0].parent, files.names, {files.names[k] for k in labels})
    return Images(images[: len(kept)], labels, files.names)


def _preprocessing(size, resize: str, fill: int, grey: bool) -> Preprocessing:
    if isinstance(size, Preprocessing) and size.size is not None:
        return size
    sides = (size, size) if isinstance(size, int) else size
    if not isinstance(sides, tuple | list) or len(sides) != 2 or min(sides) < 1:
        raise ValueError(
            f"The size is wrong. Expected: a side, or height and width. Received: {size!r}."
        )
    return Preprocessing(tuple(sides), resize, fill, color="grayscale" if grey else "rgb")


def _unread(files: Files) -> list[tuple[Path, str]]:
    return [pair for pair in files.skipped if pair[1].startswith(("unreadable", MISSING))]


def _from_folder(folder: Path) -> tuple[tuple[str, ...], list, list]:
    names, found, skipped = [], [], []
    for entry in sorted(folder.iterdir()):
        if entry.name.startswith("."):
            skipped.append((entry, HIDDEN))
        elif not entry.is_dir():
            skipped.append((entry, "not in the folder of a class"))
        else:
            names.append(entry.name)
            for file, reason in image_files.below(entry):
                if reason is None:
                    found.append((file, entry.name))
                else:
                    skipped.append((file, reason))
    return tuple(names), found, skipped


def _from_list(path: Path, skip_missing: bool) -> tuple[tuple[str, ...], list, list]:
    found, skipped = [], []
    for line in read_list(path, classes=True):
        file = path.parent / line.path
        if file.is_file():
            found.append((file, line.label))
        elif skip_missing:
            skipped.append((file, MISSING))
        else:
            raise FileNotFoundError(
                f"Line {line.number} of {path} names no file. Expected: one at {file}, or "
                f"skip_missing=True. Received: {line.path!r}."
            )
    return tuple(sorted({name for _, name in found})), found, skipped


def _check_classes(path: Path, names: tuple[str, ...], filled: set[str]) -> None:
    empty = [name for name in names if name not in filled]
    if not names or empty:
        raise ValueError(
            f"{path} has {'a class without pictures' if empty else 'no classes'}. Expected: "
            "classes, "
            f"each with a readable image ({', '.join(SUFFIXES)}). "
            f"Received: {', '.join(empty[:5]) if empty else 'none'}."
        )


def _report(broken: list[tuple[Path, str]]) -> None:
    if broken:
        more = f" and {len(broken) - 3} more" if len(broken) > 3 else ""
        named = ", ".join(str(path) for path, _ in broken[:3])
        warnings.warn(
            f"{len(broken)} pictures cannot be read and are left out: {named}{more}.", stacklevel=3
        )


def _check_memory(shape: tuple, largest: float) -> None:
    needed = int(np.prod(shape, dtype=np.int64)) / 2**30
    if needed > largest:
        raise MemoryError(
            f"{shape[0]:,} pictures of {shape[1]} x {shape[2]} are too many to hold in memory. "
            f"Expected: at most {largest:g} GiB; choose a smaller size or raise `largest`. "
            f"Received: {needed:.1f} GiB."
        )
