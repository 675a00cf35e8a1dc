"""One contender at one size, in a process and an environment of its own.

    python benchmarks/worker.py MODULE CONTENDER CASE SIZE

`MODULE.build(contender, case, size)` gives a step: a call without arguments that does the work and
returns a number. On each line `go` this process does some steps and answers with their seconds; on
`stop` it ends. Answers are lines of JSON; whatever the libraries print goes to stderr instead.
"""

import importlib
import json
import os
import sys
import time
from pathlib import Path

SECONDS_PER_ROUND = 0.2


def resident(field: str) -> int:
    """Bytes of memory of this process: `VmRSS` now, `VmHWM` at its peak."""
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field):
            return 1024 * int(line.split()[1])
    raise OSError(f"expected a line {field} in /proc/self/status. Received: none")


def device_peak() -> int | None:
    """Bytes at the peak on the GPU that torch or JAX works on; None on a machine without one."""
    if "torch" in sys.modules and sys.modules["torch"].cuda.is_available():
        return sys.modules["torch"].cuda.max_memory_allocated()
    if "jax" in sys.modules and sys.modules["jax"].default_backend() == "gpu":
        return sys.modules["jax"].devices()[0].memory_stats()["peak_bytes_in_use"]
    return None


def prefer_to_be_killed() -> None:
    """When memory runs out, let it be this process and not the one that started it."""
    Path("/proc/self/oom_score_adj").write_text("1000")


def timed_round(step, length: float = SECONDS_PER_ROUND) -> list[float]:
    """Seconds of each step, for so many seconds, at least one step."""
    seconds, ends = [], time.perf_counter() + length
    while not seconds or time.perf_counter() < ends:
        started = time.perf_counter()
        step()
        seconds.append(time.perf_counter() - started)
    return seconds


def main(module: str, contender: str, case: str, size: str) -> None:
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(**message) -> None:
        print(json.dumps(message), file=channel, flush=True)

    prefer_to_be_killed()
    build = importlib.import_module(module).build
    build(contender, case, 16)()  # loads kernels and thread pools, so that they are not charged
    step = build(contender, case, int(size))
    Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    baseline = resident("VmRSS")
    started = time.perf_counter()
    value = float(step())
    first = time.perf_counter() - started
    answer(first=first, value=value, baseline=baseline, peak=resident("VmHWM") - baseline)
    for line in sys.stdin:
        if line.strip() == "stop":
            break
        seconds = timed_round(step)
        peak = device_peak() or resident("VmHWM") - baseline
        answer(seconds=seconds, peak=peak)
    channel.close()
    os._exit(0)  # some libraries hang when their threads are torn down


if __name__ == "__main__":
    main(*sys.argv[1:])
