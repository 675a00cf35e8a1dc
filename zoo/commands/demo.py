"""open a web page to explore a model: what is similar, why, and where

Drop a picture on the page, or select one of the samples. It shows the nearest pictures of the index
with their distances, the label that follows at the threshold ("no match" if none is near enough),
the parts of two pictures that make them similar, and where a picture is found in a larger one. Of a
classifier it shows the best classes and a map of where the model sees each; with --layer, or an
--index made with it, a classifier is explored by its features instead.

MODEL is the folder of a run, as written by `keras-metric train`, a .keras file, or the name of a
trained model (`keras-metric list --trained`) or backbone. The index is that of the run
(`keras-metric index`) unless --index is given; without an index the training and validation
pictures of the run's recipe are embedded, which takes a moment. The threshold is that of
`keras-metric calibrate`, or --threshold; with neither, it is the one at which 5 % of the recipe's
validation pictures still have a match after their own class is removed. An index made with other
weights is refused.

The page loads nothing from the network, and it is served on loopback only, so no other machine can
open it. It runs until Ctrl-C or SIGTERM. From another machine: ssh -L 8600:127.0.0.1:8600 HOST.
Uploads of more than 16 MiB or 33,554,432 pixels are refused before they are decoded.

examples:
  keras-metric demo digits-triplet
  keras-metric demo bccd-cam
  keras-metric demo out/digits-triplet --port 0 --no-browser
  keras-metric demo encoder.keras --index birds.index --threshold 0.4
"""

import sys
from argparse import ArgumentParser, Namespace
from pathlib import Path

from zoo.commands import Answer, add_data
from zoo.commands._retrieval import add_network, network_options

MUST_EXIST = {
    "model": "a .keras file or a run",
    "index": "the folder of an index",
    "data": "the folder of the real data sets",
}


def arguments(parser: ArgumentParser) -> None:
    add_network(parser)
    parser.add_argument(
        "--index", metavar="INDEX", help="folder of the index (default: in that of the run, if any)"
    )
    parser.add_argument("--threshold", type=float, metavar="T", help="replaces the calibrated one")
    parser.add_argument(
        "--port", type=int, default=8600, metavar="PORT", help="0: any free (default: 8600)"
    )
    parser.add_argument(
        "--no-browser", action="store_true", help="only print the address, open no browser"
    )
    add_data(parser)


def run(options: Namespace) -> Answer:
    from zoo.datasets.reading._extras import need

    need("starlette", extra="serve", purpose="A page")
    from zoo.demo.desk import Desk
    from zoo.demo.running import serve
    from zoo.demo.web import application

    desk = _of_classifier(options) or Desk(_gallery(options))
    app = application(desk, name=Path(options.model).resolve().stem)
    serve(app, options.port, browser=not options.no_browser, ready=_say)
    return Answer({"shown": options.model}, "stopped")


def _of_classifier(options: Namespace):
    """The desk of a classifier; None for a model to search with."""
    import zoo
    from keras_metric.export import take_apart
    from zoo.demo.classes import ClassDesk
    from zoo.inference.bulk import networks
    from zoo.runs.exporting import served_options

    if options.index is not None or options.layer is not None:
        return None
    source = networks.locate(options.model, **network_options(options))
    if source.exported:
        return None
    model = zoo.load(options.model)
    served = served_options(options.model, model)
    labels = served.get("labels")
    if labels is None and take_apart(model).kind != "classifier":
        return None
    shape = served.get("image_shape", model.input_shape[1:])
    return ClassDesk(model, source.preprocessing(zoo.preprocessing(model), shape), labels)


def _gallery(options: Namespace):
    from zoo.demo.gallery import of_index
    from zoo.demo.recipe_gallery import of_run
    from zoo.inference.bulk import networks
    from zoo.runs.runs import Run, place

    network = networks.load(networks.locate(options.model, **network_options(options)))
    if network.encoder is None:
        raise ValueError(
            "A SavedModel cannot be explained. Expected: the run or .keras file that it was "
            f"exported from. Received: {options.model}."
        )
    run = Run.of(options.model)
    if options.index is not None or (run.index / "index.json").is_file():
        return of_index(network, Path(options.index or run.index), options.threshold)
    made = Run(place(options.model))
    if not made.finished:
        raise ValueError(
            "No index was given. Expected: --index with what `keras-metric index` made, "
            f"or the folder of a finished run. Received: {options.model}."
        )
    return of_run(made, network, options.threshold, options.data, options.model)


def _say(address: str) -> None:
    print(f"{address} shows the model; Ctrl-C stops", file=sys.stderr, flush=True)
