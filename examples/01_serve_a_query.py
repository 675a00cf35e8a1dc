"""Query an exported model for the nearest neighbors of new digits, as a server does.

    keras-metric train digits-triplet --export
    python examples/01_serve_a_query.py out/digits-triplet

The SavedModel is loaded by TensorFlow's C library: neither Keras nor Python TensorFlow is imported
here, and the outputs are those of TensorFlow Serving.
"""

import sys
from pathlib import Path

import numpy as np

from keras_metric.export import Runtime, latest
from keras_metric.plots import gallery, save_png
from zoo.datasets.sources import digits


def main(folder: Path) -> None:
    unseen = digits.load().of_classes("56789")
    with Runtime(latest(folder / "saved_model")) as served:
        (name,) = served.signatures["serving_default"].inputs
        answer = served("serving_default", **{name: unseen.images.astype(np.float32)})
    (embeddings,) = answer.values()

    queries = np.array([np.flatnonzero(unseen.labels == label)[0] for label in unseen.classes])
    distances = np.linalg.norm(embeddings[queries, None] - embeddings, axis=-1)
    distances[np.arange(len(queries)), queries] = np.inf
    nearest = np.argsort(distances, axis=1)[:, :8]
    names = np.array(unseen.names)[unseen.labels]
    print("served: the first image of each digit that the network never saw, and its neighbours")
    for query, found in zip(queries, nearest, strict=True):
        print(f"  {names[query]}: {' '.join(names[found])}")

    hits = unseen.labels[nearest] == unseen.labels[queries, None]
    images = unseen.images
    picture = gallery(images[queries], images[nearest], hits, captions=list(names[queries]))
    save_png(picture, folder / "pictures" / "served.png")
    print("Look at:")
    for file in ("README.md", "pictures/gallery.png", "pictures/served.png", "metrics.json"):
        print(f"  {folder / file}")
    print(f"  {latest(folder / 'saved_model')}  (the SavedModel)")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/digits-triplet"))
