"""What the recipes that find things in scenes share: training on windows, the measure."""

from typing import Any

import keras
import numpy as np

from keras_metric import Locator, plots
from keras_metric.location import find, heat
from keras_metric.losses import InfoNCELoss
from zoo import encoders
from zoo.datasets.augmentation.warp import Warp
from zoo.datasets.batches import JoinedBatches
from zoo.datasets.images import Images
from zoo.datasets.scenes.scenes import Scenes
from zoo.datasets.scenes.windows import WindowBatches
from zoo.evaluation import finding
from zoo.evaluation.finding import Search
from zoo.recipe import Settings
from zoo.training.experiments import Experiment, Picture, Split, adam

SCALES = (0.85, 1.0, 1.2)
SHOWN = 4  # scenes on the card
PROTOCOL = (
    "Evaluated in scenes of classes that were not used for training: each exemplar is searched in "
    "every scene. A box is correct from an intersection over union of 1/2 on. Cross-correlation "
    "searches the same scenes at the same scales, with blurred pictures."
)
LIMITS = (
    "The encoder finds pictures of the kind it was trained on, of known and new classes, with "
    "`keras_metric.locate` or `keras-metric locate`. Scores are cosines: choose a threshold on "
    "your own scenes, some of them without the object."
)

augment = Warp(rotation=15, scale=0.15, shear=0.15, translation=0.07, elastic=0.02)


def search(
    settings: Settings,
    exemplars: Images,
    bank: Images,
    *,
    scales: tuple[float, ...] = SCALES,
    **drawn: Any,
) -> Search:
    """One exemplar or more of each class, to be found in scenes of other pictures.

    `drawn` are options of `Scenes`.
    """
    rng = np.random.default_rng(0)
    chosen = [
        rng.permutation(np.flatnonzero(exemplars.labels == label))[: settings["exemplars"]]
        for label in exemplars.classes
    ]
    scenes = Scenes(bank, settings["size"], settings["scenes"], 0, boxes="frame", **drawn)
    return Search(exemplars.where(np.concatenate(chosen)), scenes, scales)


def build(settings: Settings, split: Split) -> keras.Model:
    return encoders.build(
        "valid", split.validation.shape, embedding=settings["embedding"], normalize=True
    )


def experiment(settings: Settings, encoder: keras.Model, split: Split) -> Experiment:
    """InfoNCE on windows; where there are several sets to learn from, on some of each."""
    encoder.compile(adam(settings), InfoNCELoss(settings["temperature"]))
    sources = split.train if isinstance(split.train, tuple) else (split.train,)
    options = {
        "images": settings["images_per_class"],
        "steps": settings["batches_per_epoch"],
        "augment": augment,
    }
    batches = [_windows(settings, source, **options) for source in sources]
    return Experiment(
        encoder,
        batches[0] if len(batches) == 1 else JoinedBatches(batches),
        _windows(settings, split.validation, images=2, steps=2, fixed=True),
    )


def pictures(settings: Settings, encoder: keras.Model, split: Split) -> dict[str, Picture]:
    """The first scenes, each searched for its first character."""
    search = split.test
    locator = Locator(encoder, scales=search.scales)
    drawn = {}
    for number in range(min(SHOWN, len(search.scenes))):
        scene = search.scenes[number]
        wanted = scene.labels[0] if len(scene.labels) else search.exemplars.labels[0]
        exemplar = search.exemplars.images[search.exemplars.labels == wanted][0]
        levels = locator.levels(exemplar, scene.image)
        found = find(levels, threshold=None, overlap=finding.OVERLAP, top=4)
        figure = plots.search(
            exemplar,
            scene.image,
            [one.box for one in found],
            [one.score for one in found],
            heat(levels, scene.image.shape[:2]),
        )
        caption = f"Scene {number} searched for {search.exemplars.names[wanted]}; first is best."
        drawn[f"scene-{number}.png"] = Picture(figure, caption)
    return drawn


def _windows(settings, seen: Images, *, images: int, steps: int, **options) -> WindowBatches:
    return WindowBatches(
        seen.images,
        seen.labels,
        classes_per_batch=min(settings["classes_per_batch"], len(seen.classes)),
        images_per_class=images,
        batches_per_epoch=steps,
        seed=settings["seed"],
        **options,
    )


def measure(settings: Settings, encoder: keras.Model, split: Split):
    return (
        finding.by_embedding(encoder, split.test),
        {"cross-correlation": finding.by_correlation(split.test, settings["blur"])},
    )
