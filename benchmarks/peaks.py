"""The peak of memory of a call, and calls in processes of their own without importing again."""

import ctypes
import gc
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

MIB = 2**20


def memory(field: str) -> int:
    """VmHWM (the peak so far) or VmRSS (the size now) of this process, in bytes."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(f"{field}:"))


def baseline() -> int:
    """Bytes that this process holds, once what is free is given back; the peak counts from here."""
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    Path("/proc/self/clear_refs").write_text("5")
    return memory("VmRSS")


def forked(measure: Callable[..., dict], cell: dict, seconds: int) -> dict:
    """`measure(**cell)` in a copy of this process, which has imported and computed nothing."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        signal.alarm(seconds)
        try:
            answer = measure(**cell)
        except Exception as error:
            answer = {"failed": f"{type(error).__name__}: {error}"[:300]}
        os.write(writing, json.dumps(answer).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        answer = pipe.read()
    _, status = os.waitpid(child, 0)
    return json.loads(answer) if answer else {"failed": f"ended by signal {status & 127}"}


def serve(measure: Callable[..., dict], seconds: int) -> None:
    """Cells from the standard input, a line of JSON each, and their answers likewise."""
    for line in sys.stdin:
        print(json.dumps(forked(measure, json.loads(line), seconds)), flush=True)


def fill(out: Path, cells: dict[str, dict], script: str, backend: str, seconds: int) -> dict:
    """The file of all cells so far, with those of a backend that are missing or failed.

    cells: key -> arguments; `script cells --seconds N` is run with this backend and serves them.
    """
    done = json.loads(out.read_text()) if out.exists() else {}
    missing = {k: cell for k, cell in cells.items() if "failed" in done.get(k, {"failed": ""})}
    if not missing:
        return done
    process = subprocess.Popen(
        [sys.executable, script, "cells", "--seconds", str(seconds)],
        env={**os.environ, "KERAS_BACKEND": backend},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    for key, cell in missing.items():
        process.stdin.write(json.dumps(cell) + "\n")
        process.stdin.flush()
        done[key] = {**cell, **json.loads(process.stdout.readline())}
        print(key, done[key].get("failed", ""), file=sys.stderr, flush=True)
        partial = out.with_suffix(".partial")
        partial.write_text(json.dumps(done, indent=1))
        partial.replace(out)
    process.stdin.close()
    process.wait()
    return done
