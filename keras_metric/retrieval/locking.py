"""Many readers or one writer: the lock that lets threads share an index."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class ReadWriteLock:
    """Any number of threads may read at once; a thread that writes is alone.

    A waiting writer goes before new readers. A thread that holds the lock may read again inside; a
    thread that is reading cannot write, which would wait for itself.
    """

    def __init__(self):
        self._changed = threading.Condition()
        self._readers: dict[int, int] = {}  # thread -> how many times it reads
        self._writer: int | None = None
        self._depth = self._waiting = 0

    def __reduce__(self):
        return ReadWriteLock, ()  # a copy of an index has a lock of its own

    @contextmanager
    def reading(self) -> Iterator[None]:
        me = threading.get_ident()
        with self._changed:
            if me != self._writer and me not in self._readers:
                self._changed.wait_for(lambda: self._writer is None and not self._waiting)
            self._readers[me] = self._readers.get(me, 0) + 1
        try:
            yield
        finally:
            with self._changed:
                self._readers[me] -= 1
                if not self._readers[me]:
                    del self._readers[me]
                self._changed.notify_all()

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Raises RuntimeError in a thread that is reading."""
        me = threading.get_ident()
        with self._changed:
            if me != self._writer:
                self._become_writer(me)
            self._depth += 1
        try:
            yield
        finally:
            with self._changed:
                self._depth -= 1
                if not self._depth:
                    self._writer = None
                self._changed.notify_all()

    def _become_writer(self, me: int) -> None:
        if me in self._readers:
            raise RuntimeError(
                "An index cannot be changed while the same thread searches it. Expected: add and "
                "remove outside of a filter function. Received: a call from inside of one."
            )
        self._waiting += 1
        try:
            self._changed.wait_for(lambda: self._writer is None and not self._readers)
            self._writer = me
        finally:
            self._waiting -= 1
            self._changed.notify_all()
