"""The commands of `keras-metric`, one file each; the file's name is the command (`_` for `-`).

The docstring of a command is its help. `arguments(parser)` adds its options, `run(options)` does
the work and returns an `Answer`. Only `run` imports slow modules. `MUST_EXIST` names options
that are paths: a missing one ends the command before Keras is imported.
"""

import contextlib
import importlib
import json
import logging
import os
import sys
from argparse import ArgumentParser, Namespace
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from zoo.pretrained import is_named

ORDER = ("list", "train", "evaluate", "export", "doctor")
WITHOUT_KERAS = ("list", "publish", "serve", "doctor")
FAILURES = (ValueError, TypeError, KeyError, OSError, ImportError, RuntimeError, MemoryError)


class Answer(NamedTuple):
    """The output of a command: for programs (`content`, as JSON) and for people (`text`)."""

    content: Any
    text: str
    code: int = 0


def names() -> list[str]:
    """All commands: those of `ORDER` first, then the rest by name."""
    found = {path.stem.replace("_", "-") for path in Path(__file__).parent.glob("[a-z]*.py")}
    return [*ORDER, *sorted(found - set(ORDER))]


def command(name: str):
    """The module of a command."""
    return importlib.import_module(f"zoo.commands.{name.replace('-', '_')}")


def run(options: Namespace) -> int:
    """Run the command `options.command`; returns the exit code.

    With `--json` whatever a library prints goes to standard error: standard output is JSON only.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    module = command(options.command)
    try:
        _check_paths(options, getattr(module, "MUST_EXIST", {}))
        if options.command not in WITHOUT_KERAS:
            load_keras_quietly()
        if not options.json:
            answer = module.run(options)
            return _print(answer.text, answer.code)
        with contextlib.redirect_stdout(sys.stderr):
            answer = module.run(options)
        return _print(json.dumps(answer.content, indent=2), answer.code)
    except KeyboardInterrupt:
        print("interrupted; the same command resumes", file=sys.stderr)
        return 130
    except FAILURES as error:
        reason = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"keras-metric: error: {reason}", file=sys.stderr)
        return 1


def _check_paths(options: Namespace, paths: Mapping[str, str]) -> None:
    """Raise FileNotFoundError for a path that does not exist; `paths` says what was expected."""
    for name, expected in paths.items():
        given = getattr(options, name)
        elsewhere = given is None or given.startswith("hf://") or is_named(given)
        if not elsewhere and not Path(given).exists():
            raise FileNotFoundError(
                f"There is nothing at {given}. Expected: {expected}. Received: no such file or "
                "folder."
            )


def _print(text: str, code: int) -> int:
    """Print, also to a closed pipe, as with `head`; returns the code."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return code


def add_data(parser: ArgumentParser) -> None:
    """The option for the folder of the real data sets."""
    parser.add_argument(
        "--data",
        metavar="DIR",
        help="folder of the real data sets (default: $KERAS_METRIC_DATA, else downloaded)",
    )


def table(report: dict[str, Any]) -> str:
    """The results of a report and its baselines, in columns."""
    from zoo.reports.cards import results_table

    rows = [row.strip("|").split("|") for row in results_table(report) if "---" not in row]
    return columns([[cell.strip() for cell in row] for row in rows])


def columns(rows: list[list[str]]) -> str:
    """Rows of text as a table."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )


def load_keras_quietly() -> None:
    """Import Keras without the banners that its backend's libraries write to standard error.

    TensorFlow's warnings about retracing are hidden, too.
    """
    logging.getLogger("tensorflow").addFilter(lambda said: "retracing" not in said.getMessage())
    kept = os.dup(2)
    try:
        # a backend that does not load: the command fails on it anyway, with its words
        with open(os.devnull, "wb") as nowhere, contextlib.suppress(Exception):
            os.dup2(nowhere.fileno(), 2)
            importlib.import_module("keras")
    finally:
        os.dup2(kept, 2)
        os.close(kept)
