"""Loss and gradient on one GPU, time and memory, beside pytorch-metric-learning and the floor.

    KERAS_BACKEND=torch python benchmarks/gpu.py
    KERAS_BACKEND=jax python benchmarks/gpu.py --sizes 128 1024 16384

All contenders of the backend work in this process and in turns; what is not installed is left out.
Then the largest batches, in row blocks. Writes gpu-BACKEND.json (every finished cell), .md and .png
into --out. Without a GPU it measures the processor, and says so.
"""

import argparse
import gc
import importlib.util
import os
import statistics
import time
from pathlib import Path

os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")  # else its peak is its pool

import losses_contenders
from cells import Results, turned
from command import check_counts, check_sizes
from losses_contenders import SOFTMAX, build
from tables import chart, machine, markdown
from worker import timed_round

LEAST_ROUNDS = 3
TURN = 0.05  # seconds of steps in one turn: device time is dear


class Device:
    """What the backend computes on, and how much of its memory a cell takes."""

    def __init__(self, backend: str):
        self.backend = backend
        if backend == "torch":
            import torch

            self.torch, self.has_gpu = torch, torch.cuda.is_available()
            self.name = torch.cuda.get_device_name() if self.has_gpu else "processor"
        else:
            import jax

            self.has_gpu = jax.default_backend() == "gpu"
            self.jax, self.name = jax, jax.devices()[0].device_kind

    def forget(self) -> None:
        gc.collect()
        if self.backend == "jax":
            self.jax.clear_caches()
        elif self.has_gpu:
            self.torch.cuda.empty_cache()

    def first_of(self, step) -> tuple[float, float, int]:
        """The value of one step, its seconds, the bytes it takes at its peak (0 without a GPU)."""
        before = 0
        if self.has_gpu and self.backend == "torch":
            self.torch.cuda.reset_peak_memory_stats()
            before = self.torch.cuda.memory_allocated()
        began = time.perf_counter()
        value = step()
        seconds = time.perf_counter() - began
        if self.backend == "jax":
            return value, seconds, step.bytes
        peak = self.torch.cuda.max_memory_allocated() - before if self.has_gpu else 0
        return value, seconds, peak


def contenders_of(backend: str, *, compiled: bool = False) -> list[str]:
    """Those of the backend that are installed, and with `compiled` ours under torch.compile."""
    names = [f"keras-metric/{backend}", f"floor/{backend}"]
    if backend == "torch" and importlib.util.find_spec("pytorch_metric_learning"):
        names.insert(0, "pytorch-metric-learning")
    if backend == "torch" and compiled:
        names.insert(-1, "keras-metric-compiled/torch")
    return names


def measure(device: Device, names, case, size, rounds, seconds, **options) -> dict[str, dict]:
    """A cell for each contender: median over the rounds, its peak, or why it failed.

    A step that takes longer than `seconds` is done once.
    """
    steps, cells = {}, {}
    for name in names:
        try:
            step = build(name, case, size, **options)
            value, first, peak = device.first_of(step)
            cells[name] = {"value": value, "first": first, "peak": peak}
            if first > seconds:
                cells[name] |= {"median": first, "rounds": [first]}
            else:
                steps[name] = step
        except (RuntimeError, MemoryError) as error:
            words = str(error).splitlines()[0]
            short = "out of memory" if "memory" in words.lower() else words[:120]
            cells[name] = {"failed": short}
            device.forget()
    taken = {name: [] for name in steps}
    began = time.monotonic()
    for turn in range(rounds):
        if not steps or (turn >= LEAST_ROUNDS and time.monotonic() - began > seconds):
            break
        for name in turned(list(steps), turn):
            taken[name].append(statistics.median(timed_round(steps[name], TURN)))
    for name, rows in taken.items():
        cells[name] |= {"median": statistics.median(rows), "rounds": rows}
    device.forget()
    return cells


def groups_of(chosen, backend: str):
    """Size, case, contenders and options of each group: whole batches first, then row blocks."""
    for case in chosen.cases:
        for size in chosen.sizes:
            yield size, case, contenders_of(backend, compiled=size in chosen.compiled), {}
    for size in chosen.large:
        for case in chosen.large_cases:
            yield size, case, [f"keras-metric-blocks/{backend}"], {"rows_per_block": chosen.rows}


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    usual = [case for case in losses_contenders.CASES if case != SOFTMAX]
    blocks = [case for case in losses_contenders.IN_BLOCKS if case in usual]
    sizes = [128, 256, 512, 1024, 2048, 4096, 8192, 16384]
    add("--sizes", type=int, nargs="*", default=sizes, help="batches measured whole")
    add("--cases", nargs="+", choices=usual, default=usual, metavar="CASE",
        help=f"of {', '.join(usual)}")  # fmt: skip
    add("--compiled", type=int, nargs="*", default=[128, 1024, 4096], metavar="SIZE",
        help="batches that torch.compile is measured with, too")  # fmt: skip
    add("--large", type=int, nargs="*", default=[65_536, 262_144, 1_048_576],
        help="batches in row blocks, of --large-cases")  # fmt: skip
    add("--large-cases", nargs="+", choices=blocks, default=["InfoNCE", "semi-hard"],
        metavar="CASE", help=f"of {', '.join(blocks)}")  # fmt: skip
    add("--rows", type=int, default=1024, help="anchors a block of a large batch")
    add("--rounds", type=int, default=7, help="turns of each; the median is kept")
    add("--seconds", type=float, default=5, help="no new turn after this, once 3 are done")
    add("--budget-minutes", type=float, default=float("inf"), help="start no cells after this")
    add("--out", type=Path, default=Path(__file__).parent / "results", metavar="FOLDER")
    chosen = parser.parse_args()
    if os.environ.get("KERAS_BACKEND") not in ("torch", "jax"):
        received = os.environ.get("KERAS_BACKEND")
        parser.error(f"expected KERAS_BACKEND=torch or jax. Received: {received!r}")
    check_sizes(parser, chosen.sizes + chosen.large, losses_contenders.IMAGES)
    check_counts(parser, rows=chosen.rows, rounds=chosen.rounds)
    return chosen


def main() -> None:
    chosen, backend = arguments(), os.environ["KERAS_BACKEND"]
    device = Device(backend)
    print(f"{backend} on {device.name}", flush=True)
    chosen.out.mkdir(parents=True, exist_ok=True)
    results = Results(chosen.out / f"gpu-{backend}.json")
    for name in contenders_of(backend):
        build(name, "hard", 16)()  # loads kernels, so that the first cell is not charged
    began = time.monotonic()
    for size, case, names, options in groups_of(chosen, backend):
        missing = [
            name
            for name in names
            if case in losses_contenders.CONTENDERS[name]
            and results.get(name, case, size) is None
            and not results.failed_below(name, case, size)
        ]
        if not missing or time.monotonic() - began > 60 * chosen.budget_minutes:
            continue
        cells = measure(device, missing, case, size, chosen.rounds, chosen.seconds, **options)
        results.add(case, size, cells, machine() | {"device": device.name})
        times = {name: cell.get("median", cell.get("failed")) for name, cell in cells.items()}
        print(f"{size:,}, {case}: {times}", flush=True)
    order = list(losses_contenders.CONTENDERS)
    (chosen.out / f"gpu-{backend}.md").write_text(markdown(results.cells, order, size_name="B"))
    chart(results.cells, order, chosen.out / f"gpu-{backend}.png", "B")


if __name__ == "__main__":
    main()
