"""evaluate a finished run again, or a model on photographs or with a protocol

Without --protocol, MODEL is evaluated as its recipe defines: the folder of a run, whose card is
rewritten, or the name of a trained model (`keras-metric list --trained`), whose results are
compared with those on its card.

--photos FOLDER measures a model, or a pretrained network by its name, without any training.
FOLDER has `train` and `validation`, each with one sub-folder per class. Every photograph of
`validation` is searched among the others (recall@1, MAP@R) and classified by a vote of its 20
nearest in `train` (accuracy); the second column is the same with linear discriminant analysis of
the embeddings, fitted to `train`. --expand and --rerank, as in `keras-metric search`, add a column
with the results of refined searches. --layer pool takes the features of a pretrained network as
they are, not scaled to unit length.

--protocol omniglot-oneshot is one-shot classification: one drawing of each of 20 characters by one
drawer, the same characters by another, each query classified by the nearest drawing. MODEL is an
embedding network for square gray pictures (a run's folder, or a .keras file); without it only the
baselines are evaluated: pixels and the modified Hausdorff distance. The runs are the published ones
(--runs, a folder of run01, run02, ... or their zip file) or drawn from an Omniglot zip file or
folder (--data): each within one alphabet, one alphabet after another. Errors are in percent, with a
bootstrap interval over runs. For a model that was trained on these characters the result is
meaningless: choose --alphabets that it was not trained on.

examples:
  keras-metric evaluate out/digits-triplet
  keras-metric evaluate digits-triplet
  keras-metric evaluate efficientnet_lite0 --photos clothing
  keras-metric evaluate efficientnet_lite0 --photos clothing --layer pool
  keras-metric evaluate efficientnet_lite0 --photos clothing --expand 5 --rerank 100
  keras-metric evaluate efficientnet_lite0 --photos clothing --resize letterbox --fill 255
  keras-metric evaluate out/omniglot-triplet --protocol omniglot-oneshot --runs all_runs
  keras-metric evaluate --protocol omniglot-oneshot --runs all_runs.zip
  keras-metric evaluate out/omniglot-triplet --protocol omniglot-oneshot \\
      --data images_background_small2.zip --alphabets Sanskrit,Tagalog --draws 100 --json
"""

from argparse import ArgumentParser, Namespace
from typing import Any

import zoo
from zoo.commands import Answer, add_data, columns, table
from zoo.commands._pictures import SKIPPED
from zoo.commands._retrieval import (
    add_network_options,
    add_refinement,
    network_options,
    refinement,
)

PROTOCOLS = ("omniglot-oneshot",)
DRAWN = {"alphabets": None, "draws": 20, "ways": 20, "seed": 0}

MUST_EXIST = {"path": "the folder of a run, or a model", "photos": "a folder of photographs"}
PRECISION = 5e-5  # of the numbers on a card, relative above 1


def arguments(parser: ArgumentParser) -> None:
    parser.add_argument("path", metavar="MODEL", nargs="?", help="a run, a model, or a name")
    parser.add_argument(
        "--photos", metavar="FOLDER", help="photographs in FOLDER/train and FOLDER/validation"
    )
    add_network_options(parser)
    add_refinement(parser)
    parser.add_argument("--protocol", choices=PROTOCOLS, help="evaluation protocol")
    parser.add_argument("--runs", metavar="DIR", help="the published one-shot runs, or their zip")
    add_data(parser)
    parser.add_argument("--alphabets", metavar="A[,B...]", help="draw runs from these (of --data)")
    parser.add_argument("--draws", type=int, metavar="N", help="runs to draw (default: 20)")
    parser.add_argument("--ways", type=int, metavar="N", help="characters per run (default: 20)")
    parser.add_argument("--seed", type=int, metavar="N", help="seed of the draws (default: 0)")


def run(options: Namespace) -> Answer:
    _check(options)
    if options.photos is not None:
        return _on_photographs(options)
    if options.protocol is None:
        report = zoo.evaluate(options.path, data=options.data)
        return Answer(report, "\n".join([table(report), *_compared(report)]))
    from zoo.evaluation import one_shot_trials

    measures = dict(one_shot_trials.BASELINES)
    if options.path is not None:
        measures = {"this model": one_shot_trials.by_encoder(zoo.load(options.path)), **measures}
    runs, source = _runs(options)
    found = one_shot_trials.examine(runs, measures)
    content = {"protocol": options.protocol, "model": options.path, "source": source, **found}
    return Answer(content, _described(content))


def _on_photographs(options: Namespace) -> Answer:
    from zoo.evaluation.photo_folders import measure

    refine = refinement(options)
    found = measure(options.path, options.photos, refine, **network_options(options))
    lines = [
        f"{found['train']:,} photographs known, {found['validation']:,} asked",
        f"preprocessed: {found['preprocessing']}",
        table(_columns(found["results"])),
    ]
    lines += [f"skipped {one['image']}: {one['reason']}" for one in found["skipped"]]
    return Answer(found, "\n".join(lines), SKIPPED if found["skipped"] else 0)


def _columns(results: dict[str, dict[str, float]]) -> dict[str, Any]:
    """Results by column as the first column and its baselines."""
    (column, first), *others = results.items()
    return {"column": column, "results": first, "baselines": dict(others)}


def _runs(options: Namespace):
    """The runs, and where they are from."""
    from zoo.datasets.sources import omniglot

    if options.runs is not None:
        return omniglot.official_runs(options.runs), {"runs": options.runs}
    images = omniglot.load(options.data)
    chosen = {key: _given(options, key) for key in DRAWN}
    if options.alphabets is not None:
        images = images.of_groups(options.alphabets.split(","))
    runs = omniglot.drawn_runs(images, chosen["draws"], ways=chosen["ways"], seed=chosen["seed"])
    chosen["alphabets"] = list(omniglot.alphabets(images))
    return runs, {"data": options.data, **chosen}


def _check(options: Namespace) -> None:
    """Refuse what does not go together."""
    drawn = [f"--{key}" for key in DRAWN if getattr(options, key) is not None]
    of_network = [
        f"--{key}" for key, value in network_options(options).items() if value is not None
    ]
    of_network += [f"--{key}" for key in ("expand", "rerank") if getattr(options, key)]
    others = [f"--{key}" for key in ("protocol", "runs", "data") if getattr(options, key)]
    if options.photos is not None:
        if options.path is None or others or drawn:
            raise ValueError(
                "The photographs do not say what to measure. Expected: a model and --photos. "
                f"Received: --photos with {', '.join([*others, *drawn]) or 'no model'}."
            )
        return
    if of_network:
        raise ValueError(
            "A run is measured as its recipe says. Expected: --size, --branch, --pixels, --layer, "
            "--resize, --fill, --interpolation, --expand and --rerank with --photos. "
            f"Received: {', '.join(of_network)} without it."
        )
    if options.protocol is None:
        unfit = [*(["--runs"] if options.runs is not None else []), *drawn]
        if unfit or options.path is None:
            raise ValueError(
                "Nothing to measure. Expected: the folder of a run, the name of a trained model, "
                "or --protocol with --runs or --data. Received: "
                f"{', '.join(unfit) or 'none'} without --protocol."
            )
    elif (options.runs is None) == (options.data is None) or (options.runs is not None and drawn):
        given = [f"--{key}" for key in ("runs", "data") if getattr(options, key) is not None]
        raise ValueError(
            "The runs are not specified. Expected: --runs with the published runs, or --data with "
            "an Omniglot zip file or folder to draw from, which --alphabets, --draws, --ways and "
            f"--seed are for. Received: {', '.join([*given, *drawn]) or 'neither'}."
        )


def _given(options: Namespace, key: str) -> Any:
    value = getattr(options, key)
    return DRAWN[key] if value is None else value


def _compared(report: dict[str, Any]) -> list[str]:
    """The results of a trained model that differ from its card, one per line."""
    if "card" not in report:
        return []
    found, card = report["results"], report["card"]
    apart = [
        f"{name}: {found[name]:.6g}, on the card {card[name]:.6g}"
        for name in card
        if abs(found[name] - card[name]) > PRECISION * max(1, abs(card[name]))
    ]
    return apart or [f"equal to the card: {len(card)} results, to 4 digits"]


def _described(content: dict[str, Any]) -> str:
    names = list(content["error %"])
    rows = [["error %", *names], _row("all", content["error %"])]
    rows += [_row(name, row) for name, row in content["by alphabet"].items()]
    if not content["by alphabet"]:
        rows += [
            [name, *(f"{row[column]:.1f}" for column in names)]
            for name, row in content["by run"].items()
        ]
    ways = " or ".join(map(str, content["ways"]))
    return f"{columns(rows)}\n{content['runs']} runs, {content['trials']} trials, {ways} ways"


def _row(name: str, values: dict[str, dict[str, float]]) -> list[str]:
    cells = (f"{v['error']:.1f} ({v['low']:.1f} to {v['high']:.1f})" for v in values.values())
    return [name, *cells]
