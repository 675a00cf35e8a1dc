"""From files to shards: threads decode pictures while the network embeds the previous ones."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from keras_metric import Preprocessing
from keras_metric.retrieval import Shard, shard_name, write_shard
from zoo.inference.bulk.listing import Part
from zoo.inference.bulk.networks import Network


class Chunk(NamedTuple):
    """A batch of one part: where it begins, its paths, and whether the part ends with it."""

    number: int
    paths: tuple[str, ...]
    last: bool


@dataclass(frozen=True)
class Reader:
    """Reads the images of a folder as a preprocessing says; `threads` of them at a time."""

    folder: Path
    preprocessing: Preprocessing
    threads: int = 2

    def read(self, path: str) -> np.ndarray | str:
        """The pixels `(H, W, C)` uint8, or why there are none."""
        try:
            return self.preprocessing.read(self.folder / path)
        except (ValueError, MemoryError) as error:
            return str(error) or type(error).__name__

    def batch(self, chunk: Chunk, size: int) -> tuple[np.ndarray, list[str | None]]:
        """`(size, H, W, C)`, and of each path why its place is black, None where it is not."""
        images, reasons = np.zeros((size, *self.preprocessing.shape), np.uint8), []
        for place, path in enumerate(chunk.paths):
            picture = self.read(path)
            broken = isinstance(picture, str)
            reasons.append(picture if broken else None)
            if not broken:
                images[place] = picture
        return images, reasons

    def ahead(self, chunks: Iterable[Chunk], size: int) -> Iterator[tuple]:
        """The `batch` of each chunk, a chunk a thread; few of them wait in memory."""
        pool, waiting = ThreadPoolExecutor(self.threads), deque()
        try:
            for chunk in chunks:
                waiting.append(pool.submit(self.batch, chunk, size))
                if len(waiting) > self.threads + 1:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)


def write_parts(
    network: Network,
    plan: dict[str, Any],
    parts: Sequence[Part],
    out: Path,
    *,
    threads: int,
    progress: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> None:
    """Embed parts of the folder of `plan`, and write each shard as soon as it is whole."""
    reader = Reader(Path(plan["folder"]), network.preprocessing, threads)
    known = {"model": plan["model"], "distance": plan["distance"]}
    for number, shard in embedded(network, reader, parts, batch=plan["batch"], progress=progress):
        write_shard(out / shard_name(number), shard, **known)


def embedded(
    network: Network,
    reader: Reader,
    parts: Sequence[Part],
    *,
    batch: int,
    progress: Callable[[Sequence[Any]], Iterable[Any]] = iter,
) -> Iterator[tuple[int, Shard]]:
    """The shard of each part, in order.

    The network always sees batches of `batch` images: a place whose picture cannot be read, or
    beyond the end of a part, is black. So the numbers of an image do not depend on which other
    files are damaged, nor on who works on the part, nor on what was done before.
    """
    chunks = [chunk for part in parts for chunk in _chunks(part, batch)]
    label = {path: one for part in parts for path, one in zip(part.paths, part.labels, strict=True)}
    paths, rows, skipped = [], [], []
    read = reader.ahead(chunks, batch)
    for chunk, (images, reasons) in zip(progress(chunks), read, strict=True):
        valid = [i for i, reason in enumerate(reasons) if reason is None]
        rows.append(network(images)[valid])
        paths += [chunk.paths[i] for i in valid]
        skipped += [pair for pair in zip(chunk.paths, reasons, strict=True) if pair[1] is not None]
        if chunk.last:
            shard = Shard(paths, [label[path] for path in paths], np.concatenate(rows), skipped)
            yield chunk.number, shard
            paths, rows, skipped = [], [], []


def _chunks(part: Part, batch: int) -> Iterator[Chunk]:
    for at in range(0, len(part.paths), batch):
        yield Chunk(part.number, part.paths[at : at + batch], at + batch >= len(part.paths))
