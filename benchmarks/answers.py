"""Recall@1, MAP@R and bytes a vector of searches: refined, and of compressed embeddings.

    python benchmarks/answers.py omniglot --data DATA
    python benchmarks/answers.py clothing --data DATA

DATA has `omniglot/` (the two minimal background sets) and `clothing/`. omniglot: the drawings of
the alphabets that only small2 has, embedded by `omniglot-infonce`, which was trained on small1.
clothing, clothing-train: the validation photographs, or every fourth of those for training,
embedded by `efficientnet_lite0`. Each is searched among all others. Bytes are those of the file of
the vectors; ids, 8 bytes each, come on top. PCA is fitted to the embeddings that are searched, as
`keras-metric index --pca` does.
"""

import argparse
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from keras_metric.retrieval import PCA, Index, Refinement
from zoo.evaluation.vectors import Vectors, searched_results

WIDTHS = (128, 64, 32)
REFINEMENTS = (
    *(Refinement(expand=count, alpha=0) for count in (2, 5)),
    *(Refinement(expand=count) for count in (1, 2, 5, 10)),
    *(Refinement(rerank=count) for count in (50, 100)),
    Refinement(expand=5, rerank=100),
)
VECTORS = ("vectors.faiss", "codes.npz")


def omniglot(data: Path) -> Vectors:
    """Drawings of alphabets that the network has not seen."""
    import zoo
    from zoo.datasets.sources import omniglot

    seen, images = (omniglot.load(name, data) for name in ("small1", "small2"))
    new = [name for name in omniglot.alphabets(images) if name not in omniglot.alphabets(seen)]
    images = images.of_groups(new)
    model = zoo.load("omniglot-infonce")
    found = model.predict(images.images, batch_size=256, verbose=0)
    return Vectors(np.asarray(found), images.labels.astype(str))


def clothing(data: Path, part: str = "validation", step: int = 1) -> Vectors:
    """Photographs, every `step`-th."""
    from zoo.inference.collecting import collect

    found = collect("efficientnet_lite0", data / "clothing" / part)
    rows, numbers, names = found.labelled()
    return Vectors(found.embeddings[rows][::step], np.array(names)[numbers][::step])


SETS = {
    "omniglot": omniglot,
    "clothing": clothing,
    "clothing-train": lambda data: clothing(data, "train", 4),
}


def rows(asked: Vectors, distance: str) -> Iterator[tuple[str, int, float, float]]:
    """What is measured, its bytes a vector, recall@1 and MAP@R."""
    for kind in ("exact", "int8", "binary"):
        yield measured(kind, Index(kind=kind, distance=distance), asked)
    for width in WIDTHS:
        for whiten in (False, True):
            pca = PCA.fit(asked.vectors, width, whiten=whiten)
            name = f"PCA {width}{', whitened' if whiten else ''}"
            for kind in ("exact", "int8", "binary"):
                index = Index(kind=kind, distance=distance, pca=pca)
                yield measured(f"{name}, {kind}", index, asked)
    for refine in REFINEMENTS:
        equal = ", equal weights" if refine.expand and not refine.alpha else ""
        yield measured(f"{refine}{equal}", Index(distance=distance), asked, refine)


def measured(name: str, index: Index, asked: Vectors, refine: Refinement | None = None):
    found = searched_results(index, asked, refine)
    with tempfile.TemporaryDirectory() as folder:
        files = [file for file in index.save(folder).rglob("*") if file.name in VECTORS]
        size = sum(os.path.getsize(file) for file in files)
    return name, round(size / len(index)), found["recall@1"], found["map@r"]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("set", choices=sorted(SETS))
    parser.add_argument("--data", type=Path, required=True, help="the folder of the data sets")
    parser.add_argument("--distance", default="cosine")
    options = parser.parse_args()
    asked = SETS[options.set](options.data)
    print(f"{options.set}: {asked.vectors.shape[0]:,} x {asked.vectors.shape[1]}\n")
    print("| | bytes a vector | recall@1 | MAP@R |\n|---|---|---|---|")
    for name, size, recall, precision in rows(asked, options.distance):
        print(f"| {name} | {size:,} | {recall:.4f} | {precision:.4f} |", flush=True)


if __name__ == "__main__":
    main()
