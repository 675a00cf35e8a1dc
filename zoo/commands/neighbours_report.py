"""show how well an embedding separates a folder of images, as one HTML page

FOLDER contains images that the model was not trained on, one sub-folder per class (or shards that
`keras-metric embed` made of them), or is a list (CSV, TSV). Every image is searched among all
others. The page shows the recall of each class, galleries of the best, the worst and the most
confidently wrong searches, the files of the latter (--json has those of all mistakes), a projection
of the embeddings and histograms of pair distances. All pictures are embedded in the file.

examples:
  keras-metric neighbours-report out/digits-triplet photos/ -o report.html
  keras-metric neighbours-report encoder.keras shards/ -o report.html -k 10 --rows 12

exit codes: 0 all images are in the report, 3 some could not be read and were skipped (they are
listed), 1 no report
"""

from argparse import ArgumentParser, Namespace

from zoo.commands import Answer
from zoo.commands._pictures import SKIPPED
from zoo.commands._retrieval import add_network, network_options, own_place, skipped_lines

MUST_EXIST = {
    "model": "a .keras file, a run or a SavedModel",
    "source": "a folder or list of images, or shards of them",
}


def arguments(parser: ArgumentParser) -> None:
    add_network(parser)
    parser.add_argument("source", metavar="FOLDER", help="images by class, or shards of them")
    parser.add_argument("-o", "--out", required=True, metavar="HTML", help="the page to write")
    parser.add_argument("-k", type=int, default=8, metavar="N", help="neighbors (default: 8)")
    parser.add_argument(
        "--rows", type=int, default=8, metavar="N", help="searches of a gallery (default: 8)"
    )
    parser.add_argument("--distance", help="cosine or euclidean (default: the model's)")


def run(options: Namespace) -> Answer:
    from keras_metric.arguments import whole
    from zoo.evaluation.neighbours import Neighbours
    from zoo.inference.collecting import collect
    from zoo.reports.neighbours_report import check_extras, write_report

    out = own_place(options.out, ".html", options.source)
    whole("-k", options.k), whole("--rows", options.rows)
    check_extras()
    found = collect(
        options.model,
        options.source,
        **network_options(options),
    )
    seen = Neighbours.of(found, k=options.k, distance=options.distance or found.network.distance)
    write_report(out, seen, rows=options.rows, model=str(options.model))
    content = {
        "report": str(out),
        **seen.content(),
        "mistakes": seen.mistakes(len(seen.files)),
        "skipped": found.skipped,
    }
    lines = [str(seen), f"{out}: the page", *skipped_lines(found)]
    return Answer(content, "\n".join(lines), SKIPPED if found.skipped else 0)
