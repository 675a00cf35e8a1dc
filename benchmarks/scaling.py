"""What embedding and search cost on this machine, and from that what 10^8 and 10^10 images cost.

    python benchmarks/scaling.py embed                  # photographs a second, 1 and 2 workers
    python benchmarks/scaling.py search --size 100000   # exact, IVF, and IVF with product codes
    python benchmarks/scaling.py search --size 1000000
    python benchmarks/scaling.py table                  # the tables of docs/scaling.md

Each adds to scaling.json in --out; `table` measures nothing and computes from what is there.
"""

import argparse
import json
import tempfile
import time
from pathlib import Path

import numpy as np
import projection
from embedding_contenders import linked, saved, small
from tables import machine

DIMENSIONS, QUERIES, K = 128, 1000, 10
CODES = 64  # bytes of a product code
KINDS = ("Flat", "IVF{lists},Flat", f"IVF{{lists}},PQ{CODES}")


def embed(photographs: int) -> dict:
    """Photographs a second between the first shard and the last, by engine and workers."""
    from zoo.inference.bulk import embed

    place = Path(tempfile.mkdtemp(prefix="scaling-"))
    folder = linked(place / "photographs", photographs)
    served = saved(small(), place, exported=True)
    found = {}
    for engine in ("plain", "ray"):
        for workers in (1, 2):
            out = place / f"{engine}-{workers}"
            started = time.perf_counter()
            embed(served, folder, out, engine=engine, workers=workers, shard_size=250)
            whole = time.perf_counter() - started
            found[f"{engine}, {workers}"] = {"a second": steady(out), "whole": whole}
            print(engine, workers, found[f"{engine}, {workers}"], flush=True)
    size = sum(file.stat().st_size for file in out.glob("*.parquet"))
    return {"photographs": photographs, "rates": found, "shard bytes": size / photographs}


def steady(out: Path) -> float:
    """Images a second in the second half of the shards: without what starting takes."""
    times = sorted(file.stat().st_mtime for file in out.glob("part-*.parquet"))
    manifest = json.loads((out / "manifest.json").read_text())
    half = len(times) // 2
    return manifest["rows"] * (1 - half / len(times)) / (times[-1] - times[half - 1])


def vectors(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors in clusters of about 100, and queries near some of them."""
    rng = np.random.default_rng(0)
    centres = rng.normal(size=(size // 100, DIMENSIONS)).astype("float32")
    points = centres[rng.integers(len(centres), size=size)]
    points += 0.6 * rng.standard_normal(points.shape, dtype="float32")
    queries = points[rng.choice(size, QUERIES, replace=False)]
    queries = queries + 0.3 * rng.standard_normal(queries.shape, dtype="float32")
    return tuple(x / np.linalg.norm(x, axis=1, keepdims=True) for x in (points, queries))


def search(size: int) -> dict:
    """Seconds a query, alone and by the thousand, recall@10, bytes a vector of each index."""
    import faiss

    points, queries = vectors(size)
    lists = projection.lists(size)
    found, truth = {}, None
    for kind in (kind.format(lists=lists) for kind in KINDS):
        started = time.perf_counter()
        index = faiss.index_factory(DIMENSIONS, kind, faiss.METRIC_INNER_PRODUCT)
        if kind != "Flat":
            index.nprobe, index.cp.niter = projection.PROBES, 10
        index.train(points[: 40 * lists])
        index.add(points)
        built = time.perf_counter() - started
        batch = _best(lambda index=index: index.search(queries, K)) / QUERIES
        single = _best(lambda index=index: [index.search(q[None], K) for q in queries[:50]]) / 50
        answers = index.search(queries, K)[1]
        truth = answers if truth is None else truth
        hits = [len(set(a) & set(b)) for a, b in zip(answers, truth, strict=True)]
        found[kind] = {
            "build": built,
            "batch": batch,
            "single": single,
            "recall@10": float(np.mean(hits)) / K,
            "bytes": len(faiss.serialize_index(index)) / size,
        }
        print(kind, found[kind], flush=True)
    return found


def _best(run, times: int = 3) -> float:
    """Seconds of the fastest of some runs."""
    seconds = []
    for _ in range(times):
        started = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - started)
    return min(seconds)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("embed", "search", "table"))
    parser.add_argument("--size", type=int, default=100_000, help="vectors of the search")
    parser.add_argument("--photographs", type=int, default=12_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    file = options.out / "scaling.json"
    found = json.loads(file.read_text()) if file.exists() else {"search": {}}
    if options.part == "embed":
        found["embed"] = embed(options.photographs) | {"machine": machine()}
    elif options.part == "search":
        found["search"][str(options.size)] = search(options.size)
    file.write_text(json.dumps(found, indent=1))
    if options.part == "table":
        print(projection.markdown(found))


if __name__ == "__main__":
    main()
