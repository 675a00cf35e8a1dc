"""`keras-metric`: the zoo from the command line.

This file knows the words of the command line and nothing else; the work is done by `zoo.commands`,
imported when a command runs, so that help costs no Keras import.
"""

import argparse
import difflib
import sys
from typing import NoReturn

from keras_metric.version import VERSION

EXIT = """exit codes: 0 done, 1 the command failed (the reason is on standard error), 2 wrong usage,
130 interrupted (run the same command again to go on)"""


class Parser(argparse.ArgumentParser):
    """An argument parser that names the nearest word it knows."""

    def error(self, message: str) -> NoReturn:
        known = self.words()
        for word in message.partition(":")[2].replace("'", " ").split():
            nearest = difflib.get_close_matches(word, known, n=1, cutoff=0.7)
            if nearest and word not in known:
                message += f". Did you mean {nearest[0]!r}?"
                break
        super().error(message)

    def words(self) -> set[str]:
        """The commands and options of this parser and of those below it."""
        known = set(self._option_string_actions)
        for action in self._actions:
            if isinstance(action.choices, dict):
                known |= action.choices.keys()
                known = known.union(*(below.words() for below in action.choices.values()))
        return known


def main(arguments: list[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = parser().parse_args(arguments)
    from zoo import commands

    return commands.run(options)


def parser() -> Parser:
    """All commands and their options."""
    root = Parser(
        prog="keras-metric",
        description="Train, measure, export and explain models of image similarity.",
        epilog=f"Begin with: keras-metric train digits-triplet\n\n{EXIT}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"keras-metric {VERSION}")
    verbs = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _list(verbs)
    _train(verbs)
    _evaluate(verbs)
    _export(verbs)
    _doctor(verbs)
    return root


def _command(verbs, name: str, help: str, epilog: str) -> Parser:
    command = verbs.add_parser(
        name,
        help=help,
        description=help[0].upper() + help[1:] + ".",
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("--json", action="store_true", help="print the result as JSON, only that")
    return command


def _list(verbs) -> None:
    command = _command(
        verbs,
        "list",
        "list the recipes of the zoo",
        'examples:\n  keras-metric list\n  keras-metric list "*omniglot*"',
    )
    command.add_argument("pattern", nargs="?", default="*", help="names to list, * and ? allowed")


def _train(verbs) -> None:
    command = _command(
        verbs,
        "train",
        "train a recipe, measure it, draw its pictures and write its card",
        "A run that was interrupted goes on when the same command is given again.\n\n"
        "examples:\n"
        "  keras-metric train digits-triplet\n"
        "  keras-metric train digits-triplet --set epochs=3 --set margin=0.3 --out out/short\n"
        "  keras-metric train omniglot-triplet --seeds 3 --data ~/data",
    )
    command.add_argument("name", help="the recipe; `keras-metric list` shows them")
    command.add_argument("--out", metavar="DIR", help="folder of the run (default: out/NAME)")
    command.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="settings",
        help="replace a value of the recipe; may be given several times",
    )
    command.add_argument(
        "--seeds", type=int, metavar="N", help="train N runs, seeds 0 to N-1: mean and range"
    )
    command.add_argument("--export", action="store_true", help="write a SavedModel at the end, too")
    command.add_argument("--force", action="store_true", help="replace the run that is there")
    _data(command)


def _evaluate(verbs) -> None:
    command = _command(
        verbs,
        "evaluate",
        "measure a finished run again, from the model it left behind",
        "examples:\n  keras-metric evaluate out/digits-triplet --json",
    )
    command.add_argument("path", metavar="RUN", help="folder of the run")
    _data(command)


def _export(verbs) -> None:
    command = _command(
        verbs,
        "export",
        "write a model as a SavedModel for TensorFlow Serving",
        "The SavedModel gets the next free version number; no version is ever overwritten.\n\n"
        "examples:\n  keras-metric export out/digits-triplet\n"
        "  keras-metric export encoder.keras --out served/encoder",
    )
    command.add_argument("path", metavar="MODEL", help="folder of a run, or a .keras file")
    command.add_argument(
        "--out", metavar="DIR", help="folder of the versions (default: saved_model beside MODEL)"
    )


def _doctor(verbs) -> None:
    _command(
        verbs,
        "doctor",
        "say what is installed, which device computes, and how to get what is missing",
        "examples:\n  keras-metric doctor\n  KERAS_BACKEND=jax keras-metric doctor --json",
    )


def _data(command: Parser) -> None:
    command.add_argument(
        "--data",
        metavar="DIR",
        help="folder of the real data sets (default: $KERAS_METRIC_DATA, else downloaded)",
    )


if __name__ == "__main__":
    sys.exit(main())
