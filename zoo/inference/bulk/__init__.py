"""Embed a folder of images, of any length, into Parquet shards; killed, it goes on where it was.

A part of the listing becomes one shard, whoever works on it: this process, or workers of a Ray
cluster. A shard is whole or not there, so what is missing is what is left to do.
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
    pixels: str = "0..255",
    layer: str | None = None,
    batch: int = 64,
    shard_size: int = 1024,
    force: bool = False,
) -> dict[str, Any]:
    """Embed every image of `folder` into shards in `out`; returns the manifest.

    In it `skipped` lists the images that could not be read, each with its reason, and `others`
    counts the files that are no images by their name; `skipped.json` accounts for both. Called
    again after a kill it goes on with the shards that are missing.

    Args:
        model: a `.keras` file, the folder of a run, or a SavedModel.
        engine: "plain", in this process, or "ray", over the SavedModel on a Ray cluster.
        address: of the Ray cluster; one on this machine is started when left out.
        workers: decoding threads of "plain", actors of "ray"; one for each core when left out.
        branch: which network, of a model of two.
        size: height and width, for a model that takes any.
        pixels: the range that the model was trained on, when pixels were scaled outside of it:
            "0..1", "-1..1" or "0..255".
        layer: whose output is the embedding, of a classifier.
        folder: of images, or a list (CSV, TSV) of paths and labels.
        batch: images in one call of the network.
        shard_size: images of a shard.
        force: remove the shards that are in `out` and begin anew.

    Raises:
        FileNotFoundError: no such folder or model.
        FileExistsError: `out` holds shards of another model or folder, or other files.
        ValueError: no images, not one that can be read, or a model that gives no embeddings.
    """
    from keras_metric.arguments import whole

    whole("batch", batch), whole("shard_size", shard_size)
    workers = whole("workers", workers or os.cpu_count() or 1)
    if engine not in ENGINES:
        raise ValueError(
            f"Unknown engine. Expected: one of {', '.join(ENGINES)}. Received: {engine!r}."
        )
    listing, out = Listing.of(folder), Path(out)
    source = networks.locate(model, branch=branch, size=size, pixels=pixels, layer=layer)
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
        "batch": batch,
        "shard_size": shard_size,
    }
