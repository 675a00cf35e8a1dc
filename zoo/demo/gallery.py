"""The searched pictures and the samples of a page, and those of an index of picture files."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from keras_metric.retrieval import Index
from keras_metric.serve import Refusal
from zoo.demo.picture import Picture, from_file
from zoo.inference.bulk.networks import Network
from zoo.inference.searching import Searcher, file_of

SAMPLES = 9
COLUMNS, ROWS = 6, 4  # of a sheet

Titled = tuple[str, Picture]


@dataclass(frozen=True, eq=False)
class Gallery:
    """The searched pictures, and the samples.

    - `searcher`: the network with its index; `source` and `chosen` describe its content and where
      the threshold comes from.
    - `record`: the picture of a record, by its id; raises `Refusal` if it does not exist.
    - `samples`, `scenes`: pictures to search for and to search in, each with a caption.
    """

    searcher: Searcher
    source: str
    chosen: str
    record: Callable[[int], Picture]
    samples: list[Titled]
    scenes: list[Titled]


def of_index(network: Network, place: Path, threshold: float | None) -> Gallery:
    """The gallery of a saved index; the samples are some of its records.

    Raises:
        FileNotFoundError: there is no index.
        ValueError: an index of other weights, a damaged one, or an empty one.
    """
    searcher = Searcher(network, Index.load(place), threshold, place)
    index = searcher.index
    if not len(index):
        raise ValueError(
            f"There is nothing to find. Expected: an index with records at {place}. Received: none."
        )

    def record(number: int) -> Picture:
        file = _files(searcher, [number]).get(number)
        if file is None:
            raise no_record(number)
        return from_file(file, network.preprocessing)

    drawn = np.random.default_rng(0).permutation(index.ids)[: COLUMNS * ROWS]
    found = list(_readable(_files(searcher, drawn.tolist()).values(), network))
    return Gallery(
        searcher,
        f"{len(index):,} pictures of the index {place}",
        _kept(searcher, threshold),
        record,
        found[:SAMPLES],
        [("a sheet of pictures", sheet([picture.fed for _, picture in found]))] if found else [],
    )


def no_record(number: int) -> Refusal:
    """What to raise for a record that is not there, or has no picture."""
    return Refusal(
        "NOT_FOUND",
        "The index has no such picture. Expected: a record that was found, made of a file. "
        f"Received: record-{number}.",
    )


def sheet(pictures: list[np.ndarray]) -> Picture:
    """Pictures of one size side by side, half their size apart, on the colour of their corners."""
    height, width, channels = pictures[0].shape
    pitch = np.array([height + height // 2, width + width // 2])
    rows = -(-len(pictures) // COLUMNS)
    ground = np.median([picture[0, 0] for picture in pictures], axis=0).astype(np.uint8)
    size = pitch * (rows, min(COLUMNS, len(pictures))) + (height // 2, width // 2)
    pixels = np.full((*size, channels), ground, np.uint8)
    for number, picture in enumerate(pictures):
        top, left = pitch * divmod(number, COLUMNS) + (height // 2, width // 2)
        pixels[top : top + height, left : left + width] = picture
    return Picture.of(pixels)


def _files(searcher: Searcher, ids: list[int]) -> dict[int, str]:
    """The files of records, as far as they name one; what is near to nothing is not looked at."""
    index = searcher.index
    nothing = np.zeros((1, index.width), np.float32)
    found = index.search(nothing, len(ids), {"id": set(ids)}, model=index.fingerprint)
    records = zip(found.ids[0].tolist(), found.metadata[0], strict=True)
    files = {number: file_of(record.get("path"), searcher.folder) for number, record in records}
    return {number: file for number, file in files.items() if file}


def _readable(files, network: Network) -> Iterator[Titled]:
    for file in files:
        try:
            yield Path(file).name, from_file(file, network.preprocessing)
        except Refusal:
            continue


def _kept(searcher: Searcher, given: float | None) -> str:
    if given is not None:
        return "given by --threshold"
    found = searcher.index.calibration
    if found is None:
        return "`keras-metric calibrate` finds one"
    return f"calibrated for {found.target}" + ("" if found.asked is None else f" {found.asked:g}")
