"""find the distance beyond which two images no longer match

FOLDER contains images that the model was not trained on, one sub-folder per class (or shards that
`keras-metric embed` made of them). All pairs are compared. Give one target, or none for the best
F1. The rates of the threshold on these pairs are reported with an interval: the range expected for
another sample of classes.

  --far        share of pairs of two classes that are accepted; the largest threshold that keeps it
  --precision  share of accepted pairs that are of one class; the largest threshold
  --recall     share of pairs of one class that are accepted; the smallest threshold

The threshold is stored next to the model (calibration.json in the folder of a run), and in the
index of the run if there is one. `search` and the `similarity` signature of `export` use it.

examples:
  keras-metric calibrate out/digits-triplet validation/ --far 0.01
  keras-metric calibrate encoder.keras validation/ --precision 0.95 -o threshold.json
  keras-metric calibrate encoder.keras shards/ --recall 0.9 --distance cosine --json

exit codes: 0 calibrated, 3 calibrated without images that could not be read (they are listed), 1
no threshold
"""

from argparse import ArgumentParser, Namespace

from zoo.commands import Answer
from zoo.commands._pictures import SKIPPED
from zoo.commands._retrieval import add_network, network_options, skipped_lines

MUST_EXIST = {
    "model": "a .keras file, a run or a SavedModel",
    "source": "a folder or list of images, or shards of them",
}


def arguments(parser: ArgumentParser) -> None:
    add_network(parser)
    parser.add_argument("source", metavar="FOLDER", help="images by class, or shards of them")
    parser.add_argument("-o", "--out", metavar="JSON", help="the file (default: beside MODEL)")
    targets = parser.add_mutually_exclusive_group()
    targets.add_argument("--far", type=float, metavar="F", help="false accept rate, such as 0.01")
    targets.add_argument("--precision", type=float, metavar="P", help="such as 0.95")
    targets.add_argument("--recall", type=float, metavar="R", help="such as 0.9")
    parser.add_argument("--distance", help="in keras_metric.distances (default: the model's)")
    parser.add_argument("--seed", type=int, default=0, help="seed of the intervals (default: 0)")


def run(options: Namespace) -> Answer:
    from keras_metric.retrieval import Index, calibrate
    from zoo.files import write_json
    from zoo.inference.collecting import collect
    from zoo.runs.runs import Run
    from zoo.runs.searchable import calibration_place

    place = calibration_place(options.model, options.out)
    found = collect(
        options.model,
        options.source,
        **network_options(options),
    )
    rows, numbers, _ = found.labelled()
    calibration = calibrate(
        found.embeddings[rows],
        numbers,
        far=options.far,
        precision=options.precision,
        recall=options.recall,
        distance=options.distance or found.network.distance,
        model=found.network.fingerprint,
        seed=options.seed,
    )
    write_json(place, calibration.as_json())
    lines = [str(calibration), f"{place}: the threshold"]
    beside = Run(place.parent).index
    if (beside / "index.json").is_file():
        index = Index.load(beside)
        if index.distance == calibration.distance and index.keeps_distances:
            index.calibration = calibration
            index.save(beside)
            lines.append(f"{beside}: has it, too")
        index.close()
    content = {"calibration": str(place), **calibration.as_json(), "skipped": found.skipped}
    lines += skipped_lines(found)
    return Answer(content, "\n".join(lines), SKIPPED if found.skipped else 0)
