"""Write the shards by the workers of a Ray cluster, each of which loads the SavedModel.

Ray Data distributes the parts; if a part fails or its machine dies, it is run again. Images and
shards must have the same paths on every machine.
"""

import logging
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo.datasets.reading._extras import need
from zoo.inference.bulk.listing import Part
from zoo.inference.bulk.networks import Source, load
from zoo.inference.bulk.pipeline import write_parts
from zoo.progress import shown

QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_DATA_DISABLE_PROGRESS_BARS": "1",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_memory_monitor_refresh_ms": "0",
    "RAY_BACKEND_LOG_LEVEL": "fatal",
    "RAY_worker_niceness": "0",
}


class Worker:
    """An actor: loads the network once, then turns parts into shards."""

    def __init__(self, source: Source, plan: dict[str, Any], out: str):
        self.network = load(source)
        self.plan, self.out = plan, Path(out)

    def __call__(self, row: dict[str, Any]) -> dict[str, Any]:
        part = Part(int(row["number"]), tuple(row["paths"]), tuple(row["labels"]))
        write_parts(self.network, self.plan, [part], self.out, threads=1)
        return {"number": part.number}


def check(source: Source) -> None:
    """Refuse, before any work, what cannot run on Ray.

    Raises:
        ImportError: Ray is missing.
        ValueError: not a SavedModel.
    """
    os.environ.update({key: value for key, value in QUIET.items() if key not in os.environ})
    need("ray.data", extra="ray", purpose="The engine ray")
    if not source.exported:
        raise ValueError(
            "The engine ray runs a SavedModel. Expected: the folder that `keras-metric export "
            f"{source.path}` writes. Received: {source.path}."
        )


def embed(
    source: Source,
    plan: dict[str, Any],
    parts: list[Part],
    out: Path,
    *,
    address: str | None,
    workers: int,
) -> None:
    """Embed parts on the cluster at `address`; on this machine, with `workers` cores, by default.

    Raises:
        ConnectionError: no cluster at the address.
    """
    import ray

    logging.getLogger("ray.data").setLevel(logging.WARNING)
    own = not ray.is_initialized()
    if own:
        _connect(ray, address, workers)
    try:
        rows = [
            {"number": part.number, "paths": list(part.paths), "labels": list(part.labels)}
            for part in parts
        ]
        source = replace(source, path=source.path.resolve(), threads=1)
        done = ray.data.from_items(rows, override_num_blocks=len(rows)).map(
            Worker,
            fn_constructor_args=(source, plan, str(out.resolve())),
            compute=ray.data.ActorPoolStrategy(size=min(workers, len(parts))),
            num_cpus=1,
        )
        for _ in zip(shown(parts, "shards"), done.iter_rows(), strict=True):
            pass
    finally:
        if own:
            ray.shutdown()


def _connect(ray, address: str | None, workers: int) -> None:
    here = {} if address else {"num_cpus": workers, "include_dashboard": False}
    try:
        ray.init(address=address or "local", logging_level="ERROR", log_to_driver=False, **here)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise ConnectionError(
            f"There is no Ray cluster to use. Expected: one at {address or 'this machine'}; "
            f"`ray start --head` starts one. Received: {error}."
        ) from error
