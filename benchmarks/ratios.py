"""Times of a comparison as ratios: the peers' over ours, ours over the floor's.

Cells of one group are compared start by start, as they ran beside each other: the ratio is the
median of those. Others compare their medians.
"""

import statistics

from tables import MIB, duration

__all__ = ["ratio", "ratios"]


def ratio(cell: dict, ours: dict) -> list[float]:
    """The cell's time over ours, of each start where they ran together, lowest first."""
    if not cell.get("group") or cell["group"] != ours.get("group"):
        return [cell["median"] / ours["median"]]
    pairs = zip(cell["starts"], ours["starts"], strict=True)
    return sorted(theirs / mine for theirs, mine in pairs)


def ratios(cells: list[dict], ours: str, floor: str, peers: dict[str, str], size_name: str) -> str:
    """A row for each case and size: our time and memory, ours over the floor, each peer over ours.

    peers: contender -> the head of its column. A peer that failed keeps its reason at larger sizes.
    """
    found = {(cell["contender"], cell["case"], cell["size"]): cell for cell in cells}
    head = ["loss", size_name, ours.partition("/")[0], "floor", *peers.values()]
    lines = ["| " + " | ".join(head) + " |", "|---" * len(head) + "|"]
    for case in dict.fromkeys(cell["case"] for cell in cells):
        for size in sorted({key[2] for key in found if key[:2] == (ours, case)}):
            mine = found[ours, case, size]
            if "failed" in mine:
                continue
            row = [case, f"{size:,}", f"{duration(mine['median'])}, {_memory(mine)}"]
            below = found.get((floor, case, size))
            row.append(f"{statistics.median(ratio(mine, below)):.1f}x" if _done(below) else "")
            for peer in peers:
                smaller = [found.get((peer, case, s)) for s in sorted({k[2] for k in found})
                           if s <= size]  # fmt: skip
                row.append(_entry(smaller, mine))
            lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def _entry(cells: list[dict | None], mine: dict) -> str:
    """Of a peer's cells up to a size, the last."""
    cell = cells[-1]
    if not _done(cell):
        return next((one["failed"] for one in cells if one and "failed" in one), "")
    times = ratio(cell, mine)
    text = f"{_digits(statistics.median(times))}x"
    if len(times) > 1:
        text += f" ({_digits(times[0])} to {_digits(times[-1])})"
    return f"{text}, {_memory(cell)}"


def _digits(times: float) -> str:
    return f"{times:,.0f}" if times >= 100 else f"{times:.3g}"


def _done(cell: dict | None) -> bool:
    return cell is not None and "failed" not in cell


def _memory(cell: dict) -> str:
    return f"{max(cell['peak'], 0) / MIB:,.0f} MiB"
