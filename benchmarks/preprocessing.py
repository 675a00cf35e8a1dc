"""The same photographs through every way into a model that letterboxes: recall and arrays compared.

    python benchmarks/preprocessing.py clothing          # folders train and validation in it

A small network is trained on letterboxed photographs and stores that preprocessing. Its embeddings
of the validation photographs are computed from the arrays of training, by `embed` and `index`, by
batches of a folder, by the page of the demo, and by the served graph from the bytes of the files;
then from photographs that are preprocessed in another way.
"""

import argparse
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

import keras_metric as km
import zoo
from keras_metric.preprocessing import attach
from zoo import encoders
from zoo.datasets.reading import folders
from zoo.demo.picture import uploaded
from zoo.inference.bulk import networks
from zoo.inference.collecting import collect

SIDE, BATCH = 48, 32
OWN = km.Preprocessing((SIDE, SIDE), resize="letterbox", fill=255)


def trained(photos, epochs: int) -> keras.Model:
    """A small encoder of letterboxed photographs, which stores how they were preprocessed."""
    keras.utils.set_random_seed(0)
    encoder = encoders.build("conv4", (SIDE, SIDE, 3), embedding=64, normalize=True)
    encoder.compile(keras.optimizers.Adam(1e-3), loss=km.losses.SupConLoss(temperature=0.1))
    sizes = {"classes_per_batch": 10, "images_per_class": 6, "batches_per_epoch": 43}
    batches = km.batches.PKBatches(photos.images, photos.labels, **sizes, seed=0)
    encoder.fit(batches, epochs=epochs, verbose=2)
    return attach(encoder, OWN)


def embeddings(encoder: keras.Model, images) -> np.ndarray:
    return np.asarray(encoder.predict(np.asarray(images, "float32"), batch_size=64, verbose=0))


def ways(path: Path, encoder: keras.Model, folder: Path) -> dict[str, np.ndarray]:
    """Name of each way in -> embeddings of the photographs of a folder, in one order."""
    found = collect(path, folder)
    contents = [Path(file).read_bytes() for file in found.files]
    network = networks.load(networks.locate(path))
    page = np.stack([uploaded(content, network.preprocessing).fed for content in contents])
    batches = km.batches.FolderImages(folder, preprocessing=zoo.preprocessing(path))
    with tempfile.TemporaryDirectory() as place:
        served = tf.saved_model.load(str(zoo.export(path, place))).signatures["bytes"]
        parts = [contents[at : at + BATCH] for at in range(0, len(contents), BATCH)]
        answers = [served(image_bytes=tf.constant(part))["embeddings"] for part in parts]
    return {
        "embed, index, search": found.embeddings,
        "FolderImages": embeddings(encoder, batches[np.arange(len(batches))]),
        "page": network(page),
        "served bytes": np.concatenate(answers),
        "another one: stretched": collect(path, folder, resize="stretch").embeddings,
        "another one: black margins": collect(path, folder, fill=0).embeddings,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("folder", type=Path, help="with the folders train and validation")
    parser.add_argument("--epochs", type=int, default=5)
    options = parser.parse_args()
    asked = folders.load(options.folder / "validation", OWN)
    encoder = trained(folders.load(options.folder / "train", OWN), options.epochs)
    wanted = embeddings(encoder, asked.images)
    print("| images through | recall@1 | largest difference of an embedding |\n|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "model.keras"
        encoder.save(path)
        found = ways(path, encoder, options.folder / "validation")
    for name, vectors in {"arrays of training": wanted, **found}.items():
        recall = km.metrics.retrieval(vectors, asked.labels, k=(1,))["recall@1"]
        print(f"| {name} | {recall:.4f} | {np.abs(vectors - wanted).max():.1e} |")


if __name__ == "__main__":
    main()
