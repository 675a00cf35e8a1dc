"""What a collection of photographs costs: decoding, the network, and the index of its vectors.

    python benchmarks/collection.py                                  # measure, and the table
    python benchmarks/collection.py --folder my_photos/              # decode yours
    python benchmarks/collection.py --forward 0.0002 --overlap       # with the figure of your GPU

Three figures are measured in processor seconds, so that a shared machine changes them little:

    d   to decode a photograph and resize it to 224 px
    f   the network efficientnet_lite0 on it
    c   to compare two of its vectors of D = 1280 numbers, in a matrix product

    embedding   N (d + f)                 N max(d / cores, f) of time where a GPU computes f
    shards      4 D N bytes
    index       4 D N bytes exact; (64 + 8) N + 4 D L bytes as product codes in L lists
    build       (N + 10 · 40 L) L c       nearest of L lists for N vectors, and 10 rounds of k-means

--forward and --decode replace what is measured.
"""

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np
import projection
from embedding_contenders import linked
from tables import machine

DIMENSIONS, SIZES = 1280, (10**6, 10**8)


def measured(folder: Path, photographs: int) -> dict[str, float]:
    """Processor seconds: d and f of a photograph, c of a pair of vectors."""
    from zoo.inference.bulk.networks import load, locate
    from zoo.inference.bulk.pipeline import Reader

    network = load(locate("efficientnet_lite0"))
    reader = Reader(folder, network.preprocessing, threads=1)
    files = sorted(str(file.relative_to(folder)) for file in folder.rglob("*.jp*g"))[:photographs]
    reader.read(files[0])
    images, decode = _timed(lambda: np.stack([reader.read(name) for name in files]))
    batches = [images[at : at + 32] for at in range(0, len(images) - 31, 32)]
    network(batches[0])
    vectors, forward = _timed(lambda: np.concatenate([network(batch) for batch in batches]))
    many = np.resize(vectors, (20_000, DIMENSIONS))
    _, compare = _timed(lambda: [many @ vectors.T for _ in range(5)])
    return {
        "d": decode / len(images),
        "f": forward / len(vectors),
        "c": compare / (5 * len(many) * len(vectors)),
    }


def _timed(run) -> tuple:
    started = time.process_time()
    answer = run()
    return answer, time.process_time() - started


def costs(size: int, found: dict[str, float], cores: int, overlap: bool) -> dict[str, float]:
    """Hours and bytes of a collection of `size` photographs; `overlap` computes f on a GPU."""
    lists = projection.lists(size)
    decode, forward = size * found["d"], size * found["f"]
    work = decode if overlap else decode + forward
    seconds = max(decode / cores, forward) if overlap else work / cores
    return {
        "embedding, core-hours": work / 3600,
        "embedding, days": seconds / 86400,
        "shards, or exact index, GB": 4 * DIMENSIONS * size / 1e9,
        "product codes, GB": ((64 + 8) * size + 4 * DIMENSIONS * lists) / 1e9,
        "build of the lists, core-hours": (size + 400 * lists) * lists * found["c"] / 3600,
    }


def table(found: dict[str, float], cores: int, overlap: bool) -> str:
    rows = {size: costs(size, found, cores, overlap) for size in SIZES}
    lines = [f"| photographs | {' | '.join(rows[SIZES[0]])} |", "|---" * 6 + "|"]
    lines += [
        f"| {size:,} | {' | '.join(f'{value:,.1f}' for value in row.values())} |"
        for size, row in rows.items()
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, help="of JPEG files, instead of the clothing data")
    parser.add_argument("--photographs", type=int, default=320)
    parser.add_argument("--cores", type=int, default=2, help="that decode, and compute without GPU")
    parser.add_argument("--decode", type=float, metavar="SECONDS", help="d, instead of measuring")
    parser.add_argument("--forward", type=float, metavar="SECONDS", help="f, instead of measuring")
    parser.add_argument("--overlap", action="store_true", help="a GPU computes f meanwhile")
    options = parser.parse_args()
    place = Path(tempfile.mkdtemp(prefix="collection-")) / "photographs"
    folder = options.folder or linked(place, options.photographs)
    found = measured(folder, options.photographs)
    given = {"d": options.decode, "f": options.forward}
    found |= {name: value for name, value in given.items() if value is not None}
    print(machine())
    print(", ".join(f"{name} {value:.3g} s" for name, value in found.items()))
    print(table(found, options.cores, options.overlap))


if __name__ == "__main__":
    main()
