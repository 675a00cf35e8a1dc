"""list the recipes of the zoo, or its trained models

--trained lists the models whose weights are part of this package, with their results and the
license of the data they were trained on. Their names can be used wherever a command takes a MODEL.

examples:
  keras-metric list
  keras-metric list "*omniglot*"
  keras-metric list --trained
"""

from argparse import ArgumentParser, Namespace

import zoo
from zoo.commands import Answer, columns
from zoo.recipe import summary


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("pattern", nargs="?", default="*", help="names to list, * and ? allowed")
    parser.add_argument(
        "--trained", action="store_true", help="list the trained models in this package"
    )


def run(options: Namespace) -> Answer:
    if options.trained:
        return _trained(options.pattern)
    found = {name: summary(name) for name in zoo.names(options.pattern)}
    if not found:
        raise _nothing("recipe", zoo.names(), options.pattern)
    return Answer(found, columns([[name, about] for name, about in found.items()]))


def _trained(pattern: str) -> Answer:
    found = zoo.trained(pattern)
    if not found:
        raise _nothing("trained model", [one.name for one in zoo.trained()], pattern)
    rows = [["name", "input", "size", "results", "license of the data"]]
    rows += [
        [
            one.name,
            " x ".join("any" if side is None else str(side) for side in one.input),
            f"{one.bytes / 1e6:.2f} MB" + (f" + {one.backbone}" if one.backbone else ""),
            ", ".join(f"{key} {value:.4g}" for key, value in list(one.results.items())[:2]),
            one.license,
        ]
        for one in found
    ]
    return Answer([one._asdict() for one in found], columns(rows))


def _nothing(kind: str, known: list[str], pattern: str) -> ValueError:
    return ValueError(
        f"No {kind} matches. Expected: a pattern for: {', '.join(known)}. Received: {pattern!r}."
    )
