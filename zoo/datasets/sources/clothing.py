"""Clothing: photographs of clothes in ten classes, as people take them to sell things.

The home's own split: 3,068 photos to learn from and 341 to measure on; its `test` is not read.
https://github.com/alexeygrigorev/clothing-dataset-small, CC0.
"""

import hashlib
import io
import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import numpy as np

from keras_metric import Preprocessing
from zoo.datasets.images import Images
from zoo.datasets.reading.archives import files_below, read_members
from zoo.datasets.reading.downloads import cache_folder, fetch_checked

SPLITS = ("train", "validation")
NAMES = (
    "dress",
    "hat",
    "longsleeve",
    "outwear",
    "pants",
    "shirt",
    "shoes",
    "shorts",
    "skirt",
    "t-shirt",
)

_COMMIT = "36364be1969242c019705255cd87aed00c73a939"
_HOME = f"https://github.com/alexeygrigorev/clothing-dataset-small/archive/{_COMMIT}.zip"
_LARGEST = 512 * 2**20
_COUNT = 3409
_SHA256 = "1660ad1f8ebfd3635d9922158b903944de541d74998e955f2a40c1140cc6bf11"


class _Named(io.BytesIO):
    """The bytes of a file that an error can name."""

    def __init__(self, name: str, content: bytes):
        super().__init__(content)
        self.name = name

    def __str__(self) -> str:
        return self.name


def load(
    split: str = "train",
    data: str | Path | None = None,
    *,
    size: int | tuple[int, int] | Preprocessing = 64,
    resize: str = "stretch",
) -> Images:
    """The photos of one split, "train" or "validation", in the order of their classes and names.

    `size` is the side, or height and width; `resize` as of `folders.load`, the margin white. Or it
    is a `keras_metric.Preprocessing` that says both, such as that of a model.

    The files are looked for in the folder `data`, else in the one that KERAS_METRIC_DATA names
    (each may be the folder of the data set itself or hold it as `clothing/` or
    `clothing-dataset-small/`), else in the cache (KERAS_METRIC_CACHE, else ~/.cache/keras-metric),
    where one commit of the home is downloaded to. Which photos are in which split and class is
    compared with the published list; their pixels are not, so that a copy of smaller ones will do.

    Raises `ValueError` for an unknown split, other files than the published ones, or a photo that
    is damaged; `FileNotFoundError` when `data` lacks them; `ConnectionError` when the download
    fails.
    """
    if split not in SPLITS:
        raise ValueError(
            f"Unknown split. Expected: one of {', '.join(SPLITS)}. Received: {split!r}."
        )
    if isinstance(size, int):
        size = (size, size)
    made = size if isinstance(size, Preprocessing) else Preprocessing(size, resize, fill=255)
    photos = {name: file for name, file in _contents(data).items() if name.startswith(f"{split}/")}
    images = [made.read(_Named(name, content)) for name, content in photos.items()]
    labels = [NAMES.index(PurePosixPath(name).parent.name) for name in photos]
    return Images(np.stack(images), np.array(labels), NAMES)


def _contents(data: str | Path | None) -> dict[str, bytes]:
    """`split/class/photo.jpg` -> bytes of the photos of both splits, in order."""
    given = data if data is not None else os.environ.get("KERAS_METRIC_DATA")
    if given is not None:
        for name in ("clothing", "clothing-dataset-small", "."):
            folder = Path(given) / name
            if all((folder / split).is_dir() for split in SPLITS):
                return _checked(files_below(folder, ".jpg"), folder)
    if data is not None:
        raise FileNotFoundError(
            f"The folder has no photos of clothes. Expected: {' and '.join(SPLITS)} in {data} or "
            f"{Path(data) / 'clothing'}. Received: neither. Leave `data` out to download it."
        )
    place = cache_folder() / "clothing" / f"{_COMMIT[:12]}.zip"
    archive = fetch_checked(_HOME, place, check=_archive_contents, most=_LARGEST)
    return _archive_contents(archive)


def _archive_contents(path: Path) -> dict[str, bytes]:
    return _checked(read_members(path, ".jpg"), path)


def _checked(files: dict[str, bytes], source: Path) -> dict[str, bytes]:
    """The photos wanted, if they are those of the published list and no others."""
    found = {"/".join(PurePosixPath(name).parts[-3:]): name for name in files}
    names = sorted(name for name in found if name.startswith(tuple(f"{s}/" for s in SPLITS)))
    received = _digest(names)
    if received != _SHA256:
        raise ValueError(
            f"{source} is not the published data set. Expected: {_COUNT:,} photos whose names have "
            f"the joint sha256 {_SHA256}. Received: {len(names):,} photos, sha256 {received}."
        )
    return {name: files[found[name]] for name in names}


def _digest(names: Iterable[str]) -> str:
    """The sha256 of names, a line each."""
    return hashlib.sha256("".join(f"{name}\n" for name in names).encode()).hexdigest()
