"""The command line of a comparison: which cells, in which order, for how long."""

import argparse
import time
from pathlib import Path
from types import ModuleType

from cells import GIB, SMALL, Results, run_starts
from ratios import ratios
from tables import chart, machine, markdown

WHEN_NAMED = ("/jax", "-compiled/torch", "-blocks/torch")  # run only where one names them


def compare(
    contenders: ModuleType,
    name: str,
    *,
    sizes: tuple[int, ...],
    size_name: str,
    cell_seconds: float,
    rounds: int,
    summary: str,
    starts: int = 1,
) -> None:
    """Run the cells that are missing, smallest size first, and write the table and the chart.

    contenders: a module with CASES, CONTENDERS (name -> its cases), IMAGES of each class, `build`;
    one that has RATIOS, what `ratios` compares, gets that table, too.
    starts: processes, one after another, of each contender of a small size.
    """
    chosen = _arguments(contenders, sizes, cell_seconds, rounds, starts, summary)
    chosen.out.mkdir(parents=True, exist_ok=True)
    results = Results(chosen.out / f"{name}.json")
    if chosen.retry_failed:
        results.forget_failed()
    started = time.monotonic()
    for size, case in ((size, case) for size in sorted(chosen.sizes) for case in chosen.cases):
        missing = [
            contender
            for contender, cases in contenders.CONTENDERS.items()
            if contender in chosen.peers
            and case in cases
            and results.get(contender, case, size) is None
            and not results.failed_below(contender, case, size)
        ]
        if not missing:
            continue
        if time.monotonic() - started > 60 * chosen.budget_minutes:
            print("The budget is spent; the same command goes on from here.")
            break
        print(f"{size_name} = {size:,}, {case}: {', '.join(missing)}", flush=True)
        limits = {"seconds": chosen.cell_seconds, "memory": chosen.memory_gib * GIB}
        starts = chosen.starts if size <= SMALL else 1
        group = contenders.__name__, case, size, missing
        cells = run_starts(starts, *group, rounds=chosen.rounds, **limits)
        check_agreement(cells)
        results.add(case, size, cells, machine())
    values = getattr(contenders, "VALUE", None)
    text = markdown(results.cells, list(contenders.CONTENDERS), size_name=size_name, values=values)
    if compared := getattr(contenders, "RATIOS", None):
        text = f"{ratios(results.cells, *compared, size_name)}\n\n{text}"
    (chosen.out / f"{name}.md").write_text(text)
    chart(results.cells, list(contenders.CONTENDERS), chosen.out / f"{name}.png", size_name)
    print(text)


def check_agreement(cells: dict[str, dict]) -> None:
    """Our own contenders must compute the same value, on every backend and in blocks."""
    ours = {name: cell["value"] for name, cell in cells.items()
            if name.startswith("keras-metric") and "value" in cell}  # fmt: skip
    if ours and max(ours.values()) - min(ours.values()) > 1e-3 * max(map(abs, ours.values())):
        raise ValueError(f"expected one value from all of our contenders. Received: {ours}")


def _arguments(contenders, sizes, cell_seconds, rounds, starts, summary) -> argparse.Namespace:
    names = list(contenders.CONTENDERS)
    usual = [name for name in names if not name.endswith(WHEN_NAMED)]
    parser = argparse.ArgumentParser(description=summary)
    add = parser.add_argument
    add("--sizes", type=int, nargs="+", default=sizes)
    add(
        "--peers",
        nargs="+",
        choices=names,
        default=usual,
        metavar="NAME",
        help=f"of {', '.join(names)}; by default none that ends in {', '.join(WHEN_NAMED)}",
    )
    add("--cases", nargs="+", choices=contenders.CASES, default=contenders.CASES, metavar="CASE",
        help=f"of {', '.join(contenders.CASES)}")  # fmt: skip
    add("--budget-minutes", type=float, default=float("inf"), help="start no cells after this")
    add("--cell-seconds", type=float, default=cell_seconds, help="the most one answer may take")
    add("--memory-gib", type=float, default=21, help="the most one contender may hold")
    add("--rounds", type=int, default=rounds, help="turns of each; the median is kept")
    add("--starts", type=int, default=starts,
        help=f"processes of each, one after another, for sizes up to {SMALL}")  # fmt: skip
    add("--retry-failed", action="store_true", help="do again the cells that failed")
    add("--out", type=Path, default=Path(__file__).parent / "results", metavar="FOLDER")
    chosen = parser.parse_args()
    check_sizes(parser, chosen.sizes, contenders.IMAGES)
    check_counts(parser, rounds=chosen.rounds, starts=chosen.starts)
    return chosen


def check_sizes(parser: argparse.ArgumentParser, sizes: list[int], images: int) -> None:
    """Ends the command for a size that is not two classes or more of so many images each."""
    if wrong := [size for size in sizes if size % images or size < 2 * images]:
        parser.error(f"sizes must be multiples of {images}, from {2 * images}. Received: {wrong}")


def check_counts(parser: argparse.ArgumentParser, **counts: int) -> None:
    """Ends the command for an option, `--rounds` and the like, that is not 1 or more."""
    for name, count in counts.items():
        if count < 1:
            parser.error(f"--{name} is out of range. Expected: 1 or more. Received: {count}")
