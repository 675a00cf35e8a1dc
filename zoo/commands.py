"""What each command does: read the options, call the library, show the answer."""

import argparse
import contextlib
import importlib
import json
import os
import sys
from pathlib import Path
from typing import Any

import zoo


def run(options: argparse.Namespace) -> int:
    """Run the command `options.command`; returns its exit code.

    With `--json` whatever a library prints goes to standard error: standard output is JSON only.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    command = COMMANDS[options.command]
    try:
        if options.command != "list":
            _load_keras_quietly()
        if options.json:
            with contextlib.redirect_stdout(sys.stderr):
                code, answer, _ = command(options)
            print(json.dumps(answer, indent=2))
        else:
            code, _, text = command(options)
            print(text)
        return code
    except KeyboardInterrupt:
        print("interrupted; the same command goes on", file=sys.stderr)
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except (ValueError, KeyError, OSError, ImportError) as error:
        reason = error.args[0] if isinstance(error, KeyError) and error.args else error
        print(f"keras-metric: error: {reason}", file=sys.stderr)
        return 1


Answer = tuple[int, Any, str]


def list_recipes(options: argparse.Namespace) -> Answer:
    from zoo.recipe import summary

    found = {name: summary(name) for name in zoo.names(options.pattern)}
    if not found:
        raise ValueError(
            f"No recipe matches. Expected a pattern for: {', '.join(zoo.names())}. "
            f"Received: {options.pattern!r}."
        )
    width = max(map(len, found))
    return 0, found, "\n".join(f"{name:{width}}  {about}" for name, about in found.items())


def train(options: argparse.Namespace) -> Answer:
    settings = dict(_key_value(text) for text in options.settings)
    recipe = zoo.get(options.name)
    recipe.settle(settings)
    arguments = {"settings": settings, "data": options.data, "force": options.force}
    folder = Path(options.out or Path("out") / options.name)
    if options.seeds is None:
        report = zoo.train(options.name, folder, **arguments)
        exported = [folder]
    else:
        from zoo.training import train_seeds

        report = train_seeds(options.name, options.seeds, folder, **arguments)
        exported = [folder / name for name in report["runs"]]
    lines = [_table(report), f"\n{folder / 'README.md'}: the card, with pictures"]
    if options.export:
        lines += [f"{_exported(path)}: the SavedModel" for path in exported]
    return 0, report, "\n".join(lines)


def evaluate(options: argparse.Namespace) -> Answer:
    report = zoo.evaluate(options.path, data=options.data)
    return 0, report, _table(report)


def export(options: argparse.Namespace) -> Answer:
    path = zoo.export(options.path, options.out)
    return 0, {"saved_model": str(path)}, f"{path}: the SavedModel"


def doctor(options: argparse.Namespace) -> Answer:
    from zoo.doctor import examine, told

    found = examine()
    return int(not found["usable"]), found, told(found)


COMMANDS = {
    "list": list_recipes,
    "train": train,
    "evaluate": evaluate,
    "export": export,
    "doctor": doctor,
}


def _exported(folder: Path) -> Path:
    """The SavedModel of a run, written unless a version is there already."""
    from keras_metric.export import latest, versions
    from zoo.runs import Run

    saved = Run(folder).saved_model
    return latest(saved) if versions(saved) else zoo.export(folder)


def _load_keras_quietly() -> None:
    """Import Keras without the banners that its backend's libraries write to standard error."""
    kept = os.dup(2)
    try:
        # doctor reports a backend that does not load; every other command fails on it anyway
        with open(os.devnull, "wb") as nowhere, contextlib.suppress(Exception):
            os.dup2(nowhere.fileno(), 2)
            importlib.import_module("keras")
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def _key_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise ValueError(
            f"A setting cannot be read. Expected: KEY=VALUE, such as epochs=3. Received: {text!r}."
        )
    return key.strip(), value.strip()


def _table(report: dict[str, Any]) -> str:
    """Results beside baselines, in columns."""
    from zoo.cards import results_table

    rows = [row.strip("|").split("|") for row in results_table(report) if "---" not in row]
    cells = [[cell.strip() for cell in row] for row in rows]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    return "\n".join(
        "  ".join(f"{cell:{width}}" for cell, width in zip(row, widths, strict=True)).rstrip()
        for row in cells
    )
