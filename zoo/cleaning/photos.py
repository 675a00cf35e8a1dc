"""What `keras-metric clean` looks at: photographs, labels, embeddings, thumbnails, digests."""

import hashlib
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np

from keras_metric import image_files
from zoo.cleaning.duplicates import SIDE
from zoo.datasets.reading.photographs import PART_NAMES
from zoo.progress import shown

EXACT_TO = 20_000  # photographs up to which neighbors are searched exactly


@dataclass(frozen=True, eq=False)
class Photos:
    """Photographs that could be read, N of them, and those that could not.

    - `files`, `labels`: of each photograph; a label is None where there is none.
    - `parts`: the folder or list it comes from, or its split (train, validation, test).
    - `embeddings` (N, D), unit length. `thumbnails` (N, S, S) uint8, gray. `digests` of the files.
    - `broken`: `{"image": file, "reason": text}` of each that could not be read.
    """

    files: list[str]
    labels: list[str | None]
    parts: list[str]
    embeddings: np.ndarray
    thumbnails: np.ndarray
    digests: list[str]
    broken: list[dict[str, str]]

    def nearest(self, k: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows (N, k) of the nearest photographs and their cosine distances, itself left out.

        Exact up to 20,000 photographs; beyond, by a graph (hnsw), in O(N log N). -1 for none.
        """
        from keras_metric.retrieval import Index

        count = len(self.files)
        index = Index(distance="cosine", kind="exact" if count <= EXACT_TO else "hnsw")
        index.add(self.embeddings)
        found = index.search(self.embeddings, min(k + 1, count))
        others = found.ids != np.arange(count)[:, None]
        others[others.all(axis=1), -1] = False  # many equal ones before itself
        width = found.ids.shape[1] - 1
        return found.ids[others].reshape(count, width), found.distances[others].reshape(
            count, width
        )


def read_photos(model: str, places: Sequence[str], work: Path, **network_options: Any) -> Photos:
    """Embed every photograph of the folders or lists; shards in `work` let a killed run go on.

    Raises:
        FileNotFoundError, ValueError: as `zoo.inference.bulk.embed`.
    """
    from zoo.inference.bulk import embed
    from zoo.inference.collecting import collect

    files, labels, parts, embeddings, broken = [], [], [], [], []
    names = _names(places)
    for place, name in zip(places, names, strict=True):
        shards = work / "embeddings" / _key(model, place, network_options)
        embed(model, place, shards, **network_options)
        found = collect(model, shards, **network_options)
        splits = _splits(place, found.files) if len(places) == 1 else None
        files += found.files
        labels += [label for _, label in splits] if splits else found.labels
        parts += [split for split, _ in splits] if splits else [name] * len(found.files)
        embeddings.append(found.embeddings)
        root = Path(place).resolve() if Path(place).is_dir() else Path()
        broken += [{**one, "image": str(root / one["image"])} for one in found.skipped]
    points = np.concatenate(embeddings).astype(np.float32)
    points /= np.maximum(np.linalg.norm(points, axis=1, keepdims=True), 1e-12)
    with ThreadPoolExecutor() as pool:
        looks = [
            look for look, _ in zip(pool.map(_look, files), shown(files, "reading"), strict=True)
        ]
    thumbnails = np.stack([thumbnail for thumbnail, _ in looks])
    return Photos(files, labels, parts, points, thumbnails, [d for _, d in looks], broken)


def _look(file: str) -> tuple[np.ndarray, str]:
    """The thumbnail of a photograph, and the digest of its file."""
    content = Path(file).read_bytes()
    thumbnail = image_files.read(BytesIO(content), (SIDE, SIDE), grey=True)
    return thumbnail[..., 0], hashlib.sha256(content).hexdigest()


def _key(model: str, place: str, network_options: dict[str, Any]) -> str:
    """A name for the shards of a model and a listing: other files or options get other shards."""
    from zoo.inference.bulk.listing import Listing

    asked = [str(model), Listing.of(place).digest, sorted(network_options.items())]
    return hashlib.sha256(repr(asked).encode()).hexdigest()[:16]


def _names(places: Sequence[str]) -> list[str]:
    """A short name for each place: its last part, or all of it where these are equal."""
    short = [Path(place).resolve().stem for place in places]
    return short if len(set(short)) == len(short) else [str(place) for place in places]


def _splits(place: str, files: list[str]) -> list[tuple[str, str | None]] | None:
    """Of each file its split and label, if the folder's sub-folders are train, validation, ..."""
    if not Path(place).is_dir():
        return None
    inside = [Path(file).relative_to(Path(place).resolve()).parts[:-1] for file in files]
    if not all(parts and parts[0].lower() in PART_NAMES for parts in inside):
        return None
    return [(parts[0], parts[1] if len(parts) > 1 else None) for parts in inside]
