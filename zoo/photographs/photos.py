"""`Photos`: photographs of a listing that are decoded when somebody asks for them."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice

import numpy as np

from keras_metric import image_files
from keras_metric.preprocessing import Preprocessing
from zoo.datasets.reading.paths import Paths

BATCH, AHEAD = 64, 4


@dataclass(frozen=True, eq=False)
class Pixels:
    """Photographs as an array `(N, H, W, C)` uint8 of which only the rows asked for are decoded.

    `frame` is the preprocessing of a model. A photograph that cannot be decoded to its end is
    replaced by another one of its class, so that a training of hours does not end by a torn file;
    `broken` collects them: path -> reason.

    Raises `Unreadable` when no photograph of a class can be read.
    """

    paths: Paths
    labels: np.ndarray
    frame: Preprocessing
    broken: dict[str, str] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, rows) -> np.ndarray:
        rows = np.asarray(rows)
        if rows.ndim == 0:
            return self._read(int(rows))
        images = np.empty((len(rows), *self.frame.shape), np.uint8)
        for place, row in enumerate(rows):
            images[place] = self._read(int(row))
        return images

    def _read(self, row: int) -> np.ndarray:
        try:
            return self.frame.read(self.paths[row])
        except image_files.Unreadable as error:
            self.broken[self.paths[row]] = str(error)
            alike = np.flatnonzero(self.labels == self.labels[row])
            start = int(np.searchsorted(alike, row))
            for other in (*alike[start + 1 :], *alike[:start]):
                try:
                    return self.frame.read(self.paths[int(other)])
                except image_files.Unreadable as another:
                    self.broken[self.paths[int(other)]] = str(another)
            raise


@dataclass(frozen=True, eq=False)
class Photos:
    """Labelled photographs on the disk, with the parts of `zoo.datasets.Images` that recipes use.

    - `images`: `Pixels`. `labels`: `(N,)` int64, `names[label]` is the class.
    - `groups`: `(N,)`, equal for photographs of one thing; or None.
    - `categories`: of each of `names` the category; or None.
    """

    images: Pixels
    labels: np.ndarray
    names: tuple[str, ...]
    groups: np.ndarray | None = None
    categories: tuple[str, ...] | None = None

    def __len__(self) -> int:
        return len(self.labels)

    def __repr__(self) -> str:
        height, width, _ = self.shape
        first = ", ".join(self.names[label] for label in self.classes[:5])
        more = ", ..." if len(self.classes) > 5 else ""
        return (
            f"Photos({len(self):,} photographs read as {height} x {width}, classes: "
            f"{len(self.classes):,} ({first}{more}))"
        )

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.images.frame.shape

    @property
    def paths(self) -> Paths:
        return self.images.paths

    @property
    def classes(self) -> np.ndarray:
        """The labels that occur, ascending."""
        return np.unique(self.labels)

    def where(self, rows: np.ndarray) -> "Photos":
        """The photographs that a mask `(N,)` keeps, or those at these positions."""
        rows = np.asarray(rows)
        rows = np.flatnonzero(rows) if rows.dtype == bool else rows
        labels = self.labels[rows]
        groups = None if self.groups is None else self.groups[rows]
        images = replace(self.images, paths=self.paths.of_rows(rows), labels=labels)
        return replace(self, images=images, labels=labels, groups=groups)

    def relabelled(self) -> "Photos":
        """The same with the classes that occur numbered 0, 1, 2, ..."""
        classes, labels = np.unique(self.labels, return_inverse=True)
        categories = self.categories and tuple(self.categories[label] for label in classes)
        return replace(
            self,
            images=replace(self.images, labels=labels),
            labels=labels.astype(np.int64),
            names=tuple(self.names[label] for label in classes),
            categories=categories,
        )

    def read_as(self, frame: Preprocessing) -> "Photos":
        """The same photographs in another form."""
        return replace(self, images=replace(self.images, frame=frame))

    def batches(self, workers: int = 2) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """`(rows, pixels)` of all that can be read, in order, decoded ahead by threads."""
        starts = iter(range(0, len(self), BATCH))
        with ThreadPoolExecutor(max(1, workers)) as pool:
            waiting = [pool.submit(self._batch, at) for at in islice(starts, workers + AHEAD)]
            while waiting:
                rows, images = waiting.pop(0).result()
                waiting += [pool.submit(self._batch, at) for at in islice(starts, 1)]
                if len(rows):
                    yield rows, images

    def _batch(self, start: int) -> tuple[np.ndarray, np.ndarray]:
        rows, images = [], []
        for row in range(start, min(start + BATCH, len(self))):
            try:
                images.append(self.images.frame.read(self.paths[row]))
                rows.append(row)
            except image_files.Unreadable as error:
                self.images.broken[self.paths[row]] = str(error)
        return np.array(rows, np.int64), np.array(images, np.uint8).reshape(-1, *self.shape)
