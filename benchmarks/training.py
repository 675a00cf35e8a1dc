"""Images a second through a whole training, beside the other libraries with the same net.

    python benchmarks/peers/make.py tensorflow-similarity pytorch-metric-learning    # once
    python benchmarks/training.py
    python benchmarks/training.py --rounds 3 --cases "images warped"

All contenders are started and warmed up, then take turns of an epoch; all of that several times.
The fastest turn counts: an epoch in which the system puts two threads on one core takes 1.6 times
as long, whoever's it is, and medians say only how often that was. Writes training.json and
training.md into --out. README.md beside this file says what is compared.
"""

import argparse
from pathlib import Path

import training_contenders as contenders
from cells import GIB, run_starts
from command import check_counts
from tables import machine

from zoo.files import write_json, write_text


def lines(case: str, size: int, cells: dict[str, dict]) -> list[str]:
    """A row for each contender: images a second, milliseconds a step, its rate ours = 1."""
    rates = {
        name: contenders.STEPS * size / min(cell["rounds"])
        for name, cell in cells.items()
        if "median" in cell
    }
    ours = rates.get(next(iter(contenders.CONTENDERS)))
    rows = []
    for name, cell in cells.items():
        if name not in rates:
            rows.append(f"| {case} | {name} | {cell['failed']} | | |")
            continue
        step = 1e3 * min(cell["rounds"]) / contenders.STEPS
        ratio = f"{rates[name] / ours:.2f}" if ours else ""
        rows.append(f"| {case} | {name} | {rates[name]:,.0f} | {step:.1f} ms | {ratio} |")
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--cases", nargs="+", choices=contenders.CASES, default=contenders.CASES, metavar="CASE",
        help=f"of {', '.join(contenders.CASES)}")  # fmt: skip
    add("--peers", nargs="+", choices=contenders.CONTENDERS, default=list(contenders.CONTENDERS),
        metavar="NAME", help=f"of {', '.join(contenders.CONTENDERS)}")  # fmt: skip
    add("--size", type=int, default=128, help="images a batch")
    add("--rounds", type=int, default=5, help="turns of each; the fastest is kept")
    add("--starts", type=int, default=3, help="processes of each, one after another")
    add("--out", type=Path, default=Path(__file__).parent / "results", metavar="FOLDER")
    chosen = parser.parse_args()
    check_counts(parser, size=chosen.size, rounds=chosen.rounds, starts=chosen.starts)
    found, table = (
        {},
        ["| case | library | images/s | a step | ours = 1 |", "|---|---|---|---|---|"],
    )
    print(*table, sep="\n")
    for case in chosen.cases:
        limits = {"seconds": 600.0, "memory": 6 * GIB}
        group = contenders.__name__, case, chosen.size, chosen.peers
        found[case] = run_starts(chosen.starts, *group, rounds=chosen.rounds, **limits)
        table += lines(case, chosen.size, found[case])
        print(*table[-len(found[case]) :], sep="\n", flush=True)
    write_text(chosen.out / "training.md", "\n".join(table) + "\n")
    write_json(chosen.out / "training.json", {"machine": machine(), "size": chosen.size, **found})


if __name__ == "__main__":
    main()
