"""Embed a folder of images of any size into Parquet shards; resumes after an interruption.

Each part of the listing becomes one shard, written by this process or by workers of a Ray cluster.
Shards are written atomically, so the missing ones are those that remain to be done.
"""

import os
from pathlib import Path
from typing import Any

import numpy as np

from zoo.inference.bulk import networks, place
from zoo.inference.bulk.listing import Listing
from zoo.inference.bulk.networks import Network
from zoo.inference.bulk.pipeline import write_parts
from zoo.progress import shown

ENGINES = ("plain", "ray")


def embed(
    model: str | Path,
    folder: str | Path,
    out: str | Path,
    *,
    engine: str = "plain",
    address: str | None = None,
    workers: int | None = None,
    branch: str | None = None,
    size: tuple[int, int] | None = None,
    pixels: str | None = None,
    resize: str | None = None,
    fill: int | None = None,
    interpolation: str | None = None,
    layer: str | None = None,
    batch: int = 64,
    shard_size: int = 1024,
    force: bool = False,
) -> dict[str, Any]:
    """Embed every image of `folder` into shards in `out`; returns the manifest.

    Its `skipped` lists the images that could not be read, each with the reason, and `others` counts
    the files without an image suffix; `skipped.json` lists both. After an interruption the same
    call writes the missing shards.

    Args:
        model: a `.keras` file, the folder of a run, or a SavedModel.
        engine: "plain", in this process, or "ray", over the SavedModel on a Ray cluster.
        address: of the Ray cluster; by default one is started on this machine.
        workers: decoding threads of "plain", actors of "ray"; by default one for each core.
        branch: which network, of a model with two.
        size: height and width, for a model that takes any.
        pixels: the range that the model was trained on, if pixels were scaled outside of it:
            "0..1", "-1..1" or "0..255".
        resize, fill, interpolation: as in `keras_metric.Preprocessing`, instead of the model's own.
        layer: of a classifier, the layer whose output is the embedding.
        folder: of images, or a list (CSV, TSV) of paths and labels.
        batch: images per call of the network.
        shard_size: images per shard.
        force: replace the shards in `out`.

    Raises:
        FileNotFoundError: there is no such folder or model.
        FileExistsError: `out` contains shards of another model or folder, or other files.
        ValueError: there are no images, none can be read, or the model returns no embeddings.
    """
    from keras_metric.arguments import whole

    whole("batch", batch), whole("shard_size", shard_size)
    workers = whole("workers", workers or os.cpu_count() or 1)
    if engine not in ENGINES:
        raise ValueError(
            f"Unknown engine. Expected: one of {', '.join(ENGINES)}. Received: {engine!r}."
        )
    listing, out = Listing.of(folder), Path(out)
    source = networks.locate(
        model,
        branch=branch,
        size=size,
        pixels=pixels,
        resize=resize,
        fill=fill,
        interpolation=interpolation,
        layer=layer,
    )
    if engine == "ray":
        from zoo.inference.bulk import on_ray

        on_ray.check(source)
    elif address is not None:
        raise ValueError(
            "An address has no meaning here. Expected: one with the engine ray only. "
            f"Received: {address!r} for the engine {engine}."
        )
    with place.held(out):
        network = networks.load(source)
        plan = _plan(listing, network, batch=batch, shard_size=shard_size)
        place.begin(out, plan, force=force)
        parts = listing.parts(shard_size)
        left = place.missing(out, plan["model"], range(len(parts)))
        todo = [parts[number] for number in left]
        if engine == "ray" and todo:
            on_ray.embed(source, plan, todo, out, address=address, workers=workers)
        else:
            write_parts(network, plan, todo, out, threads=workers, progress=_bar)
        return place.finish(out, plan, len(parts), listing.unnamed, listing.others)


def _bar(chunks):
    return shown(chunks, "embedding")


def _plan(listing: Listing, network: Network, *, batch: int, shard_size: int) -> dict[str, Any]:
    """What decides every number in the shards, and where the images lie."""
    width = network(np.zeros((batch, *network.shape), np.uint8)).shape[1]
    return {
        "model": network.fingerprint,
        "distance": network.distance,
        "dimensions": width,
        "folder": str(listing.folder.resolve()),
        "listing": listing.digest,
        "images": len(listing.paths),
        "size": list(network.shape),
        "preprocessing": network.preprocessing.as_json(),
        "batch": batch,
        "shard_size": shard_size,
    }
