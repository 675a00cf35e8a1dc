"""train a recipe, measure it, draw its pictures and write its card

A run that was interrupted goes on when the same command is given again.

examples:
  keras-metric train digits-triplet
  keras-metric train digits-triplet --set epochs=3 --set margin=0.3 --out out/short
  keras-metric train omniglot-triplet --seeds 3 --data ~/data
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import zoo
from zoo.commands import Answer, add_data, table


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", help="the recipe; `keras-metric list` shows them")
    parser.add_argument("--out", metavar="DIR", help="folder of the run (default: out/NAME)")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="settings",
        help="replace a value of the recipe; may be given several times",
    )
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="train N runs, seeds 0 to N-1: mean and range"
    )
    parser.add_argument("--export", action="store_true", help="write a SavedModel at the end, too")
    parser.add_argument("--force", action="store_true", help="replace the run that is there")
    add_data(parser)


def run(options: Namespace) -> Answer:
    settings = dict(_key_value(text) for text in options.settings)
    zoo.get(options.name).settle(settings)
    arguments = {"settings": settings, "data": options.data, "force": options.force}
    folder = Path(options.out or Path("out") / options.name)
    if options.seeds is None:
        report = zoo.train(options.name, folder, **arguments)
        runs = [folder]
    else:
        from zoo.training import train_seeds

        report = train_seeds(options.name, options.seeds, folder, **arguments)
        runs = [folder / name for name in report["runs"]]
    lines = [table(report), f"\n{folder / 'README.md'}: the card, with pictures"]
    saved = [str(_exported(path)) for path in runs] if options.export else []
    lines += [f"{path}: the SavedModel" for path in saved]
    content = {**report, "folder": str(folder), "saved_models": saved}
    return Answer(content, "\n".join(lines))


def _exported(folder: Path) -> Path:
    """The SavedModel of a run, written unless there is one that is newer than the model."""
    from keras_metric.export import latest, versions
    from zoo.runs import Run

    run = Run(folder)
    if versions(run.saved_model):
        newest = latest(run.saved_model)
        if newest.stat().st_mtime >= run.model.stat().st_mtime:
            return newest
    return zoo.export(folder)


def _key_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise ValueError(
            f"A setting cannot be read. Expected: KEY=VALUE, such as epochs=3. Received: {text!r}."
        )
    return key.strip(), value.strip()
