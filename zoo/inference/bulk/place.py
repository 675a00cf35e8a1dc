"""The folder of the shards: its model, which shards exist, and a lock for writing."""

import fcntl
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from keras_metric.preprocessing import Preprocessing, check_same
from keras_metric.retrieval import MANIFEST, shard_facts, shard_name
from zoo.files import read_json, write_json

SKIPPED = "skipped.json"
SAME = ("model", "distance", "dimensions", "listing", "images", "size", "batch", "shard_size")


@contextmanager
def held(out: Path) -> Iterator[None]:
    """The folder, made if need be, to this process alone.

    Raises:
        FileExistsError: another process writes there, or a file is in the way.
        OSError: the folder cannot be made.
    """
    if out.exists() and not out.is_dir():
        raise FileExistsError(f"{out} is in use. Expected: a folder, or nothing. Received: a file.")
    out.mkdir(parents=True, exist_ok=True)
    if not os.access(out, os.W_OK):
        raise PermissionError(
            f"{out} cannot be written to. Expected: a folder of yours. Received: a read-only one."
        )
    place = os.open(out, os.O_RDONLY)
    try:
        fcntl.flock(place, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise FileExistsError(
            f"{out} is in use. Expected: no other writer. Received: a process that embeds into it."
        ) from error
    finally:
        os.close(place)


def begin(out: Path, plan: dict[str, Any], *, force: bool = False) -> None:
    """Write the plan; shards of this very plan stay, those of another one are refused.

    Raises:
        FileExistsError: shards of another model or folder, or other files.
    """
    if force:
        clear(out)
    for torn in out.glob(".*-part-*.parquet"):
        torn.unlink()
    if not (out / MANIFEST).exists():
        names = sorted(path.name for path in out.iterdir() if not path.name.startswith("."))
        if names:
            raise FileExistsError(
                f"{out} is in use. Expected: an empty folder, or shards with {MANIFEST}. Received: "
                f"a folder with {', '.join(names[:5])}."
            )
    else:
        _check_same(out, read_json(out / MANIFEST), plan)
    write_json(out / MANIFEST, plan)


def missing(out: Path, model: str, numbers: range) -> list[int]:
    """The shards that are not there, or not whole."""
    return [number for number in numbers if not _is_whole(out / shard_name(number), model)]


def finish(
    out: Path,
    plan: dict[str, Any],
    count: int,
    unnamed: Sequence[tuple[str, str]] = (),
    others: Sequence[tuple[str, str]] = (),
) -> dict[str, Any]:
    """Write what could not be read, and the manifest with every shard in it; returns that.

    unnamed: further images that are left out, each with its reason. others: files that are no
    images, each with its reason; `skipped.json` lists them, too.

    Raises:
        ValueError: not one image could be read.
    """
    facts = [shard_facts(out / shard_name(k), model=plan["model"]) for k in range(count)]
    reasons = [*unnamed, *(pair for one in facts for pair in one["skipped"])]
    skipped = [{"image": path, "reason": reason} for path, reason in reasons]
    ignored = [{"file": path, "reason": reason} for path, reason in others]
    write_json(out / SKIPPED, [*skipped, *ignored])
    if not any(one["rows"] for one in facts):
        raise ValueError(
            f"No image could be read. Expected: one at least; {out / SKIPPED} says why of each. "
            f"Received: {reasons[0][1]}"
        )
    manifest = {
        **plan,
        "rows": sum(one["rows"] for one in facts),
        "skipped": len(skipped),
        "others": len(ignored),
        "shards": [{"name": shard_name(k), "rows": one["rows"]} for k, one in enumerate(facts)],
    }
    write_json(out / MANIFEST, manifest)
    return {**manifest, "skipped": skipped}


def clear(out: Path) -> None:
    """Remove shards and what belongs to them, nothing else."""
    for path in (*out.glob("part-*.parquet"), out / MANIFEST, out / SKIPPED):
        path.unlink(missing_ok=True)


def _is_whole(file: Path, model: str) -> bool:
    try:
        return file.is_file() and bool(shard_facts(file, model=model))
    except ValueError:
        return False


def _check_same(out: Path, before: Any, plan: dict[str, Any]) -> None:
    before = before if isinstance(before, dict) else {}
    other = [key for key in SAME if before.get(key) != plan[key]]
    if before.get("preprocessing") is not None and "preprocessing" in plan:
        made, given = map(Preprocessing.from_json, (before["preprocessing"], plan["preprocessing"]))
        check_same(made, given, f"The shards in {out}")
    if other:
        raise FileExistsError(
            f"{out} contains other shards. Expected: {_described(plan, other)}. Received: "
            f"{_described(before, other)}. Choose another folder, or replace them with --force."
        )


def _described(plan: dict[str, Any], keys: list[str]) -> str:
    return ", ".join(f"{key} {str(plan.get(key))[:12]}" for key in keys)
