"""What `embedding.py` compares: from a model's file and a folder to an embedding of every image.

A step opens the model, decodes every photograph (small ones: the median has 120 x 160 pixels),
brings it to the size of the network and embeds it. The floor is what one writes in Keras:
`image_dataset_from_directory`, whose threads decode beside the network, and `model.predict`; it
keeps the answers in memory, knows no paths, and ends at the first damaged file. It scales by four
pixels of each photograph, where ours looks at all: "antialias" is the floor that does as well.
`zoo.inference.bulk.embed` leaves Parquet shards on the disk.
"""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

RESNET, EXPORTED, SMALL = "ResNet-18", "ResNet-18, a SavedModel", "four convolutions"
CASES = (RESNET, EXPORTED, SMALL)
IMAGES = 10
CONTENDERS = {
    "keras-metric/tensorflow": CASES,
    "floor/tensorflow": CASES,
    "antialias/tensorflow": CASES,
}
SIDE, BATCH = 96, 64
ROOT = Path(__file__).resolve().parent.parent


def build(contender: str, case: str, size: int):
    """A step that embeds `size` photographs and returns the mean of the numbers' magnitudes."""
    place = Path(tempfile.mkdtemp(prefix="embedding-"))
    photographs = linked(place / "photographs", size)
    ours = contender.startswith("keras-metric")
    network = small() if case == SMALL else resnet()
    model = saved(network, place, exported=ours and case == EXPORTED)
    if not ours:
        images = _four_pixels if contender.startswith("floor") else _all_pixels
        return lambda: _predict(model, images(photographs))
    return lambda: _embed(model, photographs, place / "shards")


def _embed(model: Path, photographs: Path, out: Path) -> float:
    from keras_metric.retrieval.storage.shards import read_shards
    from zoo.inference.bulk import embed

    shutil.rmtree(out, ignore_errors=True)
    embed(model, photographs, out, batch=BATCH)
    return float(np.mean([np.abs(shard.embeddings).mean() for shard in read_shards(out)]))


def _predict(model: Path, images) -> float:
    import keras

    network = keras.saving.load_model(model, compile=False)
    return float(np.abs(network.predict(images, verbose=0)).mean())


def _four_pixels(photographs: Path):
    import keras

    return keras.utils.image_dataset_from_directory(
        photographs,
        labels=None,
        image_size=(SIDE, SIDE),
        batch_size=BATCH,
        shuffle=False,
        verbose=False,
    )


def _all_pixels(photographs: Path):
    """Decoded exactly, and scaled by the filter that Pillow calls BILINEAR."""
    import tensorflow as tf

    def read(file):
        pixels = tf.io.decode_jpeg(tf.io.read_file(file), 3, dct_method="INTEGER_ACCURATE")
        return tf.round(tf.image.resize(pixels, (SIDE, SIDE), antialias=True))

    files = tf.data.Dataset.from_tensor_slices(sorted(map(str, photographs.iterdir())))
    side_by_side = tf.data.AUTOTUNE
    return files.map(read, num_parallel_calls=side_by_side).batch(BATCH).prefetch(side_by_side)


def resnet():
    """ResNet-18, 128 numbers of unit length."""
    from zoo import encoders

    return encoders.build("resnet18", (SIDE, SIDE, 3), embedding=128, normalize=True)


def small():
    """Four convolutions of 16 to 128 channels, 128 numbers of unit length."""
    import keras
    from keras import layers

    keras.utils.set_random_seed(0)
    image = x = keras.Input((SIDE, SIDE, 3))
    x = layers.Rescaling(1 / 255)(x)
    for channels in (16, 32, 64, 128):
        x = layers.Conv2D(channels, 3, padding="same", use_bias=False)(x)
        x = layers.MaxPooling2D()(layers.ReLU()(layers.BatchNormalization()(x)))
    x = layers.Dense(128)(layers.GlobalAveragePooling2D()(x))
    return keras.Model(image, layers.UnitNormalization()(x))


def saved(network, place: Path, *, exported: bool) -> Path:
    """The file of a network, or its SavedModel."""
    from keras_metric.export import saved_model

    if exported:
        return saved_model(network, place / "served")
    network.save(place / "network.keras")
    return place / "network.keras"


def linked(folder: Path, size: int) -> Path:
    """A folder of links to `size` photographs, over again where there are too few."""
    data = Path(os.environ.get("KERAS_METRIC_DATA", ROOT.parent / "shared" / "data"))
    found = sorted((data / "clothing" / "train").rglob("*.jpg"))
    if not found:
        raise FileNotFoundError(
            f"There are no photographs. Expected: the clothing data set in {data} (set "
            "KERAS_METRIC_DATA). Received: none."
        )
    folder.mkdir()
    for number in range(size):
        (folder / f"{number:07d}.jpg").symlink_to(found[number % len(found)])
    return folder
