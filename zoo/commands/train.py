"""train a recipe, evaluate it, draw its pictures and write its model card

An interrupted run resumes when the same command is given again.

--distribute mirrored trains on all GPUs of the machine (TensorFlow), --distribute processes trains
in several processes on one or more machines that share the folder of the run (JAX). Both end with
the weights of training on one device: each device takes its rows of every batch, and losses compare
all rows.

examples:
  keras-metric train digits-triplet
  keras-metric train digits-triplet --set epochs=3 --set margin=0.3 --out out/short
  keras-metric train omniglot-triplet --seeds 3 --data ~/data
  keras-metric train digits-triplet --distribute mirrored
  keras-metric train digits-triplet --distribute mirrored --devices 2
  KERAS_BACKEND=jax keras-metric train digits-triplet --distribute processes \\
    --coordinator 10.0.0.5:9911 --processes 2 --process 0
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import zoo
from zoo.commands import Answer, add_data, table

MUST_EXIST = {
    "data": "the folder of the real data sets",
}


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("name", help="the recipe; `keras-metric list` shows them")
    parser.add_argument("--out", metavar="DIR", help="folder of the run (default: out/NAME)")
    parser.add_argument(
        "--set",
        metavar="KEY=VALUE",
        action="append",
        default=[],
        dest="settings",
        help="change a setting of the recipe; may be given several times",
    )
    parser.add_argument(
        "--seeds", type=int, metavar="N", help="train N runs, seeds 0 to N-1: mean and range"
    )
    parser.add_argument("--export", action="store_true", help="also write a SavedModel at the end")
    parser.add_argument("--force", action="store_true", help="replace the run that is there")
    add_data(parser)
    spread = parser.add_argument_group("several devices")
    spread.add_argument("--distribute", metavar="WAY", help="mirrored, or processes")
    spread.add_argument(
        "--devices",
        type=int,
        metavar="N",
        help="for mirrored (default: all GPUs); else N CPUs",
    )
    spread.add_argument("--coordinator", metavar="HOST:PORT", help="address of process 0")
    spread.add_argument("--processes", type=int, metavar="N", help="number of processes")
    spread.add_argument("--process", type=int, metavar="K", help="index of this process, from 0")


def run(options: Namespace) -> Answer:
    from zoo.runs.exporting import exported

    settings = dict(_key_value(text) for text in options.settings)
    zoo.get(options.name).resolve_settings(settings)
    arguments = {"settings": settings, "data": options.data, "force": options.force}
    arguments["distribution"] = spread = _distribution(options)
    folder = Path(options.out or Path("out") / options.name)
    if options.seeds is None:
        report = zoo.train(options.name, folder, **arguments)
        runs = [folder]
    else:
        from zoo.training.training import train_seeds

        report = train_seeds(options.name, options.seeds, folder, **arguments)
        runs = [folder / name for name in report["runs"]]
    if not spread.writes:
        return Answer(report, f"process {spread.process} is done; process 0 writes {folder}")
    lines = [table(report), f"\n{folder / 'README.md'}: the card, with pictures"]
    saved = [str(exported(path)) for path in runs] if options.export else []
    lines += [f"{path}: the SavedModel" for path in saved]
    content = {**report, "folder": str(folder), "saved_models": saved}
    return Answer(content, "\n".join(lines))


def _distribution(options: Namespace):
    from zoo.training.distribution import Distribution

    return Distribution(
        options.distribute,
        devices=options.devices,
        coordinator=options.coordinator,
        processes=options.processes,
        process=options.process,
    )


def _key_value(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not (key and equals):
        raise ValueError(
            f"A setting cannot be read. Expected: KEY=VALUE, such as epochs=3. Received: {text!r}."
        )
    return key.strip(), value.strip()
