"""list the recipes of the zoo

examples:
  keras-metric list
  keras-metric list "*omniglot*"
"""

from argparse import ArgumentParser, Namespace

import zoo
from zoo.commands import Answer, columns
from zoo.recipe import summary


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="?", default="*", help="names to list, * and ? allowed")


def run(options: Namespace) -> Answer:
    found = {name: summary(name) for name in zoo.names(options.pattern)}
    if not found:
        raise ValueError(
            f"No recipe matches. Expected: a pattern for: {', '.join(zoo.names())}. "
            f"Received: {options.pattern!r}."
        )
    return Answer(found, columns([[name, about] for name, about in found.items()]))
