"""`keras-metric`: the parser of the command line; the commands are in `zoo.commands`."""

import argparse
import difflib
from typing import NoReturn

from keras_metric import __version__
from zoo import commands

EXIT = """exit codes: 0 done, 1 the command failed (the reason is on standard error), 2 wrong usage,
3 done but for files that could not be read (they are listed), 130 interrupted (run the same command
again to resume)"""


class Parser(argparse.ArgumentParser):
    """An argument parser that suggests the most similar command or option."""

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
    return commands.run(parser().parse_args(arguments))


def parser() -> Parser:
    """All commands and their options."""
    raw = argparse.RawDescriptionHelpFormatter
    root = Parser(
        prog="keras-metric",
        description="Train, measure, export and explain models of image similarity.",
        epilog=f"Begin with: keras-metric train digits-triplet\n\n{EXIT}",
        formatter_class=raw,
    )
    root.add_argument("--version", action="version", version=f"keras-metric {__version__}")
    verbs = root.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name in commands.names():
        module = commands.command(name)
        help, _, epilog = module.__doc__.strip().partition("\n")
        about = f"{help[0].upper()}{help[1:]}."
        verb = verbs.add_parser(
            name, help=help, description=about, epilog=epilog.strip(), formatter_class=raw
        )
        module.arguments(verb)
        verb.add_argument("--json", action="store_true", help="print only the result, as JSON")
    return root
