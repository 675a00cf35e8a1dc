"""Zip archives read in memory, or not at all: nothing is ever extracted to the disk."""

import hashlib
import stat
import struct
import zipfile
import zlib
from pathlib import Path, PurePosixPath

_MOST_MEMBERS = 200_000
_LARGEST_MEMBER = 4 * 2**20
_LARGEST_ARCHIVE = 2**30
_DAMAGE = (zipfile.BadZipFile, zlib.error, struct.error, EOFError, OSError, RuntimeError)


def sha256(path: str | Path) -> str:
    """The sha256 of a file, as hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def check_sha256(path: str | Path, expected: str) -> None:
    """Raises `ValueError` when a file is not the published one, to the byte."""
    received = sha256(path)
    if received != expected:
        raise ValueError(
            f"The file {Path(path)} is damaged, partial or another version: its checksum differs. "
            f"Expected: sha256 {expected}. Received: sha256 {received}, "
            f"{Path(path).stat().st_size:,} bytes. "
            "Delete it and fetch it again."
        )


def read_members(path: str | Path, suffix: str) -> dict[str, bytes]:
    """Name and content of every member whose name ends in `suffix`, in the order of the names.

    Every checksum of the archive is verified. Raises `ValueError` for a damaged or partial archive;
    for a member that would leave the folder it is unpacked in (an absolute path, `..`, a link); for
    more than 200,000 members, a member above 4 MiB or 1 GiB in all, by the sizes the archive
    states, which reading never exceeds.
    """
    if not Path(path).is_file():
        raise FileNotFoundError(f"No archive. Expected: a zip file at {path}. Received: no file.")
    try:
        with zipfile.ZipFile(path) as archive:
            members = sorted(archive.infolist(), key=lambda member: member.filename)
            _check_sizes(path, members)
            for member in members:
                _check_place(path, member)
            wanted = [member for member in members if _wanted(member.filename, suffix)]
            return {member.filename: archive.read(member) for member in wanted}
    except _DAMAGE as error:
        raise ValueError(
            f"The archive {path} is damaged or partial. Expected: a whole zip file. "
            f"Received: {type(error).__name__}: {error}."
        ) from error


def files_below(folder: str | Path, suffix: str) -> dict[str, bytes]:
    """The same of an unpacked archive: names are relative to the folder, hidden files left out."""
    names = (file.relative_to(folder).as_posix() for file in Path(folder).rglob(f"*{suffix}"))
    return {
        name: (Path(folder) / name).read_bytes() for name in sorted(names) if _wanted(name, suffix)
    }


def _wanted(name: str, suffix: str) -> bool:
    hidden = any(part.startswith((".", "__")) for part in PurePosixPath(name).parts)
    return name.endswith(suffix) and not hidden


def _check_sizes(path: str | Path, members: list[zipfile.ZipInfo]) -> None:
    total = sum(member.file_size for member in members)
    largest = max((member.file_size for member in members), default=0)
    if len(members) > _MOST_MEMBERS or largest > _LARGEST_MEMBER or total > _LARGEST_ARCHIVE:
        raise ValueError(
            f"The archive {path} is too large to be a set of small images. Expected: at most "
            f"{_MOST_MEMBERS:,} members of {_LARGEST_MEMBER:,} bytes, {_LARGEST_ARCHIVE:,} bytes "
            "in all. "
            f"Received: {len(members):,} members, the largest of {largest:,} bytes, {total:,} in "
            "all."
        )


def _check_place(path: str | Path, member: zipfile.ZipInfo) -> None:
    name = member.filename
    leaves = name.startswith(("/", "\\")) or ".." in name.replace("\\", "/").split("/")
    link = stat.S_ISLNK(member.external_attr >> 16)
    if leaves or link or ":" in name:
        raise ValueError(
            f"The archive {path} holds a member that would leave its folder. "
            "Expected: plain files with relative names. "
            f"Received: {'the link ' if link else ''}{name!r}."
        )
