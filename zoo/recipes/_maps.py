"""What the recipes of activation maps share: presence as the only label, methods, pictures."""

from collections.abc import Sequence

import keras
import numpy as np

from keras_metric import cam, plots
from zoo import encoders
from zoo.evaluation.map_measures import Cases, explainers, maps_of
from zoo.recipe import Settings
from zoo.training import experiments
from zoo.training.experiments import Experiment, Picture

METHODS = (  # written out: settings are what a run is known by, and new methods change no old run
    "cam,gradcam++,layercam,finercam,eigencam,eigengradcam,scorecam,ablationcam,fullgrad"
)
SHOWN = ("cam", "gradcam++", "layercam", "scorecam", "ablationcam", "eigencam", "fullgrad")
EQUAL = (
    "With global average pooling gradcam, hirescam, xgradcam and shapleycam give the map of cam, "
    "up to a factor, and are omitted."
)
LIMITS = (
    "The network predicts which kinds a picture shows; it was trained without positions. Its maps "
    "show what influenced its scores and are not a detector: boxes around them follow the parts "
    "that distinguish the kinds, not outlines. The numbers are valid for pictures of the kind it "
    "was trained on."
)


def build(shape: tuple[int | None, int | None, int], kinds: int) -> keras.Model:
    """Six convolutions, global average pooling, a logit for each kind: maps are exact."""
    return encoders.build("grid", shape, classes=kinds)


def experiment(
    settings: Settings, model: keras.Model, batches, validation, kinds: int
) -> Experiment:
    """Every kind is there or not: binary cross-entropy, and the area under precision and recall."""
    methods(settings)
    model.compile(
        experiments.adam(settings),
        keras.losses.BinaryCrossentropy(from_logits=True),
        metrics=[_area(kinds)],
    )
    return Experiment(model, batches, validation)


def presence(model: keras.Model, batches, kinds: int) -> float:
    """Area under precision and recall, the mean over kinds."""
    area = _area(kinds)
    for i in range(len(batches)):
        images, present = batches[i]
        area.update_state(present, model.predict(images, verbose=0))
    return float(area.result())


def methods(settings: Settings) -> list[str]:
    """`cam`, which the card's first table is about, and the other methods asked for.

    Raises `ValueError` for one that is not in the table.
    """
    names = str(settings["methods"]).split(",")
    unknown = [name for name in names if name not in cam.METHODS]
    if unknown:
        raise ValueError(
            f"Unknown map method. Expected: one of {', '.join(cam.METHODS)}. "
            f"Received: {unknown[0]!r}."
        )
    return ["cam", *(name for name in names if name != "cam")]


def pictures(
    settings: Settings, model: keras.Model, cases: Cases, kinds: Sequence[str]
) -> dict[str, Picture]:
    """A grid: what methods show in some cases, and cam after weights were shuffled."""
    names = [name for name in methods(settings) if name in SHOWN]
    maps = {name: maps_of(explain, cases) for name, explain in explainers(model, names).items()}
    maps["cam, weights\nshuffled"] = maps_of(cam.CAM(cam.scores.shuffled(model)), cases)
    grid = plots.comparison(
        np.stack([_outlined(*case) for case in zip(cases.images, cases.boxes, strict=True)]),
        maps,
        titles=[kinds[label] for label in cases.classes],
    )
    caption = (
        "Pictures not used for training, with the true boxes of the named kind, and the maps of "
        "each method."
    )
    return {"maps.png": Picture(grid, caption)}


def _area(kinds: int) -> keras.metrics.AUC:
    return keras.metrics.AUC(
        curve="PR", multi_label=True, num_labels=kinds, from_logits=True, name="area"
    )


def _outlined(image: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """The picture in colours, its boxes outlined."""
    image = np.repeat(image, 3, axis=-1) if image.shape[-1] == 1 else image.copy()
    for left, top, right, bottom in np.rint(boxes).astype(int):
        for rows, columns in (
            (slice(top, bottom), [left, right - 1]),
            ([top, bottom - 1], slice(left, right)),
        ):
            image[rows, columns] = (0, 255, 0)
    return image
