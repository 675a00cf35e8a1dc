"""Python in a process of its own, which imports what this one can import."""

import os
import subprocess
import sys


def run_module(
    module: str, *arguments: str, folder: str | None = None, **environment: str
) -> subprocess.CompletedProcess:
    """`python -m module arguments` in a working directory, with what it printed."""
    paths = os.pathsep.join(path or os.getcwd() for path in sys.path)
    return subprocess.run(
        [sys.executable, "-m", module, *arguments],
        env={"TF_CPP_MIN_LOG_LEVEL": "2", **os.environ, **environment, "PYTHONPATH": paths},
        cwd=folder,
        capture_output=True,
        text=True,
    )


def last_words(done: subprocess.CompletedProcess) -> str:
    """The last line of a process that failed, which says why."""
    return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
