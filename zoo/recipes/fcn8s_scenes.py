"""Segmentation of digit scenes by FCN-32s, FCN-16s and FCN-8s, from a classifier, end to end.

    keras-metric train fcn8s-scenes --seeds 3

Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation", 2015, section
4, arXiv:1411.4038; their Table 2 has mean IU 59.4 (32s), 62.4 (16s), 62.7 (8s) on VOC. A classifier
with five pooling layers learns windows of scenes (`epochs`), is made fully convolutional, and
becomes three networks that score its last map and, with skips, finer maps. They are trained on the
same batches (`refine_epochs`), each with its own weights from the same initial values. They differ
only in their skips.

Measured: 3 seeds, 16 epochs, 35.3 minutes on two cores in all: mean IU 0.5051 (0.4813 to
0.5425), pixel accuracy 0.9233 (0.9199 to 0.9287).
"""

import keras
import numpy as np
from keras import layers

from keras_metric import convert
from zoo.datasets.scenes.scene_batches import SceneBatches, label_maps
from zoo.datasets.scenes.scene_windows import SceneWindows
from zoo.datasets.sources import digit_scenes
from zoo.recipe import Recipe
from zoo.recipes import _digits
from zoo.reports.scene_pictures import labelled_pixels
from zoo.training.experiments import Experiment, Measured, Picture, Split

WINDOW = 64
FILTERS = (12, 24, 48, 64, 64)
NETS = {
    "FCN-32s": [],
    "FCN-16s": ["block4_pool"],
    "FCN-8s": ["block4_pool", "block3_pool"],
}
SCENES = {"side": 48, "glyphs": (2, 5), "boxes": "frame"}


def data(settings, folder):
    size, count = settings["size"], settings["scenes"]
    return Split(
        digit_scenes.load("train", size, count=10**9, seed=settings["seed"], **SCENES),
        digit_scenes.load("validation", size, count=count, **SCENES),
        digit_scenes.load("test", size, count=count, **SCENES),
    )


def build(settings, split):
    x = image = keras.Input((WINDOW, WINDOW, 1), name="images")
    x = layers.Rescaling(1 / 255, name="scaling")(x)
    for block, filters in enumerate(FILTERS, 1):
        x = layers.Conv2D(filters, 3, padding="same", use_bias=False, name=f"block{block}_conv")(x)
        x = layers.BatchNormalization(momentum=0.9, name=f"block{block}_norm")(x)
        x = layers.ReLU(name=f"block{block}_relu")(x)
        x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    x = layers.Flatten(name="flatten")(x)
    x = layers.Dense(settings["hidden"], "relu", name="hidden")(x)
    x = layers.Dense(len(split.train.names) + 1, name="logits")(x)
    return keras.Model(image, x, name="window_classifier")


def experiment(settings, model, split):
    model.compile(_adam(settings, "epochs"), _loss(), metrics=["accuracy"])
    options = {"side": WINDOW, "batch_size": settings["windows"], "near": 6, "far": 14}
    return Experiment(
        model,
        SceneWindows(split.train, batches_per_epoch=settings["batches_per_epoch"], **options),
        SceneWindows(split.validation, batches_per_epoch=2, fixed=True, **options),
    )


def refine(settings, model, split):
    fcn = convert.to_fully_convolutional(model)
    classes = len(split.train.names) + 1
    image = keras.Input((None, None, 1), name="images")
    nets = {
        name: convert.upsample(fcn, classes, features="hidden", skips=skips, name=name)(image)
        for name, skips in NETS.items()
    }
    trio = keras.Model(image, nets, name="fcn_32s_16s_8s")
    trio.compile(
        _adam(settings, "refine_epochs"),
        {name: _loss() for name in NETS},
        metrics={name: convert.MeanIU(classes) for name in NETS},
    )
    size = settings["batch_size"]
    return trio, Experiment(
        trio,
        SceneBatches(
            split.train, size, targets=_targets, batches_per_epoch=settings["batches_per_epoch"]
        ),
        SceneBatches(split.validation, size, targets=_targets, batches_per_epoch=4, fixed=True),
    )


def measure(settings, model, split):
    pictures, scenes = split.test.batch(range(len(split.test)))
    true = label_maps(split.test, scenes)
    logits = model.predict(pictures, batch_size=8, verbose=0)
    nothing = np.zeros((*true.shape, len(split.test.names) + 1), np.float32)
    nothing[..., 0] = 1
    found = {name: _measured(true, logits[name]) for name in NETS}
    return Measured(
        found.pop("FCN-8s"),
        {**dict(reversed(found.items())), "background everywhere": _measured(true, nothing)},
    )


def pictures(settings, model, split):
    images, scenes = split.test.batch(range(min(4, len(split.test))))
    logits = model.predict(images, batch_size=4, verbose=0)
    columns = {"truth": label_maps(split.test, scenes)}
    columns |= {name: logits[name].argmax(-1) for name in NETS}
    caption = "Test scenes: the label of every pixel, in truth and as each network sees it."
    return {
        "labels.png": Picture(labelled_pixels(images, columns, split.test.names), caption),
    }


def served(settings, model):
    return model.get_layer("FCN-8s"), {}


def _measured(true, scores):
    values = {}
    for metric in (convert.MeanIU(scores.shape[-1]), convert.PixelAccuracy(scores.shape[-1])):
        metric.update_state(true, scores)
        values[metric.name.replace("_", " ").replace("iu", "IU")] = round(float(metric.result()), 6)
    return values


def _targets(scenes, batch):
    return dict.fromkeys(NETS, label_maps(scenes, batch))


def _loss():
    return keras.losses.SparseCategoricalCrossentropy(from_logits=True)


def _adam(settings, epochs):
    rate, steps = settings["learning_rate"], settings[epochs] * settings["batches_per_epoch"]
    return keras.optimizers.Adam(keras.optimizers.schedules.CosineDecay(rate, steps))


RECIPE = Recipe(
    settings={
        "seed": 0,
        "epochs": 6,
        "refine_epochs": 10,
        "batches_per_epoch": 40,
        "windows": 60,
        "batch_size": 8,
        "hidden": 128,
        "size": 128,
        "scenes": 100,
        "learning_rate": 2e-3,
    },
    data=data,
    build=build,
    experiment=experiment,
    measure=measure,
    license=_digits.LICENSE,
    refine=refine,
    pictures=pictures,
    served=served,
    column="FCN-8s",
    task="image-segmentation",
    protocol=(
        "Evaluated on every pixel of scenes of digits that are in no training scene. Mean IU is "
        "over the background and the ten digits; columns differ only in their skips."
    ),
    limits=(
        "It shows the effect of skips, on digits about 48 pixels high. White ink on black can be "
        "found by a threshold: what is learned is the class of each pixel. The SavedModel is "
        "FCN-8s: images of any size, logits of the background and the digits 0 to 9 for every "
        "pixel."
    ),
)
