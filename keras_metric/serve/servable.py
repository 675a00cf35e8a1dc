"""The version in service: loaded, warmed up, replaced by the next, let go when nobody uses it."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_metric.export.runtime import Runtime, RuntimeFault, Signature
from keras_metric.export.saved_models.versions import versions
from keras_metric.serve.refusals import Refusal, from_tensorflow
from keras_metric.serve.warmup import replay


@dataclass
class Version:
    """One loaded version, and how many requests are inside it."""

    number: int
    runtime: Runtime
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
    """The highest version in a model's folder, under the name that requests use.

    Args:
        path: folder of versions 1, 2, ...
        name: what requests call the model; the folder's name when left out.
        threads: size of TensorFlow's thread pools.

    Raises:
        FileNotFoundError: no version in the folder.
        RuntimeFault, ValueError: the first version does not load or refuses its warm-up.
    """

    def __init__(self, path: str | Path, *, name: str | None = None, threads: int | None = None):
        self.path = Path(path)
        self.name = name or self.path.resolve().name
        self._threads = threads
        self._lock = threading.Lock()
        self._closed = False
        self.failures: dict[int, str] = {}
        found = self._complete()
        if not found:
            raise FileNotFoundError(
                f"No model to serve in {str(path)!r}. Expected: version folders 1, 2, ... with a "
                "saved_model.pb. Received: none."
            )
        self._current = self._loaded(found[-1])

    def _complete(self) -> list[int]:
        return [n for n in versions(self.path) if (self.path / str(n) / "saved_model.pb").is_file()]

    def _loaded(self, number: int) -> Version:
        folder = self.path / str(number)
        runtime = Runtime(folder, threads=self._threads)
        try:
            replay(runtime, folder)
        except BaseException:
            runtime.close()
            raise
        return Version(number, runtime)

    def refresh(self) -> bool:
        """Loads the highest version if it is a new one; True if it is now in service.

        A version that does not load is remembered in `failures` and the old one stays.
        """
        newest = self._complete()[-1:]
        if not newest or newest[0] <= self._current.number or newest[0] in self.failures:
            return False
        try:
            fresh = self._loaded(newest[0])
        except (RuntimeFault, ValueError, OSError, KeyError, TypeError) as error:
            self.failures[newest[0]] = str(error)
            return False
        with self._lock:
            old, self._current = self._current, fresh
            old.retired = True
        self._let_go(old)
        return True

    def close(self) -> None:
        """No request is answered any more; the version goes when the last one has left it."""
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
