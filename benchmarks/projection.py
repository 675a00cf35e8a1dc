"""From what was measured at 10^5 and 10^6 to what 10^8 and 10^10 vectors take; pure arithmetic.

    exact      time = N · c         memory = 4 D N
    IVF        time = L · c + N · P / L · v          memory = (4 D + 8) N + 4 D L
    IVF, PQ    time = L · c + N · P / L · p          memory = (M + 8) N + 4 D L

N vectors of D numbers, L lists of which P are read, codes of M bytes; core-seconds c to compare a
vector in a matrix product (measured: the batched exact search), v and p to read a vector or a code
from a list (measured: the batched IVF searches less L · c). An index is cut into shards of at most
SHARD bytes that answer side by side; so time is that of one shard, and work that of all.
"""

import math

DIMENSIONS, CODES, PROBES = 128, 64, 32
SHARD = 48 * 2**30  # bytes of an index on a machine of 64 GiB
GIB = 2**30
COLUMNS = ("vectors", "index", "memory", "machines", "time of a query", "core-seconds of 1,000")


def lists(size: int) -> int:
    """Lists of an IVF index: the power of two next to 4 √N, at most 2^18."""
    return 2 ** min(18, round(math.log2(4 * math.sqrt(size))))


def costs(found: dict, cores: int) -> dict[str, float]:
    """c, and what reading one entry of a list takes by index, from the largest search measured."""
    size = max(found["search"], key=int)
    measured, count = found["search"][size], lists(int(size))
    compare = measured["Flat"]["batch"] * cores / int(size)
    read = {}
    for kind in ("IVF", "IVF, PQ"):
        name = f"IVF{count},Flat" if kind == "IVF" else f"IVF{count},PQ{CODES}"
        search = measured[name]["batch"] * cores - count * compare
        read[kind] = search / (int(size) * PROBES / count)
    return {"Flat": compare, **read}


def projected(kind: str, size: int, cost: dict[str, float], cores: int) -> dict[str, str]:
    """One row: memory, machines, seconds of a query, work of a thousand."""
    each = {"Flat": 4 * DIMENSIONS, "IVF": 4 * DIMENSIONS + 8, "IVF, PQ": CODES + 8}[kind]
    machines = math.ceil(size * each / SHARD)
    part = size / machines
    count = 0 if kind == "Flat" else lists(int(part))
    read = part if kind == "Flat" else part * PROBES / count
    work = count * cost["Flat"] + read * cost[kind]
    memory = size * each + machines * count * 4 * DIMENSIONS
    return {
        "vectors": f"{size:,}",
        "index": kind if kind == "Flat" else kind.replace("IVF", f"IVF{count}"),
        "memory": f"{memory / GIB:,.1f} GiB",
        "machines": f"{machines:,}",
        "time of a query": f"{1000 * work / cores:,.2f} ms",
        "core-seconds of 1,000": f"{1000 * work * machines:,.1f}",
    }


def markdown(found: dict) -> str:
    """The tables of docs/scaling.md."""
    cores = int(found["embed"]["machine"]["cores"])
    cost = costs(found, cores)
    lines = [*_embedding(found["embed"]), "", *_measured(found["search"]), ""]
    lines += [
        ", ".join(
            f"{name} {1e9 * value:.2f} ns" for name, value in zip("cvp", cost.values(), strict=True)
        )
        + f" of one core; {cores} cores.",
        "",
        *_head(COLUMNS),
    ]
    for size in (10**8, 10**10):
        for kind in ("Flat", "IVF", "IVF, PQ"):
            lines.append(_row(projected(kind, size, cost, cores).values()))
    rate = found["embed"]["rates"]["ray, 2"]["a second"]
    lines += ["", *_head(("images", "core-hours of embedding", "shards on the disk"))]
    for size in (10**6, 10**8, 10**10):
        hours = size / rate * cores / 3600
        disk = size * found["embed"]["shard bytes"] / GIB
        lines.append(_row((f"{size:,}", f"{hours:,.1f}", f"{disk:,.1f} GiB")))
    return "\n".join(lines)


def _embedding(embed: dict) -> list[str]:
    rows = [
        _row((name, f"{rate['a second']:.0f}", f"{rate['whole']:.1f} s"))
        for name, rate in embed["rates"].items()
    ]
    whole = f"{embed['photographs']:,} photographs, with starting"
    tail = f"{embed['shard bytes']:.0f} bytes a vector in the shards."
    return [*_head(("engine, workers", "photographs a second", whole)), *rows, "", tail]


def _measured(search: dict) -> list[str]:
    names = ("vectors", "index", "build", "a query alone", "of 1,000", "recall@10", "bytes each")
    rows = [
        _row((
            f"{int(size):,}", kind, f"{one['build']:.1f} s", f"{1000 * one['single']:.2f} ms",
            f"{1000 * one['batch']:.3f} ms", f"{one['recall@10']:.3f}", f"{one['bytes']:.0f}",
        ))
        for size, kinds in search.items() for kind, one in kinds.items()
    ]  # fmt: skip
    return [*_head(names), *rows]


def _head(names) -> list[str]:
    return [_row(names), "|---" * len(names) + "|"]


def _row(cells) -> str:
    return f"| {' | '.join(cells)} |"
