"""Loss and gradient of this checkout beside those of an older revision of it, in turns.

    python benchmarks/versions.py 8b58986 --sizes 128 1024 4096 --starts 5

Prints, a row for each case and size, the time of a step now, and that time over the older
revision's: the median over the starts and the least and the most. Each start has two new
processes, which take turns; the revision is checked out into a folder that is removed at the end.
"""

import argparse
import contextlib
import statistics
import subprocess
import tempfile
from pathlib import Path

from cells import GIB, ROOT, Turns, Worker, turned
from command import check_counts, check_sizes
from losses_contenders import CASES, IMAGES
from tables import duration

LIMITS = {"seconds": 180, "memory": 18 * GIB}


@contextlib.contextmanager
def checkout(revision: str):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            ["git", "worktree", "add", "--quiet", "--detach", folder, revision],
            cwd=ROOT,
            check=True,
        )
        try:
            yield Path(folder)
        finally:
            subprocess.run(["git", "worktree", "remove", "--force", folder], cwd=ROOT, check=True)


def check_revision(parser: argparse.ArgumentParser, revision: str) -> None:
    """Ends the command for what is no revision of this repository."""
    asked = ["git", "rev-parse", "--quiet", "--verify", f"{revision}^{{commit}}"]
    if subprocess.run(asked, cwd=ROOT, stdout=subprocess.DEVNULL).returncode:
        parser.error(
            f"There is no such revision. Expected: a commit, tag or branch of {ROOT}. "
            f"Received: {revision!r}"
        )


def timed(roots: dict[str, Path], backend: str, case: str, size: int, rounds: int):
    """Seconds of a step of each version, which take turns in processes of this start."""
    contender = f"keras-metric/{backend}"
    turns = {
        version: Turns(Worker("losses_contenders", contender, case, size, root=root, **LIMITS))
        for version, root in roots.items()
    }
    for turn in range(rounds):
        for version in turned(list(turns), turn):
            turns[version].take()
    return {version: one.finish()["median"] for version, one in turns.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("revision", help="of this repository, as git names it")
    add("--sizes", type=int, nargs="+", default=[128, 1024, 4096])
    add("--cases", nargs="+", choices=CASES, default=CASES, metavar="CASE", help=", ".join(CASES))
    add("--backend", choices=("tensorflow", "jax", "torch"), default="tensorflow")
    add("--starts", type=int, default=5, help="pairs of new processes")
    add("--rounds", type=int, default=7, help="turns of each; the median is kept")
    options = parser.parse_args()
    check_sizes(parser, options.sizes, IMAGES)
    check_counts(parser, starts=options.starts, rounds=options.rounds)
    check_revision(parser, options.revision)
    print(f"| loss | B | now | now / {options.revision} | least to most |\n|---|---|---|---|---|")
    with checkout(options.revision) as older:
        roots = {"now": ROOT, "before": older}
        for size in options.sizes:
            for case in options.cases:
                starts = [
                    timed(roots, options.backend, case, size, options.rounds)
                    for _ in range(options.starts)
                ]
                now = duration(statistics.median(one["now"] for one in starts))
                over = sorted(one["now"] / one["before"] for one in starts)
                shown = f"{statistics.median(over):.2f} | {over[0]:.2f} to {over[-1]:.2f}"
                print(f"| {case} | {size:,} | {now} | {shown} |", flush=True)


if __name__ == "__main__":
    main()
