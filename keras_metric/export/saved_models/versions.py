"""Version folders: a model's folder holds 1, 2, 3, ..., each written once and never changed.

A server watches the model's folder and loads the highest number. A version is therefore written
under a name that no server reads, and renamed when it is complete. Each contains the facts that
`saved_model` stores about the model. Nothing here loads Keras or TensorFlow.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_DRAFT = re.compile(r"\.[^.]+\.[0-9]+\.partial")


def versions(path: str | Path) -> list[int]:
    """The version numbers in a model's folder, lowest first; empty where there is no folder."""
    return sorted(version_folders(path))


def version_folders(path: str | Path) -> dict[int, Path]:
    """The folder of each version, by number, named as TensorFlow Serving reads names.

    `7` and `00000007` are both version 7; where both exist, the shorter name counts.
    """
    try:
        entries = sorted(Path(path).iterdir(), key=lambda entry: -len(entry.name))
    except (FileNotFoundError, NotADirectoryError):
        return {}
    return {int(e.name): e for e in entries if _is_number(e.name) and e.is_dir()}


def latest(path: str | Path) -> Path:
    """The version folder of `path`: `path` itself, or its highest complete version.

    Raises:
        FileNotFoundError: neither `path` nor a version in it holds a SavedModel.
    """
    path = Path(path)
    found = [path, *(folder for _, folder in sorted(version_folders(path).items(), reverse=True))]
    for folder in found:
        if (folder / "saved_model.pb").is_file():
            return folder
    raise FileNotFoundError(
        f"No SavedModel at {str(path)!r}. Expected: a version folder with a saved_model.pb, or a"
        f" folder of versions 1, 2, ... Received: {_contents(path)}."
    )


def free_version(path: str | Path, version: int | None = None) -> Path:
    """The folder of the next free version, or of `version` if that one is free.

    Raises:
        ValueError: `version` is not a whole number from 1 on.
        FileExistsError: `version` is taken.
    """
    names = os.listdir(path) if Path(path).is_dir() else []
    taken = [int(name) for name in names if _is_number(name)]
    following = max(taken, default=0) + 1
    if version is None:
        return Path(path) / str(following)
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise ValueError(
            f"Invalid version. Expected: a whole number from 1 on. Received: {version!r}."
        )
    if version in taken:
        raise FileExistsError(
            f"Version {version} of {str(path)!r} exists, and a version is never overwritten. "
            f"Expected: a free number, the next is {following}. Received: version={version}."
        )
    return Path(path) / str(version)


def publish(draft: Path, path: str | Path, version: int | None = None) -> Path:
    """Renames a draft to the next free version of `path`, or to `version`; returns its folder.

    Several processes may do so at once: each gets a number of its own.

    Raises:
        FileExistsError: `version` is taken.
    """
    while True:
        folder = free_version(path, version)
        try:
            os.rename(draft, folder)
            return folder
        except OSError:
            if not folder.exists():
                raise


@contextmanager
def draft_in(parent: Path) -> Iterator[Path]:
    """A new folder in `parent`, under a name that no server reads; deleted if it keeps that name.

    It is locked while the block runs. What is not locked was left by a process that was killed, and
    is deleted.
    """
    parent.mkdir(parents=True, exist_ok=True)
    _delete_abandoned(parent)
    draft, lock = _locked_draft(parent)
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        os.close(lock)


@contextmanager
def written_atomically(folder: Path) -> Iterator[Path]:
    """A draft folder that becomes `folder` when the block ends, and is deleted when it fails.

    Raises:
        FileExistsError: another process has written `folder` meanwhile.
    """
    with draft_in(folder.parent) as draft:
        yield draft
        try:
            os.rename(draft, folder)
        except OSError as error:
            if not folder.exists():
                raise
            raise FileExistsError(
                f"{folder} was written by another process meanwhile. Expected: a folder that does "
                "not exist. Received: one that does."
            ) from error


def _locked_draft(parent: Path) -> tuple[Path, int]:
    while True:
        draft = parent / f".{secrets.token_hex(4)}.{os.getpid()}.partial"
        draft.mkdir()
        try:
            lock = os.open(draft, os.O_RDONLY)
        except FileNotFoundError:  # deleted as abandoned before it was locked
            continue
        _lock(lock)
        if draft.exists():
            return draft, lock
        os.close(lock)


def _delete_abandoned(parent: Path) -> None:
    for draft in parent.glob(".*.partial"):
        if not _DRAFT.fullmatch(draft.name) or not draft.is_dir():
            continue
        with contextlib.suppress(OSError):  # another process may delete it first
            lock = os.open(draft, os.O_RDONLY)
            try:
                if _lock(lock):
                    shutil.rmtree(draft, ignore_errors=True)
            finally:
                os.close(lock)


def _lock(descriptor: int) -> bool:
    """Whether the lock was free; never so where the system has no locks on folders."""
    try:
        import fcntl

        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (ImportError, OSError):
        return False
    return True


def _is_number(name: str) -> bool:
    return name.isascii() and name.isdecimal() and int(name) < 2**63


def _contents(path: Path) -> str:
    if not path.is_dir():
        return "no such folder"
    names = sorted(entry.name for entry in path.iterdir())
    return ", ".join(names[:8]) or "an empty folder"


def metadata_file(folder: Path) -> Path:
    """Where the facts are: `assets.extra`, which servers carry along and do not load."""
    return folder / "assets.extra" / "keras_metric.json"


def read_metadata(path: str | Path) -> dict:
    """The metadata of a SavedModel written by `saved_model`: of a version, or of the latest one.

    Keys: `kind`, `fingerprint` (of the weights, as `keras_metric.retrieval` gives it), `signatures`
    (inputs and outputs by name), `labels`, `threshold`, `gallery` (number of records and their
    distance), `versions`, and `about`, your own metadata. Imports neither Keras nor TensorFlow.

    Raises:
        FileNotFoundError: there is no SavedModel at `path`, or it was not written by `saved_model`.
    """
    place = metadata_file(latest(path))
    if not place.is_file():
        raise FileNotFoundError(
            f"The SavedModel {str(path)!r} has no description. Expected: {place}, as written"
            " by keras_metric.export.saved_model. Received: no such file."
        )
    return json.loads(place.read_text(encoding="utf-8"))
