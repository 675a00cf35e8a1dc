"""Embeddings on disk: Parquet shards of path, label, embedding, and the fingerprint of the model.

    shards/part-00000.parquet   path string, label string or null, embedding float32[D]
    shards/manifest.json        model, distance, dimensions, where the images lie, rows by shard

The schema metadata of each file has `keras_metric.model` (the fingerprint of the weights),
`keras_metric.distance` and `keras_metric.skipped` (the images that could not be read).
"""

import json
import os
import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

MANIFEST = "manifest.json"
PREFIX = "keras_metric."


class Shard(NamedTuple):
    """Some images and their embeddings.

    - `paths`: of the images, relative to the embedded folder.
    - `labels`: the sub-folder of each, or None.
    - `embeddings`: `(N, D)` float32.
    - `skipped`: pairs of a path and the reason why it has no embedding.
    """

    paths: Sequence[str]
    labels: Sequence[str | None]
    embeddings: np.ndarray
    skipped: Sequence[tuple[str, str]] = ()


def shard_name(number: int) -> str:
    """`part-00000.parquet` for 0."""
    return f"part-{number:05d}.parquet"


def write_shard(file: Path, shard: Shard, *, model: str, distance: str) -> Path:
    """Write one shard atomically.

    The same shard gives the same bytes.
    """
    arrow, parquet = _arrow()
    values = np.ascontiguousarray(shard.embeddings, dtype="float32")
    columns = {
        "path": arrow.array(shard.paths, arrow.string()),
        "label": arrow.array(shard.labels, arrow.string()),
        "embedding": arrow.FixedSizeListArray.from_arrays(values.ravel(), values.shape[1]),
    }
    facts = {"model": model, "distance": distance, "skipped": json.dumps(list(shard.skipped))}
    table = arrow.table(columns, metadata={PREFIX + key: text for key, text in facts.items()})
    beside = file.with_name(f".{uuid.uuid4().hex}-{file.name}")
    try:
        parquet.write_table(table, beside, compression="zstd", use_dictionary=["label"])
        with open(beside, "rb") as written:
            os.fsync(written.fileno())
        os.replace(beside, file)
    finally:
        beside.unlink(missing_ok=True)
    return file


def read_shard(file: Path, *, model: str | None = None) -> Shard:
    """One shard; raises an error if it is damaged or not of the weights `model` (a fingerprint).

    Raises:
        ValueError: not a shard, a damaged one, or one of another model.
    """
    arrow, parquet = _arrow()
    facts = shard_facts(file, model=model)
    try:
        table = parquet.read_table(file)
        column = table["embedding"].combine_chunks()
    except (arrow.ArrowException, OSError, KeyError) as error:
        raise _torn(file, error) from error
    width = column.type.list_size
    values = column.flatten().to_numpy(zero_copy_only=False).reshape(-1, width)
    paths, labels = (table[name].to_pylist() for name in ("path", "label"))
    return Shard(paths, labels, values, facts["skipped"])


def shard_facts(file: Path, *, model: str | None = None) -> dict[str, Any]:
    """`model`, `distance`, `skipped`, `rows`, `dimensions` of a shard, from the end of its file.

    Raises:
        ValueError: not a shard, a damaged one, or one of another model.
    """
    arrow, parquet = _arrow()
    try:
        with parquet.ParquetFile(file) as opened:
            schema, rows = opened.schema_arrow, opened.metadata.num_rows
        texts = {name: schema.metadata[(PREFIX + name).encode()].decode() for name in _FACTS}
        dimensions = schema.field("embedding").type.list_size
    except (arrow.ArrowException, OSError, KeyError, TypeError, AttributeError) as error:
        raise _torn(file, error) from error
    if model is not None and texts["model"] != model:
        raise ValueError(
            f"{file} was made by another model. Expected: the fingerprint {model[:12]}. "
            f"Received: {texts['model'][:12]}."
        )
    skipped = [tuple(pair) for pair in json.loads(texts["skipped"])]
    return {**texts, "skipped": skipped, "rows": rows, "dimensions": dimensions}


def read_manifest(folder: str | Path) -> dict[str, Any]:
    """The manifest of a folder of shards; raises an error if the folder is not complete.

    Keys: `model`, `distance`, `dimensions`, `folder`, `listing`, `images`, `shard_size`, `rows`,
    `skipped`, `shards` (name and rows of each).

    Raises:
        FileNotFoundError: no shards at `folder`.
        ValueError: the embedding was interrupted, or the file is not a manifest.
    """
    place = Path(folder) / MANIFEST
    if not place.is_file():
        raise FileNotFoundError(
            f"There are no shards at {folder}. Expected: a folder with {MANIFEST}, as "
            "`keras-metric embed` writes it. Received: no such file."
        )
    try:
        manifest = json.loads(place.read_text(encoding="utf-8"))
        unfinished = "shards" not in manifest
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise ValueError(f"{place} cannot be read. Expected: JSON. Received: {error}.") from error
    if unfinished:
        raise ValueError(
            f"The shards at {folder} are not finished. Expected: all of them; the same "
            "`keras-metric embed` goes on. Received: an embedding that was interrupted."
        )
    return manifest


def read_shards(folder: str | Path, *, model: str | None = None) -> Iterator[Shard]:
    """The shards of a folder one by one, in order; a few MiB at a time.

    model: the fingerprint that they must have; by default that of the manifest.

    Raises:
        FileNotFoundError: no shards at `folder`, or one of them is missing.
        ValueError: incomplete, damaged, or of another model.
    """
    folder, manifest = Path(folder), read_manifest(folder)
    for entry in manifest["shards"]:
        if not (folder / entry["name"]).is_file():
            raise FileNotFoundError(
                f"A shard is missing. Expected: {folder / entry['name']}, which {MANIFEST} lists. "
                "Received: no such file."
            )
        yield read_shard(folder / entry["name"], model=model or manifest["model"])


_FACTS = ("model", "distance", "skipped")


def _torn(file: Path, error: Exception) -> ValueError:
    return ValueError(
        f"{file} is not a shard of embeddings. Expected: a whole Parquet file written by "
        f"`keras-metric embed`. Received: {type(error).__name__}: {error}."
    )


def _arrow():
    try:
        import pyarrow
        from pyarrow import parquet
    except ImportError as error:
        raise ImportError(
            "Shards of embeddings need pyarrow, which is not installed. Expected: "
            f'pip install "keras-metric[search]". Received: {error}.'
        ) from error
    return pyarrow, parquet
