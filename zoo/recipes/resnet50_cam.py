"""ResNet50 of ImageNet, 2,048 maps behind global average pooling, explained on photographs.

    keras-metric train resnet50-cam --data FOLDER_OF_PHOTOS

Zhou et al., "Learning Deep Features for Discriminative Localization", 2016, arXiv:1512.04150:
CAM_c = w_1 f_1 + ... + w_2048 f_2048. Nothing is trained. The published weights are downloaded by
Keras; if that fails, the network has random weights, and log, results and card say so. Without a
folder the photographs are the two that come with scikit-learn.

Measured: 1 seed, no training: score - (map + bias), largest 4.796e-07, maps 2048, positions 49.
"""

import os
import sys
from pathlib import Path

import keras
import numpy as np

from keras_metric import Preprocessing, cam, image_files, plots
from zoo.datasets.images import Images
from zoo.datasets.reading._extras import need
from zoo.encoders.applications import is_offline
from zoo.encoders.layers import ImageNetScaling
from zoo.recipe import Recipe
from zoo.recipes import _maps
from zoo.training.experiments import Measured, Picture, Split

PREPROCESSING = Preprocessing((224, 224), resize="crop")
IMAGENET, RANDOM = "resnet50_imagenet", "resnet50_random"
WARNING = (
    "Random weights: this network has not learned anything, and its maps mean nothing. Only the "
    "identities hold."
)


def data(settings, folder):
    files = _photos(folder)
    chosen = np.linspace(0, len(files) - 1, min(len(files), settings["photos"])).astype(int)
    pixels = [PREPROCESSING.read(files[i]) for i in chosen]
    photos = Images(np.stack(pixels), np.zeros(len(pixels), int), ("photographs",))
    return Split(photos.where([]), photos.where([]), photos)


def build(settings, split):
    if settings["weights"] not in ("imagenet", "random"):
        raise ValueError(
            f"Unknown weights. Expected: 'imagenet' or 'random'. Received: {settings['weights']!r}."
        )
    network = None
    if settings["weights"] == "imagenet":
        try:
            network = keras.applications.ResNet50(weights="imagenet")
        except Exception as error:
            if not is_offline(error):
                raise
            print(f"resnet50-cam: {error}", file=sys.stderr)
    name = RANDOM if network is None else IMAGENET
    if network is None:
        print(f"resnet50-cam: {WARNING}", file=sys.stderr, flush=True)
        network = keras.applications.ResNet50(weights=None)
    photos = keras.Input(split.test.shape, name="images")
    features = keras.Model(network.input, network.layers[-2].input, name="resnet50")
    head = network.layers[-2:]
    x = features(ImageNetScaling("caffe", name="scaling")(photos))
    for layer in head:
        x = layer(x)
    return keras.Model(photos, x, name=name)


def preprocessing(settings):
    return PREPROCESSING


def experiment(settings, model, split):
    _maps.methods(settings)


def measure(settings, model, split):
    """How far score and map are apart, the largest over photographs and their five best classes."""
    photos = split.test.images
    first = cam.CAM(model)
    best = first.explain(photos, "top5")
    rows = {}
    for name in ("cam", "gradcam", "hirescam"):
        found = cam.CAM(model, name).completeness(photos, best.classes)
        scale = np.maximum(1.0, np.abs(found.score))
        rows[name] = {"score - (map + bias), largest": float(np.abs(found.residual / scale).max())}
    height, width = best.raw.shape[2:]
    shape = {"maps": float(model.layers[-1].kernel.shape[0]), "positions": float(height * width)}
    notes = () if model.name == IMAGENET else (WARNING,)
    return Measured({**rows.pop("cam"), **shape}, rows, notes=notes)


def pictures(settings, model, split):
    photos = split.test.images[:6]
    maps = {name: cam.CAM(model, name)(photos) for name in _maps.methods(settings)}
    best = cam.CAM(model).explain(photos).classes
    first = "" if model.name == IMAGENET else "random weights\n"
    grid = plots.comparison(photos, maps, titles=[f"{first}class {number}" for number in best])
    caption = "Photographs, and what speaks for the class that the network finds best."
    return {"maps.png": Picture(grid, caption if model.name == IMAGENET else WARNING)}


def _photos(folder) -> list[Path]:
    """All pictures of the given folder, else the two of scikit-learn."""
    given = folder if folder is not None else os.environ.get("KERAS_METRIC_DATA")
    if given is None:
        datasets = need("sklearn.datasets", extra="eval", purpose="The photographs")
        return sorted(Path(name) for name in datasets.load_sample_images().filenames)
    root = Path(given) / "clothing" if (Path(given) / "clothing").is_dir() else Path(given)
    files = sorted(found.path for found in image_files.below(root) if found.reason is None)
    if not files:
        raise FileNotFoundError(
            f"There are no photographs below {root}. Expected: files that end in "
            f"{', '.join(image_files.SUFFIXES)}. Received: none."
        )
    return files


RECIPE = Recipe(
    settings={
        "seed": 0,
        "epochs": 0,
        "photos": 6,
        "weights": "imagenet",
        "methods": "cam,gradcam++,layercam,eigencam",
    },
    data=data,
    build=build,
    experiment=experiment,
    measure=measure,
    pictures=pictures,
    preprocessing=preprocessing,
    license="photographs: their own; weights: as Keras publishes them",
    column="cam",
    task="image-classification",
    protocol="The identity of each method, relative to scores above 1: for `cam` the mean over "
    "positions of the map plus the bias is the score before softmax.",
    limits="The classes are those of ImageNet. A map shows what influenced the score of a class, "
    "not whether the class is correct, and it has 7 x 7 positions for 224 x 224 pixels.",
)
