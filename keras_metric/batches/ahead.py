"""Batches prepared in advance by several workers, returned by their index.

Keras's own queue of workers keeps batches of one iteration for the next and returns them in the
order of the requests: on JAX and torch, where `fit` first takes a trial batch, an epoch then begins
with batches of other indices and repeats an epoch. Here a batch is found by its epoch and index.
"""

import multiprocessing
import threading
from collections.abc import Callable
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from typing import Any


class Ahead:
    """Calls batch(epoch, index) in workers, for the requested index and those after it.

    At most `depth` batches are kept. Workers are threads, or new processes with a copy of the
    batches.
    """

    def __init__(self, batch: Callable[[int, int], Any], workers: int, depth: int, processes: bool):
        self._batch, self._workers = batch, workers
        self._depth, self._processes = max(depth, workers), processes
        self._forget()

    def __reduce__(self):
        return Ahead, (self._batch, self._workers, self._depth, self._processes)

    def _forget(self) -> None:
        self._pool: Executor | None = None
        self._waiting: dict[tuple[int, int], Future] = {}
        self._lock = threading.Lock()

    def __call__(self, epoch: int, index: int, count: int):
        """Batch `index` of `count` in an epoch."""
        with self._lock:
            for key in [key for key in self._waiting if key[0] != epoch]:
                self._waiting.pop(key).cancel()
            wanted = self._waiting.pop((epoch, index), None) or self._submit(epoch, index)
            for later in range(index + 1, min(index + 1 + self._depth, count)):
                if len(self._waiting) < self._depth and (epoch, later) not in self._waiting:
                    self._waiting[epoch, later] = self._submit(epoch, later)
        return wanted.result()

    def _submit(self, epoch: int, index: int) -> Future:
        if self._pool is None and self._processes:
            self._pool = ProcessPoolExecutor(
                self._workers,
                multiprocessing.get_context("spawn"),  # a fork copies locks that threads hold
                initializer=_adopt,
                initargs=(self._batch,),
            )
        elif self._pool is None:
            self._pool = ThreadPoolExecutor(self._workers, thread_name_prefix="batches")
        if self._processes:
            return self._pool.submit(_adopted, epoch, index)
        return self._pool.submit(self._batch, epoch, index)


_BATCH: list[Callable] = []  # in a worker process: the batches it has a copy of


def _adopt(batch: Callable) -> None:
    _BATCH[:] = [batch]


def _adopted(epoch: int, index: int):
    return _BATCH[0](epoch, index)
