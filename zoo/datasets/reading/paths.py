"""Paths of very many files in one block of bytes: a million of 40 characters take 48 MB."""

from collections.abc import Iterable, Iterator

import numpy as np


class Paths:
    """A sequence of paths, which cannot be changed; an array of rows selects.

    Texts may hold whatever a file system allows, bytes that are no UTF-8 included.
    """

    def __init__(self, block: bytes, ends: np.ndarray):
        self._block, self._ends = block, ends

    @classmethod
    def of(cls, paths: Iterable[str]) -> "Paths":
        block, ends = bytearray(), []
        for path in paths:
            block += path.encode(errors="surrogateescape")
            ends.append(len(block))
        return cls(bytes(block), np.array(ends, np.int64))

    def __len__(self) -> int:
        return len(self._ends)

    def __iter__(self) -> Iterator[str]:
        return (self[row] for row in range(len(self)))

    def __getitem__(self, row: int) -> str:
        if not -len(self) <= row < len(self):
            raise IndexError(
                f"There is no such path. Expected: a row below {len(self)}. Received: {row}."
            )
        row = row % len(self)
        start = self._ends[row - 1] if row else 0
        return self._block[start : self._ends[row]].decode(errors="surrogateescape")

    def of_rows(self, rows: np.ndarray) -> "Paths":
        """The paths of these rows, in this order."""
        return Paths.of(self[int(row)] for row in rows)

    @property
    def nbytes(self) -> int:
        return len(self._block) + self._ends.nbytes
