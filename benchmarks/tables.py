"""The finished cells of a comparison as a markdown table and a chart."""

import os
import platform
from pathlib import Path

MIB = 2**20
UNITS = ((1.0, "s", 1.0), (1e-3, "ms", 1e3), (0.0, "µs", 1e6))


def machine() -> dict[str, str]:
    """What the numbers were measured on."""
    names = [
        line.partition(":")[2].strip()
        for line in Path("/proc/cpuinfo").read_text().splitlines()
        if line.startswith("model name")
    ]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "processor": names[0] if names else platform.processor(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory:.0f} GiB",
        "load": " ".join(f"{load:.1f}" for load in os.getloadavg()),
    }


def duration(seconds: float) -> str:
    """Three digits with the unit that fits: 16.1 s, 3.39 ms, 940 µs."""
    least, unit, factor = next(entry for entry in UNITS if seconds >= entry[0])
    return f"{seconds * factor:.3g} {unit}" if seconds * factor < 1000 else f"{seconds:.0f} s"


def entry(cell: dict | None, floor: dict | None, value_name: str | None = None) -> str:
    """`time · memory (times the floor) · value`, or why there is none."""
    if cell is None:
        return ""
    if "failed" in cell:
        return f"— {cell['failed']}"
    text = f"{duration(cell['median'])} · {max(cell['peak'], 0) / MIB:.0f} MiB"
    if floor and "median" in floor and floor is not cell:
        text += f" ({cell['median'] / floor['median']:.1f}x)"
    return text if value_name is None else f"{text} · {value_name} {cell['value']:.3f}"


def markdown(
    cells: list[dict], order: list[str], *, size_name: str, values: dict[str, str] | None = None
) -> str:
    """A table for each case: a row for each size, a column for each contender.

    values: by case, what the number is called that a step returns, where the table shows it.
    """
    found = {(cell["contender"], cell["case"], cell["size"]): cell for cell in cells}
    lines = []
    for case in dict.fromkeys(cell["case"] for cell in cells):
        names = [name for name in order if any(key[:2] == (name, case) for key in found)]
        lines += [f"### {case}", "", f"| {size_name} | " + " | ".join(names) + " |"]
        lines += ["|---" * (len(names) + 1) + "|"]
        for size in sorted({key[2] for key in found if key[1] == case}):
            row = []
            for name in names:
                backend = name.partition("/")[2]
                floor = found.get((f"floor/{backend}", case, size)) if backend else None
                cell = found.get((name, case, size))
                row.append(entry(cell, floor, (values or {}).get(case)))
            lines.append(f"| {size:,} | " + " | ".join(row) + " |")
        lines.append("")
    return "\n".join(lines)


def chart(cells: list[dict], order: list[str], path: Path, size_name: str) -> None:
    """Time and, below it, memory against size: a panel for each case, five in a row."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    done = [cell for cell in cells if "median" in cell]
    cases = list(dict.fromkeys(cell["case"] for cell in done))
    if not cases:
        return
    columns, bands = min(len(cases), 5), -(-len(cases) // 5)
    figure, axes = plt.subplots(
        2 * bands, columns, figsize=(3.2 * columns, 5.6 * bands + 0.8), sharex=True, squeeze=False
    )
    floors = dict.fromkeys((name for name in order if name.startswith("floor")), "grey")
    others = [name for name in order if name not in floors]
    colours = dict(zip(others, plt.get_cmap("tab10").colors * 2, strict=False)) | floors
    for place in range(len(cases), columns * bands):
        for axis in axes[2 * (place // 5) : 2 * (place // 5) + 2, place % 5]:
            axis.set_visible(False)
    for place, case in enumerate(cases):
        time, memory = axes[2 * (place // 5) : 2 * (place // 5) + 2, place % 5]
        mine = [cell for cell in done if cell["case"] == case]
        _lines(time, mine, "median", 1.0, colours)
        _lines(memory, mine, "peak", MIB, colours)
        time.set(title=case, ylabel="seconds a step" if place % 5 == 0 else "")
        memory.set(xlabel=size_name, ylabel="MiB above the baseline" if place % 5 == 0 else "")
    handles = {line.get_label(): line for axis in axes.flat for line in axis.get_lines()}
    names = [name for name in order if name in handles]
    figure.legend([handles[name] for name in names], names, loc="lower center", ncols=4)
    figure.tight_layout(rect=(0, 0.9 / figure.get_figheight(), 1, 1))
    beside = path.with_suffix(".tmp.png")
    figure.savefig(beside, dpi=110)
    plt.close(figure)
    os.replace(beside, path)


def _lines(axis, cells: list[dict], field: str, unit: float, colours: dict) -> None:
    for name, colour in colours.items():
        points = sorted(
            (cell["size"], max(cell[field] / unit, 1e-6))
            for cell in cells
            if cell["contender"] == name
        )
        if points:
            style = "--" if name.startswith("floor") else "-"
            axis.loglog(*zip(*points, strict=True), style, color=colour, marker=".", label=name)
    axis.xaxis.set_minor_formatter("")
    axis.grid(alpha=0.3)
