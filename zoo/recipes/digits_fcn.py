"""Classifier of windows, made fully convolutional: finds the digits in scenes of many, and clutter.

    keras-metric train digits-fcn --seeds 3

Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation", 2015, section
3.1, and Sermanet et al., "OverFeat", 2013. A network without padding learns to classify
windows of scenes: the digit at their center, or "nothing" for off-center digits, clutter and
background. Converted, it scores every window of a scene in one pass, 4 pixels apart. Digits of the
test scenes are in no training scene. Boxes and thresholds are chosen on validation scenes.

Measured: 3 seeds, 14 epochs, 11.0 minutes on two cores in all: AP@0.5 0.9705 (0.9609 to
0.9769), AP@0.5 of the place 0.9985 (0.998 to 0.999), AP@0.75 0.4264 (0.3999 to 0.4614).
"""

import keras
from keras import layers

from keras_metric import convert
from zoo.datasets.scenes.scene_windows import SceneWindows
from zoo.datasets.sources import digit_scenes
from zoo.evaluation import blobs, detecting
from zoo.recipe import Recipe
from zoo.recipes import _digits
from zoo.reports.scene_pictures import found_boxes
from zoo.training.experiments import Experiment, Measured, Picture, Split, adam

SIDE = 32
BUSY = {"boxes": "frame", "strokes": (0, 4), "fragments": (1, 6)}


def data(settings, folder):
    size, count = settings["size"], settings["scenes"]
    return Split(
        digit_scenes.load("train", 96, count=10**9, seed=settings["seed"], **BUSY),
        digit_scenes.load("validation", size, count=count, **BUSY),
        digit_scenes.load("test", size, count=count, **BUSY),
    )


def build(settings, split):
    options = {"activation": "relu", "kernel_initializer": "he_normal"}
    x = image = keras.Input((SIDE, SIDE, 1), name="images")
    x = layers.Rescaling(1 / 255, name="scaling")(x)
    for block, filters in enumerate((16, 32), 1):
        for conv in (1, 2):
            x = layers.Conv2D(filters, 3, name=f"block{block}_conv{conv}", **options)(x)
        x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(settings["hidden"], name="hidden", **options)(x)
    x = layers.Dropout(settings["dropout"], name="dropout")(x)
    x = layers.Dense(len(split.train.names) + 1, "softmax", name="probabilities")(x)
    return keras.Model(image, x, name="digits_fcn")


def experiment(settings, model, split):
    model.compile(adam(settings), "sparse_categorical_crossentropy", metrics=["accuracy"])
    batches = {key: settings[key] for key in ("batch_size", "near", "far")}
    return Experiment(
        model,
        SceneWindows(
            split.train, side=SIDE, batches_per_epoch=settings["batches_per_epoch"], **batches
        ),
        SceneWindows(split.validation, side=SIDE, batches_per_epoch=4, fixed=True, **batches),
    )


def measure(settings, model, split):
    fcn, places, choice = _detector(settings, model, split)
    pictures, true = detecting.images(split.test), detecting.truth(split.test)
    maps = detecting.maps_of(fcn, pictures)
    crops = detecting.maps_by_crops(model, pictures, int(places.stride[0]))
    bank, seen = split.train.bank, detecting.images(split.validation)
    seen_true = detecting.truth(split.validation)
    level = blobs.chosen(seen, bank, seen_true)
    apart = detecting.threshold(blobs.boxes_of(seen, bank, level), seen_true)

    def results(maps):
        found = detecting.boxes_of(maps, places, choice)
        return detecting.measured(found, true, choice.threshold)

    return Measured(
        {**results(maps), "largest difference to crops": float(abs(maps - crops).max())},
        {
            "the classifier on crops": results(crops),
            "blobs, nearest picture": detecting.measured(
                blobs.boxes_of(pictures, bank, level), true, apart
            ),
        },
    )


def pictures(settings, model, split):
    fcn, places, choice = _detector(settings, model, split)
    images, scenes = split.test.batch(range(min(8, len(split.test))))
    found = detecting.boxes_of(detecting.maps_of(fcn, images), places, choice)
    sure = [
        one._replace(**{k: v[one.scores >= choice.threshold] for k, v in one._asdict().items()})
        for one in found
    ]
    true = [detecting.Boxes(scene.boxes, scene.labels) for scene in scenes]
    caption = "Test scenes: found and right in green, found and wrong in red, missed dashed."
    return {"scenes.png": Picture(found_boxes(images, sure, true, split.test.names), caption)}


def served(settings, model):
    return convert.to_fully_convolutional(model), {}


def _detector(settings, model, split):
    """The converted network, its geometry, and what validation scenes decide."""
    fcn = convert.to_fully_convolutional(model)
    places = convert.geometry(fcn)
    maps = detecting.maps_of(fcn, detecting.images(split.validation))
    return fcn, places, detecting.chosen(maps, places, detecting.truth(split.validation))


RECIPE = Recipe(
    settings={
        "seed": 0,
        "epochs": 14,
        "batches_per_epoch": 100,
        "batch_size": 96,
        "hidden": 64,
        "dropout": 0.3,
        "near": 3,
        "far": 7,
        "size": 128,
        "scenes": 100,
        "learning_rate": 2e-3,
    },
    data=data,
    build=build,
    experiment=experiment,
    measure=measure,
    license=_digits.LICENSE,
    pictures=pictures,
    served=served,
    column="in one pass",
    task="object-detection",
    protocol=(
        "Evaluated on scenes of digits that are in no training scene; the size of the boxes and "
        "the threshold of precision and recall are chosen on validation scenes, also those of the "
        "baseline."
    ),
    limits=(
        "It finds single digits, white on black and 24 to 34 pixels high, among clutter like that "
        "of training. The SavedModel is the converted network: images of any size from 32 x 32, "
        'a map of probabilities, the last of them for "nothing".'
    ),
)
