"""train on your photographs or by a recipe; measure, draw pictures, write the model card

WHAT is a folder with one sub-folder per class, a table (CSV, TSV) of paths and labels, or several
of both; the name of a recipe of the zoo; or the path of a recipe of your own (my_recipe.py, which
is run as code). An interrupted run resumes when the same command is given again.

For photographs, everything that is not given is chosen and shown in a line: pretrained backbone,
image size, what is held out (whole classes, or photographs of each class), loss, batches, epochs.
The run also has an index of the photographs, a calibrated threshold, a SavedModel and an HTML page,
and ends with commands to try next.

--distribute mirrored trains on all GPUs of the machine (TensorFlow), --distribute processes trains
in several processes on one or more machines that share the folder of the run (JAX). Both end with
the weights of training on one device: each device takes its rows of every batch, and losses compare
all rows.

examples:
  keras-metric train my_photos/
  keras-metric train list.csv --label-column product --group-column order --epochs 20
  keras-metric train my_photos/ --backbone tiny --size 32 --set embedding=64 --out out/small
  keras-metric train digits-triplet
  keras-metric train digits-triplet --set epochs=3 --set margin=0.3 --out out/short
  keras-metric train omniglot-triplet --seeds 3 --data ~/data
  keras-metric train my_recipe.py
  keras-metric train digits-triplet --distribute mirrored --devices 2
  KERAS_BACKEND=jax keras-metric train digits-triplet --distribute processes \\
    --coordinator 10.0.0.5:9911 --processes 2 --process 0
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

import zoo
from zoo.commands import Answer, add_data, table
from zoo.recipe import PHOTOGRAPHS, is_file

PHOTO_OPTIONS = {
    "--path-column": ("NAME", "of a table: the column of the paths (default: path, file, ...)"),
    "--label-column": ("NAME", "the column of the classes (default: label, class, ...)"),
    "--split-column": ("NAME", "the column that says train, validation or test"),
    "--group-column": ("NAME", "photographs of one group never lie on both sides of the split"),
    "--category-column": ("NAME", "results are also given by category"),
    "--split": ("WAY", "hold out whole classes, or photos of each class (default: by the classes)"),
    "--backbone": (
        "NAME",
        "the encoder (default: efficientnet_lite0 if its weights are installed)",
    ),
    "--size": ("PIXELS", "side of the images (default: by the photographs)"),
    "--resize": ("WAY", "stretch, letterbox or crop (default: stretch)"),
    "--loss": ("NAME", "triplet, joint, supcon, multi_similarity, infonce, arcface, ..."),
    "--epochs": ("N", "epochs (default: by the number of photographs)"),
    "--minutes": ("M", "budget of training time, in place of --epochs; kept to 10 %%"),
    "--workers": ("N", "threads that decode photographs (default: 2)"),
}

MUST_EXIST = {
    "data": "the folder of the real data sets",
}


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument(
        "what",
        nargs="+",
        metavar="WHAT",
        help="photographs, or a recipe; `keras-metric list` shows those of the zoo",
    )
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
    parser.add_argument(
        "--log",
        metavar="KIND",
        help="tensorboard, csv, mlflow or wandb: log every epoch there as well",
    )
    add_data(parser)
    photos = parser.add_argument_group("photographs")
    for option, (metavar, help) in PHOTO_OPTIONS.items():
        photos.add_argument(option, metavar=metavar, help=help)
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
    from zoo.training.training import default_place, train_seeds

    name, settings = _named(options)
    zoo.get(name).resolve_settings(settings)
    arguments = {"settings": settings, "data": options.data, "force": options.force}
    arguments["log"] = options.log
    arguments["distribution"] = spread = _distribution(options)
    folder = Path(options.out) if options.out else default_place(options.what[0])
    if options.seeds is None:
        report = zoo.train(name, folder, **arguments)
        runs = [folder]
    else:
        report = train_seeds(name, options.seeds, folder, **arguments)
        runs = [folder / name for name in report["runs"]]
    if not spread.writes:
        return Answer(report, f"process {spread.process} is done; process 0 writes {folder}")
    lines = [table(report), f"\n{folder / 'README.md'}: the card, with pictures"]
    saved = [str(exported(path)) for path in runs] if options.export else []
    lines += [f"{path}: the SavedModel" for path in saved]
    lines += [f"\n{note}" for note in report.get("notes", ())]
    if "left" in report:
        lines += _next(report["left"])
    content = {**report, "folder": str(folder), "saved_models": saved}
    return Answer(content, "\n".join(lines))


def _named(options: Namespace) -> tuple[str, dict[str, str]]:
    """The recipe and its settings; photographs are those of one recipe."""
    from zoo.datasets.reading.photographs import as_setting

    settings = dict(_key_value(text) for text in options.settings)
    given = {
        option.removeprefix("--").replace("-", "_"): value
        for option in PHOTO_OPTIONS
        if (value := getattr(options, option.removeprefix("--").replace("-", "_"))) is not None
    }
    what = options.what
    if len(what) == 1 and (what[0] in zoo.names() or is_file(what[0])):
        if given:
            raise ValueError(
                "These options are for photographs. Expected: a folder or a table with them, or "
                f"--set KEY=VALUE for a recipe. Received: {', '.join(given)} for {what[0]}."
            )
        return what[0], settings
    absent = [place for place in what if not Path(place).exists()]
    if absent and len(what) == 1 and not any(mark in absent[0] for mark in "/."):
        return absent[0], settings  # a name that is not known, which `get` explains
    if absent:
        raise FileNotFoundError(
            "There are no photographs to train on. Expected: folders with one sub-folder a class, "
            f"tables (CSV, TSV), or the name of a recipe. Received: nothing at {absent[0]}."
        )
    return PHOTOGRAPHS, {"photos": as_setting(what), **given, **settings}


def _next(left: dict) -> list[str]:
    """What else is there, and what to try."""
    lines = [f"{left['page']}: the page with all of it", f"{left['index']}: the index"]
    lines += [f"{left['saved_model']}: the SavedModel"] if left["saved_model"] else []
    if left["threshold"] is not None:
        lines.append(f"threshold {left['threshold']['threshold']:.6g}")
    return [*lines, "\nto try next:", *(f"  {command}" for command in left["commands"])]


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
