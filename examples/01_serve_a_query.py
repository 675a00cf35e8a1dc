"""Ask an exported model for the nearest neighbours of one image, as a server would.

    keras-metric train digits-triplet --export
    python examples/01_serve_a_query.py out/digits-triplet

The SavedModel is loaded by TensorFlow's C library alone: neither Keras nor Python TensorFlow is
imported here, and the answer is what TensorFlow Serving gives.
"""

import sys
from pathlib import Path

import numpy as np

from keras_metric.export import Runtime, latest
from keras_metric.plots import gallery, save_png
from zoo.datasets import digits


def main(folder: Path, query: int = 0) -> None:
    unseen = digits.load().of_classes("56789")
    with Runtime(latest(folder / "saved_model")) as served:
        (name,) = served.signatures["serving_default"].inputs
        answer = served("serving_default", **{name: unseen.images.astype(np.float32)})
    (embeddings,) = answer.values()

    distances = np.linalg.norm(embeddings - embeddings[query], axis=1)
    distances[query] = np.inf
    nearest = np.argsort(distances)[:8]
    found = [unseen.names[label] for label in unseen.labels[nearest]]
    asked = unseen.names[unseen.labels[query]]
    print(f"served: a {asked}, a digit the network never saw; its neighbours: {' '.join(found)}")

    picture = gallery(
        unseen.images[[query]],
        unseen.images[nearest][None],
        unseen.labels[nearest][None] == unseen.labels[query],
        captions=[asked],
    )
    save_png(picture, folder / "pictures" / "served.png")
    print("Look at:")
    for file in ("README.md", "pictures/gallery.png", "pictures/served.png", "metrics.json"):
        print(f"  {folder / file}")
    print(f"  {latest(folder / 'saved_model')}  (the SavedModel)")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "out/digits-triplet"))
