"""find the images of an index that are most similar to a photograph

PHOTO is an image, or a folder of images. The index is that of the run unless --index is given;
`keras-metric index` creates it. With a threshold (`keras-metric calibrate`, or --threshold) the
last column shows the label of the photograph, or that nothing in the index matches.

--expand K searches the mean of the photograph and its K nearest neighbors instead of the
photograph; --rerank N orders its N nearest by the neighbors that they have in common with it. The
distances shown are always those of the photograph itself, so they may not ascend, and the threshold
applies to them.

The written picture has one row per photograph: the photograph, then its neighbors, nearest first;
green up to the threshold and red beyond it, gray without a threshold.

examples:
  keras-metric search out/digits-triplet photo.jpg
  keras-metric search out/digits-triplet photo.jpg -k 8 -o gallery.png
  keras-metric search out/digits-triplet photo.jpg --expand 5 --rerank 100
  keras-metric search encoder.keras photos/ --index birds.index --matcher vote
  keras-metric search encoder.keras photo.jpg --index birds.index --label jay --json

exit codes: 0 all photographs searched, 3 some could not be read and were skipped (they are listed),
1 no photograph could be read
"""

from argparse import ArgumentParser, Namespace
from pathlib import Path

from zoo.commands import Answer, columns
from zoo.commands._pictures import SKIPPED, sources
from zoo.commands._retrieval import (
    add_network,
    add_refinement,
    network_options,
    own_place,
    refinement,
)

MUST_EXIST = {
    "model": "a .keras file, a run or a SavedModel",
    "path": "an image, or a folder of images",
    "index": "the folder of an index",
}


def arguments(parser: ArgumentParser) -> None:
    add_network(parser)
    parser.add_argument("path", metavar="PHOTO", help="an image, or a folder of images")
    parser.add_argument(
        "--index", metavar="INDEX", help="folder of the index (default: in that of the run)"
    )
    parser.add_argument("-k", type=int, default=5, metavar="N", help="neighbors (default: 5)")
    parser.add_argument("-o", "--out", metavar="PNG", help="the picture to write")
    parser.add_argument("--label", help="search only images with this label")
    parser.add_argument(
        "--matcher", default="nearest", help="nearest, vote or weighted (default: nearest)"
    )
    add_refinement(parser)
    parser.add_argument("--threshold", type=float, metavar="T", help="replaces the calibrated one")


def run(options: Namespace) -> Answer:
    from zoo.inference.searching import PhotoSearch

    out = own_place(options.out, ".png", options.path) if options.out else None
    refine = refinement(options)
    photos = sources(Path(options.path))
    search = PhotoSearch(
        options.model,
        options.index,
        threshold=options.threshold,
        **network_options(options),
    )
    chosen = None if options.label is None else {"label": options.label}
    answers, skipped = search(photos, options.k, options.matcher, chosen, refine)
    if not answers:
        raise ValueError(
            f"No photograph could be read. Expected: one at least. Received: {skipped[0]['reason']}"
        )
    if out is not None:
        from keras_metric.plots import png
        from zoo.files import write

        content = png(search.gallery(answers))
        write(out, lambda path: path.write_bytes(content))
    lines = [_table(answers), *(f"{one.photo}: {one.verdict}" for one in answers)]
    lines += [f"skipped {one['image']}: {one['reason']}" for one in skipped]
    lines += [f"{out}: the picture"] if out else []
    content = {
        "searches": [one.content() for one in answers],
        "threshold": search.threshold,
        "skipped": skipped,
        "picture": out and str(out),
    }
    return Answer(content, "\n".join(lines), SKIPPED if skipped else 0)


def _table(answers) -> str:
    rows = [["photo", "", "distance", "label", "image"]]
    for one in answers:
        for rank, near in enumerate(one.neighbours, 1):
            label = "" if near["label"] is None else str(near["label"])
            shown = Path(one.photo).name if rank == 1 else ""
            apart = f"{near['distance']:.4f}"
            rows.append([shown, str(rank), apart, label, near["path"] or str(near["id"])])
    return columns(rows)
