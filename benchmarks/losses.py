"""Loss and gradient, time and memory, beside TF Addons, TF Similarity, pytorch-metric-learning.

    python benchmarks/peers/make.py        # once: the peers' environments
    python benchmarks/losses.py            # the whole table
    python benchmarks/losses.py --sizes 128 256 --cases hard --out out/try --budget-minutes 5

Writes losses.json (every finished cell: a second run goes on where the first stopped), losses.md
and losses.png into --out. README.md beside this file says how it is measured.
"""

import argparse
import time
from pathlib import Path

from cells import GIB, Results, run_group
from losses_contenders import CASES, CONTENDERS, IMAGES
from tables import chart, machine, markdown

SIZES = (128, 256, 512, 1024, 2048, 4096, 8192, 16384)
DEFAULT = [name for name in CONTENDERS if not name.endswith("/jax")]


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("--sizes", type=int, nargs="+", default=SIZES, help="batch sizes, multiples of 4")
    add("--peers", nargs="+", choices=CONTENDERS, default=DEFAULT, metavar="NAME",
        help=f"contenders, of: {', '.join(CONTENDERS)}")  # fmt: skip
    add("--cases", nargs="+", choices=CASES, default=CASES, metavar="CASE")
    add("--budget-minutes", type=float, default=float("inf"), help="start no cell after this")
    add("--cell-seconds", type=float, default=180, help="the most one answer of a cell may take")
    add("--memory-gib", type=float, default=21, help="the most one contender may hold")
    add("--rounds", type=int, default=7, help="turns of each contender; the median is kept")
    add("--retry-failed", action="store_true", help="do again the cells that failed")
    add("--out", type=Path, default=Path(__file__).parent / "results")
    chosen = parser.parse_args()
    if wrong := [size for size in chosen.sizes if size % IMAGES or size < 2 * IMAGES]:
        parser.error(f"a size must be a multiple of {IMAGES}, from {2 * IMAGES}. Received: {wrong}")
    return chosen


def main() -> None:
    chosen = arguments()
    results = Results(chosen.out / "losses.json")
    if chosen.retry_failed:
        results.forget_failed()
    started = time.monotonic()
    for size in sorted(chosen.sizes):
        for case in chosen.cases:
            if time.monotonic() - started > 60 * chosen.budget_minutes:
                print("the budget is spent; the same command goes on from here")
                return report(results, chosen.out)
            contenders = [
                name
                for name in CONTENDERS
                if name in chosen.peers
                and case in CONTENDERS[name]
                and results.get(name, case, size) is None
                and not results.failed_below(name, case, size)
            ]
            if not contenders:
                continue
            print(f"B = {size}, {case}: {', '.join(contenders)}", flush=True)
            cells = run_group(
                "losses_contenders", case, size, contenders,
                rounds=chosen.rounds, seconds=chosen.cell_seconds, memory=chosen.memory_gib * GIB,
            )  # fmt: skip
            results.add(case, size, cells, machine())
    return report(results, chosen.out)


def report(results: Results, out: Path) -> None:
    order = list(CONTENDERS)
    text = markdown(results.cells, order, size_name="B", floors=True)
    (out / "losses.md").write_text(text)
    chart(results.cells, order, out / "losses.png", size_name="batch size B")
    print(text)


if __name__ == "__main__":
    main()
