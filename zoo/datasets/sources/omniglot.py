"""Omniglot: handwritten characters of many alphabets, each drawn once by each of 20 people.

Images are 105 x 105 with *white ink (255) on black (0)*, the files' colours reversed, so that what
augmentation moves in from outside is paper. Lake, Salakhutdinov and Tenenbaum, "Human-level concept
learning through probabilistic program induction", Science 350, 2015.
"""

import os
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from zoo.datasets.images import Images
from zoo.datasets.reading.archives import check_sha256, files_below, read_members
from zoo.datasets.reading.downloads import cache_folder, fetch
from zoo.datasets.reading.ink import decode, prepare
from zoo.datasets.sources.one_shot_runs import Run, drawn_runs, official_runs

__all__ = ["SOURCES", "Run", "alphabets", "drawn_runs", "load", "official_runs", "prepare"]

_HOME = "https://github.com/brendenlake/omniglot/raw/master/python/"


@dataclass(frozen=True)
class _Source:
    file: str
    size: int
    sha256: str


SOURCES = {
    "small1": _Source(
        "images_background_small1.zip",
        1_319_022,
        "f38eb80f801274ac2b4dff5b24289016bfaba4a7d5bb50deebf27104ad6cb8a4",
    ),
    "small2": _Source(
        "images_background_small2.zip",
        1_580_917,
        "3ccaa407515a8778e5d0861875af38b17e418f301ad5bb3b5a6b65d901a41c7f",
    ),
    "background": _Source(
        "images_background.zip",
        9_464_212,
        "ad41ab679c8b5d90b271ef46be6987cc81211774a695c29dcc5367b2b26ee640",
    ),
    "evaluation": _Source(
        "images_evaluation.zip",
        6_462_886,
        "1f61a8f3366785b057fc117d9228e78a16e3d976c8953b2a10fcc74cf0609cee",
    ),
}


def load(source: str | Path = "small1", data: str | Path | None = None) -> Images:
    """The characters of one archive: `labels` are characters, `groups` alphabets, `drawers` 1..20.

    `source` is one of `SOURCES` ("small1", "small2", "background", "evaluation") or the path of any
    zip file or folder with the same layout, `Alphabet/characterNN/NNNN_DD.png`, below any other
    folder or none. A named source is looked
    for in the folder `data`, else in the one that KERAS_METRIC_DATA names (each may be the folder
    itself or have it as `omniglot/`), else in the cache (KERAS_METRIC_CACHE, else
    ~/.cache/keras-metric), where it is downloaded to.

    Raises `ValueError` for an unknown source and for a damaged, partial or unsafe archive,
    `FileNotFoundError` when `data` lacks the file, `ConnectionError` when the download fails.
    """
    return _read(_find(source, data))


def alphabets(images: Images) -> tuple[str, ...]:
    """The alphabets that occur, in the order of their numbers."""
    return tuple(images.group_names[group] for group in np.unique(images.groups))


def _find(source: str | Path, data: str | Path | None) -> Path:
    if str(source) not in SOURCES:
        if str(source).endswith(".zip") or Path(source).is_dir():
            return Path(source)
        raise ValueError(
            f"Unknown part of Omniglot. Expected: one of {', '.join(SOURCES)}, or the path of a "
            "zip file or folder. "
            f"Received: {str(source)!r}."
        )
    part = SOURCES[str(source)]
    given = data if data is not None else os.environ.get("KERAS_METRIC_DATA")
    if given is not None:
        for path in (Path(given) / part.file, Path(given) / "omniglot" / part.file):
            if path.is_file():
                check_sha256(path, part.sha256)
                return path
    if data is not None:
        raise FileNotFoundError(
            f"The folder has no Omniglot. Expected: {part.file} in {data} or "
            f"{Path(data) / 'omniglot'}. "
            "Received: neither. Leave `data` out to download it."
        )
    return fetch(
        _HOME + part.file,
        cache_folder() / "omniglot" / part.file,
        sha256=part.sha256,
        size=part.size,
    )


def _read(path: Path) -> Images:
    members = files_below(path, ".png") if path.is_dir() else read_members(path, ".png")
    places = [_place(path, name) for name in members]
    if not places:
        raise ValueError(
            f"There are no characters in {path}. Expected: Alphabet/characterNN/NNNN_DD.png. "
            "Received: no PNG file."
        )
    group_names, groups = np.unique([alphabet for alphabet, _, _ in places], return_inverse=True)
    names, labels = np.unique(
        [f"{a}/{character}" for a, character, _ in places], return_inverse=True
    )
    return Images(
        np.stack([decode(content, f"{path}:{name}") for name, content in members.items()]),
        labels,
        tuple(names.tolist()),
        groups,
        tuple(group_names.tolist()),
        np.array([drawer for _, _, drawer in places]),
    )


def _place(path: Path, name: str) -> tuple[str, str, int]:
    """Alphabet, character and drawer of a file `.../Alphabet/characterNN/NNNN_DD.png`."""
    place = PurePosixPath(name)
    _, _, drawer = place.stem.rpartition("_")
    if len(place.parts) < 3 or not drawer.isdigit():
        raise ValueError(
            f"{path} is not Omniglot. Expected: files Alphabet/characterNN/NNNN_DD.png. "
            f"Received: {name!r}."
        )
    return place.parts[-3], place.parts[-2], int(drawer)
