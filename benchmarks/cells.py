"""Cells of a comparison: contenders that work in turns, each in its own process, and their file.

A group is one case at one size. All its contenders are started and warmed up one after another,
then they take turns, so that a busy minute of the machine falls on all of them. A contender that
grows large is timed on its own before the next one starts.
"""

import contextlib
import json
import os
import select
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "peers"))

from make import OURS, default_folder, interpreter

ROOT = Path(__file__).resolve().parent.parent
GIB = 2**30
SMALL = 512  # up to here workers start two at a time
HERE = (OURS, f"{OURS}-blocks", f"{OURS}-compiled", "floor", "antialias", "faiss", "scikit-learn",
        "approximate-ivf", "approximate-hnsw")  # fmt: skip
LARGE = 3 * GIB  # a contender above this does not stay alive beside the others
OUT_OF_MEMORY = ("ResourceExhaustedError", "can't allocate memory", "OutOfMemoryError")


class Failed(Exception):
    """A contender that could not do a cell; the message goes into the table's notes."""


def environment(contender: str, root: Path = ROOT) -> tuple[Path, dict[str, str]]:
    """The Python and the environment variables of a contender, `library` or `library/backend`.

    root: the checkout whose packages ours is.
    """
    library, _, backend = contender.partition("/")
    variables = dict(os.environ, TF_CPP_MIN_LOG_LEVEL="3", PYTHONWARNINGS="ignore")
    if library in HERE:
        variables |= {"KERAS_BACKEND": backend or "tensorflow", "PYTHONPATH": str(root)}
        return interpreter(OURS), variables
    if library == "tensorflow-similarity":
        variables["TF_USE_LEGACY_KERAS"] = "1"
    return interpreter(library), variables


class Worker:
    """A running worker.py, watched: it may take so many seconds an answer and so much memory."""

    def __init__(
        self, module: str, contender: str, case: str, size: int, *, seconds, memory, root=ROOT
    ):
        python, variables = environment(contender, root)
        if not python.exists():
            raise Failed(f"no environment at {default_folder()}: run benchmarks/peers/make.py")
        self.log = tempfile.TemporaryFile("w+")  # noqa: SIM115 (it lives as long as the process)
        self.seconds, self.memory, self.pending = seconds, memory, b""
        script = root / "benchmarks" / "worker.py"
        self.process = subprocess.Popen(
            [python, script, module, contender, case, str(size)],
            env=variables, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.log,
        )  # fmt: skip

    def answer(self) -> dict:
        deadline = time.monotonic() + self.seconds
        while b"\n" not in self.pending:
            if select.select([self.process.stdout], [], [], 0.05)[0]:
                read = os.read(self.process.stdout.fileno(), 65536)
                if not read:
                    raise Failed(self.last_words())
                self.pending += read
            elif self.resident() > self.memory:
                self.stop()
                raise Failed(f"more than {self.memory / GIB:g} GiB")
            elif time.monotonic() > deadline:
                self.stop()
                raise Failed(f"more than {self.seconds:.0f} s")
        line, _, self.pending = self.pending.partition(b"\n")
        return json.loads(line)

    def round(self) -> dict:
        self.process.stdin.write(b"go\n")
        self.process.stdin.flush()
        return self.answer()

    def resident(self) -> int:
        try:
            pages = int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1])
        except (OSError, IndexError):
            return 0
        return pages * os.sysconf("SC_PAGE_SIZE")

    def last_words(self) -> str:
        code = self.process.wait()
        self.log.seek(0)
        said = self.log.read()
        if code == -9 or any(sign in said for sign in OUT_OF_MEMORY):
            return "out of memory"
        lines = [line for line in said.splitlines() if line.strip()]
        return (lines[-1] if lines else f"exit code {code}")[:160]

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()


class Turns:
    """One contender's cell while its group runs."""

    def __init__(self, worker: Worker):
        self.worker = worker
        self.cell = worker.answer() | {"seconds": []}

    def take(self) -> None:
        answered = self.worker.round()
        self.cell["seconds"].append(statistics.median(answered["seconds"]))
        self.cell["peak"] = answered["peak"]

    def finish(self) -> dict:
        self.worker.stop()
        rounds = self.cell.pop("seconds")
        return self.cell | {"median": statistics.median(rounds), "rounds": rounds}


def run_group(module, case, size, contenders, *, rounds, seconds, memory) -> dict[str, dict]:
    """Run a group; a cell for each contender: its median and peak, or `failed` and why."""
    cells, waiting = {}, {}
    for contender, start in _started_ahead(module, case, size, contenders, seconds, memory):
        try:
            turns = Turns(start())
            slow = turns.cell["first"] > seconds / 6
            if slow or turns.cell["peak"] > LARGE:
                for _ in range(1 if slow else 3):
                    turns.take()
                cells[contender] = turns.finish()
            else:
                waiting[contender] = turns
        except Failed as error:
            cells[contender] = {"failed": str(error)}
    for turn in range(rounds):
        for contender in turned(list(waiting), turn):
            try:
                waiting[contender].take()
            except Failed as error:
                cells[contender] = {"failed": str(error)}
                del waiting[contender]
    return cells | {contender: turns.finish() for contender, turns in waiting.items()}


def run_starts(starts, module, case, size, contenders, **limits) -> dict[str, dict]:
    """A group run several times, in new processes each; `starts` has the median of every one.

    Where threads and memory come to lie differs from process to process, and short steps with it.
    What failed in one start has failed. Cells of one `group` ran beside each other.
    """
    groups, left = [], list(contenders)
    for _ in range(starts):
        groups.append(run_group(module, case, size, left, **limits))
        left = [contender for contender in left if "failed" not in groups[-1][contender]]
    cells, group = {}, uuid.uuid4().hex
    for contender in contenders:
        every = [cells_of[contender] for cells_of in groups if contender in cells_of]
        if "failed" in every[-1]:
            cells[contender] = every[-1]
            continue
        medians = [cell["median"] for cell in every]
        cells[contender] = every[0] | {
            "median": statistics.median(medians),
            "peak": statistics.median(cell["peak"] for cell in every),
            "rounds": [seconds for cell in every for seconds in cell["rounds"]],
            "starts": medians,
            "group": group,
        }
    return cells


def turned(contenders: list[str], turn: int) -> list[str]:
    """Another one begins each round: the threads of a step may still spin when the next begins."""
    first = turn % len(contenders) if contenders else 0
    return contenders[first:] + contenders[:first]


def _started_ahead(module, case, size, contenders, seconds, memory):
    """Each contender with what gives its worker; the next one already loads its libraries.

    Only where batches are small: a worker that is timed on its own needs the machine to itself.
    """
    started = {}

    def start(contender):
        if contender not in started:
            limits = {"seconds": seconds, "memory": memory}
            started[contender] = Worker(module, contender, case, size, **limits)
        return started[contender]

    for contender, following in zip(contenders, [*contenders[1:], None], strict=True):

        def both(contender=contender, following=following):
            worker = start(contender)
            if following is not None and size <= SMALL:
                with contextlib.suppress(Failed):
                    start(following)
            return worker

        yield contender, both


class Results:
    """The finished cells in one JSON file, so that a stopped comparison goes on where it was."""

    def __init__(self, path: Path):
        self.path = path
        self.cells = json.loads(path.read_text())["cells"] if path.exists() else []

    def get(self, contender: str, case: str, size: int) -> dict | None:
        for cell in self.cells:
            if (cell["contender"], cell["case"], cell["size"]) == (contender, case, size):
                return cell
        return None

    def failed_below(self, contender: str, case: str, size: int) -> bool:
        """Whether a smaller size already was too much, or the contender lacks the case."""
        return any(
            "failed" in cell and cell["size"] < size
            for cell in self.cells
            if (cell["contender"], cell["case"]) == (contender, case)
        )

    def forget_failed(self) -> None:
        self.cells = [cell for cell in self.cells if "failed" not in cell]

    def add(self, case: str, size: int, cells: dict[str, dict], machine: dict) -> None:
        for contender, cell in cells.items():
            self.cells.append({"contender": contender, "case": case, "size": size} | cell)
        beside = self.path.with_suffix(".tmp")
        beside.write_text(json.dumps({"machine": machine, "cells": self.cells}, indent=1))
        os.replace(beside, self.path)
