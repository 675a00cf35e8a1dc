"""Models by name, wherever a command or `zoo.load` takes a model: no training, no download.

- `efficientnet_lite0` is that network with its ImageNet weights, from an installed package, as
  features, and `efficientnet_lite0_imagenet` its classifier of 1,000 classes.
- `omniglot-infonce` is the model that the recipe of that name has trained; its weights are part of
  this package. `zoo.trained()` lists these models.

An existing file or folder of that name has priority. What commands write beside a model (an index,
a threshold, a SavedModel) is kept in `out/NAME` for a network and in `out/trained/NAME` for a
trained model: `out/NAME` is the run that you train yourself.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zoo.pretrained.catalog import TrainedModel, is_trained, trained

if TYPE_CHECKING:
    import keras

    from keras_metric.preprocessing import Preprocessing

__all__ = [
    "TrainedModel",
    "backbone",
    "backbones",
    "is_backbone",
    "is_named",
    "is_trained",
    "preprocessing",
    "trained",
    "whole",
    "written_to",
]

_SIDES = {  # pixels the weights were trained at
    "efficientnet_lite0": 224,
    "efficientnet_lite1": 240,
    "efficientnet_lite2": 260,
    "mobilenet_v2": 224,
}


_CLASSIFIER = "_imagenet"


def backbones() -> tuple[str, ...]:
    """The names of the pretrained networks."""
    classifiers = [f"{name}{_CLASSIFIER}" for name in _SIDES if name.startswith("efficientnet")]
    return (*_SIDES, *classifiers)


def is_backbone(model: str | Path) -> bool:
    """Whether `model` names a pretrained network; an existing file or folder has priority."""
    return str(model) in backbones() and not Path(model).exists()


def is_named(model: str | Path) -> bool:
    """Whether `model` names a pretrained network or a trained model, and no file or folder."""
    return is_backbone(model) or is_trained(model)


def written_to(model: str | Path) -> Path:
    """The folder of what belongs to a model given by name; of any other, `model` itself."""
    if is_trained(model):
        return Path("out") / "trained" / model
    return Path("out") / model if is_backbone(model) else Path(model)


def preprocessing(name: str) -> Preprocessing:
    """How pictures become the input of the network `name`; its weights are not needed.

    Features take pictures stretched to the size that the weights were trained at, a classifier
    pictures of any size (docs/preprocessing.md has what stretching, cropping and letterboxing
    measure).
    """
    from keras_metric.preprocessing import Preprocessing

    side = _SIDES.get(name)
    return Preprocessing(None if side is None else (side, side))


def backbone(name: str) -> keras.Model:
    """The network `name`: features of unit length `(B, H, W, 3) -> (B, 1280)`, or a classifier.

    A classifier takes images of any size and returns the logits of 1,000 classes.

    Raises:
        ImportError: the package with the weights is not installed; the error has the command.
    """
    from keras_metric.preprocessing import attach
    from zoo.encoders import build

    made = preprocessing(name)
    if name.endswith(_CLASSIFIER):
        name = name.removesuffix(_CLASSIFIER)
        return attach(build(name, made.shape, classes=1000, weights="imagenet"), made)
    model = build(name, made.shape, embedding=None, normalize=True, weights="imagenet")
    return attach(model, made)


def whole(name: str, model: keras.Model) -> keras.Model:
    """The model, on its backbone if the file of the trained model `name` is the head of one."""
    found = trained(name) if is_trained(name) else []
    if not found or found[0].backbone is None:
        return model
    import keras

    features = backbone(found[0].backbone)
    return keras.Model(features.input, model(features.output), name=name.replace("-", "_"))
