"""Downloads, verified and written atomically."""

import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from http.client import HTTPException
from pathlib import Path

from zoo.datasets.reading.archives import check_sha256

_BLOCK = 1 << 16
_ABANDONED = 3600  # seconds without growth


def cache_folder() -> Path:
    """`KERAS_METRIC_CACHE`, else `~/.cache/keras-metric`."""
    given = os.environ.get("KERAS_METRIC_CACHE")
    return Path(given) if given else Path.home() / ".cache" / "keras-metric"


def fetch(url: str, path: str | Path, *, sha256: str, size: int, timeout: float = 30.0) -> Path:
    """The file at `path`, downloaded from `url` unless it is there already.

    The download of `size` bytes is written to a temporary file, compared with its `sha256` and then
    renamed; if it fails, nothing is left. Progress goes to standard
    error when that is a terminal. Raises `ValueError` for a wrong checksum and `ConnectionError`
    without network.
    """
    return fetch_checked(
        url, path, check=lambda file: check_sha256(file, sha256), most=size, timeout=timeout
    )


def fetch_checked(
    url: str,
    path: str | Path,
    *,
    check: Callable[[Path], object],
    most: int,
    timeout: float = 30.0,
) -> Path:
    """As `fetch`, for a file of at most `most` bytes that `check` looks at and raises if it is bad.

    For archives that the server creates for each download: their contents are fixed, not their
    bytes.
    """
    path = Path(path)
    if path.exists():
        check(path)
        return path
    path.parent.mkdir(parents=True, exist_ok=True)
    _clear(path)
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=".part", dir=path.parent)
    part = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            _copy(url, file, most, timeout, path.name)
        check(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    return path


def _copy(url: str, file, most: int, timeout: float, title: str) -> None:
    done = 0
    for block in _blocks(url, timeout, title):
        done += len(block)
        if done > most:
            raise ValueError(
                f"The download {url} is longer than the published file. Expected: {most:,} bytes "
                "at the most. Received: more than that."
            )
        file.write(block)
        _show(f"\r{title}: {done / 2**20:.1f} of {most / 2**20:.1f} MiB")
    _show("\n")


def _blocks(url: str, timeout: float, title: str) -> Iterator[bytes]:
    try:
        with urllib.request.urlopen(url, timeout=timeout) as answer:
            while block := answer.read(_BLOCK):
                yield block
    except (OSError, HTTPException) as error:
        raise ConnectionError(
            f"The download of {url} failed. Expected: a network connection, or the file {title} in "
            f"a folder named by `--data` or KERAS_METRIC_DATA. Received: {error}."
        ) from error


def _clear(path: Path) -> None:
    """Removes what downloads that were killed have left."""
    for part in path.parent.glob(f".{path.name}.*.part"):
        if time.time() - part.stat().st_mtime > _ABANDONED:
            part.unlink(missing_ok=True)


def _show(text: str) -> None:
    if sys.stderr.isatty():
        print(text, end="", file=sys.stderr, flush=True)
