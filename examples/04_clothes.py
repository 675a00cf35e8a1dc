"""Photographs of clothes: nearest neighbors, predicted class, and maps that explain it.

    keras-metric train clothing-classifier
    keras-metric train clothing-triplet
    python examples/04_clothes.py out/clothing-triplet out/clothing-classifier

The embedding searches the training photos for those nearest to one new photo of each class; the
classifier is made fully convolutional, verified, and explained by its maps.
"""

import sys
from pathlib import Path

import numpy as np

import zoo
from keras_metric import convert, plots
from keras_metric.cam import CAM
from keras_metric.retrieval import Index
from zoo.datasets.sources import clothing
from zoo.files import write

METHODS = {"cam": None, "gradcam": "stage3_block2_relu", "layercam": "stage3_block2_relu"}


def main(triplet: Path, classifier: Path, data: str | None = None) -> None:
    known, new = (
        clothing.load(split, data, size=64, resize="letterbox") for split in clothing.SPLITS
    )
    asked = new.where([np.flatnonzero(new.labels == label)[0] for label in new.classes])
    for folder in (triplet, classifier):
        (folder / "pictures").mkdir(exist_ok=True)
    neighbours(triplet, known, asked)
    explained(classifier, asked)


def neighbours(folder: Path, known, asked) -> None:
    """Index the photos known, and search them for those nearest to the photos asked."""
    encoder = zoo.load(folder)
    index = Index(distance="euclidean")
    index.add(encoder.predict(known.images, verbose=0), known.labels.tolist())
    embeddings = encoder.predict(asked.images, verbose=0)
    near = index.search(embeddings, k=8).ids
    told = index.match(embeddings, k=20, matcher="vote").labels
    names = [asked.names[label] for label in asked.labels]
    print("a photo of each class, and what most of its 20 nearest are")
    for name, answer in zip(names, told, strict=True):
        print(f"  {name}: {known.names[answer]}")
    hits = known.labels[near] == asked.labels[:, None]
    picture = plots.gallery(asked.images, known.images[near], hits, captions=names)
    plots.save_png(picture, folder / "pictures" / "neighbours.png")
    print(f"Look at:\n  {folder / 'pictures' / 'neighbours.png'}")


def explained(folder: Path, asked) -> None:
    """Convert the classifier, and draw what speaks for its answers."""
    model = zoo.load(folder)
    fcn = convert.to_fully_convolutional(model)
    print(convert.verify(model, fcn))
    print(convert.geometry(fcn))
    write(folder / "fcn.keras", fcn.save)
    best = model.predict(asked.images, verbose=0).argmax(1)
    maps = {
        name: CAM(model, name, layer=layer)(asked.images, best) for name, layer in METHODS.items()
    }
    titles = [
        f"{asked.names[label]},\ntold {asked.names[answer]}"
        for label, answer in zip(asked.labels, best, strict=True)
    ]
    plots.save_png(
        plots.comparison(asked.images, maps, titles=titles), folder / "pictures" / "explained.png"
    )
    print(f"Look at:\n  {folder / 'pictures' / 'explained.png'}\n  {folder / 'fcn.keras'}")


if __name__ == "__main__":
    given = [Path(word) for word in sys.argv[1:3]]
    usual = [Path("out/clothing-triplet"), Path("out/clothing-classifier")]
    main(*(given or usual), *sys.argv[3:4])
