"""The last few things built, each once, for any number of threads."""

from collections.abc import Callable
from threading import RLock
from typing import Any


class Cache:
    """Builds what a key asks for the first time; when full, the oldest makes room."""

    def __init__(self, limit: int):
        self._limit = limit
        self._built: dict[Any, Any] = {}
        self._lock = RLock()

    def get(self, key, build: Callable[[], Any]):
        with self._lock:
            if key not in self._built:
                built = build()
                while len(self._built) >= self._limit:
                    del self._built[next(iter(self._built))]
                self._built[key] = built
            return self._built[key]

    def oldest(self):
        """None when nothing was built yet."""
        return next(iter(self._built.values()), None)
