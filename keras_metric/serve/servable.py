"""The version in service: load, warm up, replace, close when it is unused."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_metric.export.runtime import Runtime, RuntimeFault, Signature
from keras_metric.export.saved_models.versions import version_folders
from keras_metric.serve.refusals import Refusal, from_tensorflow
from keras_metric.serve.warmup import replay

_UNUSABLE = (RuntimeFault, ValueError, OSError, KeyError, TypeError)
Files = frozenset[tuple[str, int, int]]  # path, size and time of change of each file


@dataclass
class Version:
    """One loaded version, the files it was loaded from, and how many requests are inside it."""

    number: int
    runtime: Runtime
    files: Files
    users: int = 0
    retired: bool = False

    def signature(self, name: str) -> Signature:
        if name not in self.runtime.signatures:
            raise Refusal("FAILED_PRECONDITION", f'Serving signature key "{name}" not found.')
        return self.runtime.signatures[name]

    def predict(self, name: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        try:
            return self.runtime(name, **inputs)
        except RuntimeFault as fault:
            raise from_tensorflow(fault) from fault
        except (TypeError, ValueError) as error:
            raise Refusal("INVALID_ARGUMENT", str(error)) from error


class Servable:
    """The highest usable version in a model's folder, under the name that requests use.

    Args:
        path: folder of versions 1, 2, ...
        name: name of the model in requests; by default the folder's name.
        threads: size of TensorFlow's thread pools.

    Raises:
        FileNotFoundError: no version in the folder.
        RuntimeFault, ValueError, OSError: no version loads and answers its warm-up.
    """

    def __init__(self, path: str | Path, *, name: str | None = None, threads: int | None = None):
        self.path = Path(path)
        self.name = name or self.path.resolve().name
        self._threads = threads
        self._lock = threading.Lock()
        self._closed = False
        self._refused: dict[int, Files] = {}
        self._seen: dict[int, Files] = {}
        self.failures: dict[int, str] = {}
        self._current = self._first()

    def _first(self) -> Version:
        error = FileNotFoundError(
            f"No model to serve in {str(self.path)!r}. Expected: version folders 1, 2, ... with a "
            "saved_model.pb. Received: none."
        )
        for number, folder in sorted(version_folders(self.path).items(), reverse=True):
            files = _files_of(folder)
            if not _has_graph(files):
                continue
            try:
                return self._loaded(number, folder, files)
            except _UNUSABLE as failure:
                error = failure
                self._refused[number], self.failures[number] = files, str(failure)
        raise error

    def _loaded(self, number: int, folder: Path, files: Files) -> Version:
        runtime = Runtime(folder, threads=self._threads)
        try:
            replay(runtime, folder)
        except BaseException:
            runtime.close()
            raise
        return Version(number, runtime, files)

    def refresh(self) -> bool:
        """Loads the highest version that is usable, if it is not the one in service.

        - A version is tried when its files are the same in two calls, so that one which is still
          being copied is waited for; one that does not load is in `failures`, and is tried again
          when its files change.
        - Where the version in service is deleted, the highest of the others takes its place; where
          there is no other, it stays.

        Returns:
            Whether another version, or other files of the same, are now in service.
        """
        folders = version_folders(self.path)
        self.failures = {n: why for n, why in self.failures.items() if n in folders}
        for number, folder in sorted(folders.items(), reverse=True):
            if number < self._current.number in folders:
                return False
            files = _files_of(folder)
            if number == self._current.number and files == self._current.files:
                return False
            settled = self._seen.get(number) == files
            self._seen[number] = files
            if not settled or not _has_graph(files) or self._refused.get(number) == files:
                continue
            try:
                fresh = self._loaded(number, folder, files)
            except _UNUSABLE as failure:
                self._refused[number] = files
                if number != self._current.number:
                    self.failures = {**self.failures, number: str(failure)}
                continue
            self._replace(fresh)
            return True
        return False

    def _replace(self, fresh: Version) -> None:
        self.failures = {n: why for n, why in self.failures.items() if n != fresh.number}
        with self._lock:
            old, self._current = self._current, fresh
            old.retired = True
        self._let_go(old)

    def close(self) -> None:
        """No request is answered any more; the version is closed when the last one has left it."""
        with self._lock:
            self._closed = True
            self._current.retired = True
        self._let_go(self._current)

    def _let_go(self, version: Version) -> None:
        with self._lock:
            done = version.retired and version.users == 0
            version.retired = version.retired and not done
        if done:
            version.runtime.close()

    @contextmanager
    def borrowed(self, name: str, number: int | None = None) -> Iterator[Version]:
        """The version in service, kept loaded for the length of the block."""
        with self._lock:
            version = self._current
            if self._closed:
                raise Refusal("UNAVAILABLE", "The server is going away.")
            if name != self.name or number not in (None, version.number):
                which = f"Latest({name})" if number is None else f"Specific({name}, {number})"
                raise Refusal("NOT_FOUND", f"Servable not found for request: {which}")
            version.users += 1
        try:
            yield version
        finally:
            with self._lock:
                version.users -= 1
            self._let_go(version)


def _files_of(folder: Path) -> Files:
    """The files of a version as they are now; fewer where some are being deleted."""
    found = []
    for where, _, names in os.walk(folder):
        for name in names:
            file = os.path.join(where, name)
            try:
                state = os.stat(file)
            except OSError:
                continue
            found.append((os.path.relpath(file, folder), state.st_size, state.st_mtime_ns))
    return frozenset(found)


def _has_graph(files: Files) -> bool:
    return any(name == "saved_model.pb" for name, _, _ in files)
