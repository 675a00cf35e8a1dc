"""Pictures of a folder, or of shards made of it, as embeddings with their paths and labels."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from keras_metric.preprocessing import Preprocessing, check_same
from keras_metric.retrieval import MANIFEST, Shard, read_manifest, read_shards
from zoo.inference.bulk import networks
from zoo.inference.bulk.listing import Listing
from zoo.inference.bulk.networks import Network
from zoo.inference.bulk.pipeline import Reader, embedded
from zoo.progress import shown

BATCH, PART = 64, 1024


@dataclass(frozen=True, eq=False)
class Collected:
    """Embeddings (N, D), and of each the file of its picture and the sub-folder it lies in."""

    network: Network
    files: list[str]
    labels: list[str | None]
    embeddings: np.ndarray
    skipped: list[dict[str, str]]
    others: int = 0  # files of the folder that are no images by their name, or hidden

    def labelled(self) -> "tuple[np.ndarray, np.ndarray, list[str]]":
        """Rows that have a label, the numbers of their labels, and the names of these.

        Raises:
            ValueError: fewer than two labels.
        """
        rows = np.array([row for row, label in enumerate(self.labels) if label is not None], int)
        names, numbers = np.unique([self.labels[row] or "" for row in rows], return_inverse=True)
        if len(names) < 2:
            raise ValueError(
                "There are fewer than two classes. Expected: pictures in two sub-folders or more, "
                f"one for each class. Received: {len(names)}."
            )
        return rows, numbers, names.tolist()


def collect(model: str | Path, place: str | Path, **network_options: Any) -> Collected:
    """Embed a folder or list of pictures, or read the shards that `keras-metric embed` made of one.

    The options are those of `zoo.inference.bulk.networks.Source`: size, branch, pixels, resize, ...

    Raises:
        FileNotFoundError: no such model, folder or shards.
        ValueError: no picture that can be read, or shards of another model.
    """
    network = networks.load(networks.locate(model, **network_options))
    place, others = Path(place), 0
    if (place / MANIFEST).is_file():
        manifest = read_manifest(place)
        folder, made = Path(manifest["folder"]), manifest.get("preprocessing")
        made = made and Preprocessing.from_json(made)
        check_same(made, network.preprocessing, f"The shards in {place}")
        parts = read_shards(place, model=network.fingerprint)
    else:
        listing = Listing.of(place)
        folder, others = listing.folder.resolve(), len(listing.others)
        parts = _made(network, listing)
    found = list(parts)
    skipped = [{"image": str(p), "reason": why} for part in found for p, why in part.skipped]
    if not any(len(part.paths) for part in found):
        reason = skipped[0]["reason"] if skipped else "none"
        raise ValueError(f"No picture could be read. Expected: one at least. Received: {reason}")
    return Collected(
        network,
        [str(folder / path) for part in found for path in part.paths],
        [label for part in found for label in part.labels],
        np.concatenate([part.embeddings for part in found]),
        skipped,
        others,
    )


def _made(network: Network, listing: Listing) -> Iterator[Shard]:
    reader = Reader(listing.folder, network.preprocessing)

    def bar(chunks):
        return shown(chunks, "embedding")

    for _, shard in embedded(network, reader, listing.parts(PART), batch=BATCH, progress=bar):
        yield shard
