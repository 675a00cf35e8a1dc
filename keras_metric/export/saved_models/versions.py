"""Version folders: a model's folder holds 1, 2, 3, ..., each written once and never changed.

A server watches the model's folder and loads the highest number. A version is therefore written
under a name that no server reads, and renamed when it is complete. Each holds the facts that
`saved_model` knew of the model. Nothing here loads Keras or TensorFlow.
"""

import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


def versions(path: str | Path) -> list[int]:
    """The version numbers in a model's folder, lowest first; empty where there is no folder."""
    if not Path(path).is_dir():
        return []
    return sorted(int(entry.name) for entry in Path(path).iterdir() if entry.name.isdecimal())


def latest(path: str | Path) -> Path:
    """The version folder meant by `path`: itself, or its highest version.

    Raises:
        FileNotFoundError: neither `path` nor a version in it holds a SavedModel.
    """
    path = Path(path)
    found = versions(path)
    folder = path if (path / "saved_model.pb").is_file() or not found else path / str(found[-1])
    if not (folder / "saved_model.pb").is_file():
        raise FileNotFoundError(
            f"No SavedModel at {str(path)!r}. Expected a version folder with a saved_model.pb, or a"
            f" folder of versions 1, 2, ... Received: {_contents(path)}."
        )
    return folder


def free_version(path: str | Path, version: int | None = None) -> Path:
    """The folder of the next free version, or of `version` if that one is free.

    Raises:
        ValueError: `version` is not a whole number from 1 on.
        FileExistsError: `version` is taken.
    """
    taken = versions(path)
    if version is None:
        return Path(path) / str(taken[-1] + 1 if taken else 1)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(
            f"Invalid version. Expected a whole number from 1 on. Received: {version!r}."
        )
    if version in taken:
        raise FileExistsError(
            f"Version {version} of {str(path)!r} exists, and a version is never overwritten. "
            f"Expected a free number, the next is {taken[-1] + 1}. Received: version={version}."
        )
    return Path(path) / str(version)


@contextmanager
def written_atomically(folder: Path) -> Iterator[Path]:
    """A draft folder that becomes `folder` when the block ends, and is deleted when it fails."""
    draft = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    try:
        yield draft
        os.rename(draft, folder)
    except BaseException:
        shutil.rmtree(draft, ignore_errors=True)
        raise


def _contents(path: Path) -> str:
    if not path.is_dir():
        return "no such folder"
    names = sorted(entry.name for entry in path.iterdir())
    return ", ".join(names[:8]) or "an empty folder"


def metadata_file(folder: Path) -> Path:
    """Where the facts are: `assets.extra`, which servers carry along and do not load."""
    return folder / "assets.extra" / "keras_metric.json"


def read_metadata(path: str | Path) -> dict:
    """The facts of a SavedModel written by `saved_model`: of a version, or of the latest one.

    Keys: `kind`, `fingerprint` (of the weights, as `keras_metric.retrieval` gives it), `signatures`
    (inputs and outputs by name), `labels`, `threshold`, `gallery` (how many records, and how they
    are compared), `versions`, and `about`, the caller's own. Loads neither Keras nor TensorFlow.

    Raises:
        FileNotFoundError: no SavedModel at `path`, or one that was written by something else.
    """
    place = metadata_file(latest(path))
    if not place.is_file():
        raise FileNotFoundError(
            f"The SavedModel {str(path)!r} says nothing about itself. Expected: {place}, as written"
            " by keras_metric.export.saved_model. Received: no such file."
        )
    return json.loads(place.read_text(encoding="utf-8"))
