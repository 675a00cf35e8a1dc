"""Pretrained networks by name, with weights from installed packages.

Wherever a command or `zoo.load` takes a model, `efficientnet_lite0` is that network with its
ImageNet weights as features, and `efficientnet_lite0_imagenet` its classifier of 1,000 classes,
without training or download.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import keras

__all__ = ["backbone", "backbones", "is_backbone"]

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


def backbone(name: str) -> keras.Model:
    """The network `name`: features of unit length `(B, H, W, 3) -> (B, 1280)`, or a classifier.

    A classifier takes images of any size and returns the logits of 1,000 classes.

    Raises:
        ImportError: the package with the weights is not installed; the error has the command.
    """
    from zoo.encoders import build

    if name.endswith(_CLASSIFIER):
        name = name.removesuffix(_CLASSIFIER)
        return build(name, (None, None, 3), classes=1000, weights="imagenet")
    shape = (_SIDES[name], _SIDES[name], 3)
    return build(name, shape, embedding=None, normalize=True, weights="imagenet")
