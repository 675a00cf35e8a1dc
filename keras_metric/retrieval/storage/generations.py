"""Folders that are saved atomically, even if the process is killed.

    folder/
      index.json        names the current generation, its facts, and the SHA-256 of its files
      generation-3/     the files, written once and never changed

A save writes the next generation next to the present one, syncs it to the disk, and then replaces
`index.json` by one rename: before it the folder has the old state, after it the new one. Then
older generations are removed.
"""

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

MANIFEST = "index.json"
PREFIX = "generation-"


def save(folder: str | Path, facts: dict[str, Any], write: Callable[[Path], None]) -> Path:
    """Write the next generation by `write(draft)` and make it the current one; returns `folder`.

    Raises:
        FileExistsError: `folder` is a file, holds something else, or is being saved to by another
            process.
    """
    folder = Path(folder)
    check_place(folder)
    folder.mkdir(parents=True, exist_ok=True)
    with _only_writer(folder):
        for left in folder.glob(".*.partial"):  # of a writer that was killed
            shutil.rmtree(left)
        number = 1 + max(_numbers(folder), default=0)
        draft = folder / f".{PREFIX}{number}.partial"
        draft.mkdir()
        try:
            write(draft)
            files = {file.name: _sealed(file) for file in sorted(draft.iterdir())}
            os.rename(draft, folder / f"{PREFIX}{number}")
        except BaseException:
            shutil.rmtree(draft, ignore_errors=True)
            raise
        _sync(folder)
        _put_in_force(folder, {"generation": number, "files": files, "facts": facts})
        for old in set(_numbers(folder)) - {number}:
            shutil.rmtree(folder / f"{PREFIX}{old}")
    return folder


def facts(folder: str | Path) -> dict[str, Any]:
    """The facts of the current generation; its files are not read."""
    return _manifest(Path(folder))["facts"]


def load(folder: str | Path, read: Callable[[Path, dict[str, Any]], Any]) -> Any:
    """What `read(generation's folder, facts)` makes of the generation in force, once it is proved
    whole.

    Raises:
        FileNotFoundError: nothing was saved in `folder`.
        ValueError: a file is missing or has other bytes than were saved.
    """
    folder = Path(folder)
    manifest = _manifest(folder)
    while True:
        place = folder / f"{PREFIX}{manifest['generation']}"
        try:
            _check_files(place, manifest["files"])
            return read(place, manifest["facts"])
        except (ValueError, OSError):
            before, manifest = manifest, _manifest(folder)
            if manifest["generation"] == before["generation"]:  # else it was replaced meanwhile
                raise


def _manifest(folder: Path) -> dict[str, Any]:
    place = folder / MANIFEST
    if not place.is_file():
        raise FileNotFoundError(
            f"There is no index at {folder}. Expected: a folder with {MANIFEST}, as Index.save "
            f"leaves it. Received: {'no such file in it' if folder.is_dir() else 'no folder'}."
        )
    try:
        manifest = json.loads(place.read_text(encoding="utf-8"))
        wanted = {"generation", "files", "facts"} - manifest.keys()
    except (ValueError, AttributeError) as error:
        wanted, manifest = {str(error)}, {}
    if wanted:
        raise ValueError(
            f"{place} cannot be read. Expected: JSON with generation, files and facts, as "
            f"Index.save leaves it. Received: one without: {', '.join(sorted(wanted))}."
        )
    return manifest


def _check_files(place: Path, files: dict[str, dict]) -> None:
    for name, sealed in files.items():
        found = _seal(place / name) if (place / name).is_file() else {"bytes": None}
        if found != sealed:
            what = "no such file" if found["bytes"] is None else f"{found['bytes']:,} bytes"
            if found["bytes"] == sealed["bytes"]:
                what = f"as many, of SHA-256 {found['sha256'][:12]}..."
            raise ValueError(
                f"The index is damaged: {place / name}. Expected: {sealed['bytes']:,} bytes of "
                f"SHA-256 {sealed['sha256'][:12]}..., as they were saved. Received: {what}."
            )


def _sealed(file: Path) -> dict[str, Any]:
    _sync(file)
    return _seal(file)


def _seal(file: Path) -> dict[str, Any]:
    with file.open("rb") as opened:
        digest = hashlib.file_digest(opened, "sha256").hexdigest()
    return {"bytes": file.stat().st_size, "sha256": digest}


def _put_in_force(folder: Path, manifest: dict[str, Any]) -> None:
    beside = folder / f".{MANIFEST}.partial"
    beside.write_text(json.dumps(manifest, indent=2, allow_nan=False) + "\n", encoding="utf-8")
    _sync(beside)
    os.replace(beside, folder / MANIFEST)
    _sync(folder)


def _sync(path: Path) -> None:
    """Until the bytes (of a folder: its names) are on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _numbers(folder: Path) -> list[int]:
    names = [path.name.removeprefix(PREFIX) for path in folder.glob(f"{PREFIX}*")]
    return [int(name) for name in names if name.isdecimal()]


def check_place(folder: Path) -> None:
    """Raise FileExistsError where a save would be refused for what lies there."""
    ours = (folder / MANIFEST).is_file()
    if folder.is_file() or folder.is_dir() and not ours and _foreign(folder):
        held = "a file" if folder.is_file() else ", ".join(_foreign(folder)[:5])
        raise FileExistsError(
            f"{folder} is in use. Expected: an empty folder, or one with an index. "
            f"Received: {held}."
        )


def _foreign(folder: Path) -> list[str]:
    """What is neither hidden nor a generation whose first save was killed."""
    names = sorted(path.name for path in folder.iterdir())
    return [name for name in names if not name.startswith((".", PREFIX))]


@contextmanager
def _only_writer(folder: Path) -> Iterator[None]:
    """The lock of a folder; the system frees it when its holder dies."""
    import fcntl

    with (folder / ".lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise FileExistsError(
                f"{folder} is being saved to. Expected: no other process at it. Received: a lock "
                "that another one holds."
            ) from None
        yield
