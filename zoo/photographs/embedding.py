"""Photographs embedded once by each model: decoded by threads while the model works."""

from functools import lru_cache
from typing import NamedTuple
from weakref import WeakKeyDictionary

import keras
import numpy as np

from keras_metric.preprocessing import Preprocessing
from zoo import encoders, pretrained
from zoo.photographs.photos import BATCH, Photos


class Embedded(NamedTuple):
    """Embeddings `(M, D)` float32 of the photographs `rows` `(M,)` that could be read."""

    rows: np.ndarray
    embeddings: np.ndarray


_KNOWN: WeakKeyDictionary = WeakKeyDictionary()  # photos -> model -> Embedded


def embedded(model: keras.Model, photos: Photos, *, workers: int = 2) -> Embedded:
    """The embeddings of photographs; asked for again, they are not computed again.

    Raises:
        ValueError: not one of them can be read.
    """
    known = _KNOWN.setdefault(photos, WeakKeyDictionary())
    if model not in known:
        known[model] = _embedded(model, photos, workers)
    return known[model]


def _embedded(model, photos: Photos, workers: int) -> Embedded:
    parts = []
    for rows, images in photos.batches(workers):
        parts.append((rows, _predicted(model, images)))
    if not parts:
        raise ValueError(
            f"Not one of {len(photos):,} photographs can be read. Expected: pictures. Received: "
            f"{next(iter(photos.images.broken.values()), 'none')}"
        )
    rows, embeddings = zip(*parts, strict=True)
    return Embedded(np.concatenate(rows), np.concatenate(embeddings))


def _predicted(model, images: np.ndarray) -> np.ndarray:
    """In batches of one size, so that nothing is compiled anew for the last one."""
    lacking = BATCH - len(images)
    filled = np.concatenate([images, np.zeros((lacking, *images.shape[1:]), np.uint8)])
    return np.asarray(model.predict_on_batch(filled), np.float32)[: len(images)]


@lru_cache(maxsize=1)
def frozen(backbone: str, shape: tuple[int, int, int]) -> keras.Model | None:
    """The backbone with its ImageNet weights and its features as they are; None for one without."""
    if backbone not in pretrained.backbones():
        return None
    return encoders.build(backbone, shape, embedding=None, weights="imagenet")


def pixels(photos: Photos, side: int = 32, *, workers: int = 2) -> Embedded:
    """Photographs as vectors of their own pixels, `side` x `side`, stretched: (M, 3 side^2)."""
    small = photos.read_as(Preprocessing((side, side)))
    parts = [(rows, images.reshape(len(images), -1)) for rows, images in small.batches(workers)]
    rows, values = zip(*parts, strict=True)
    return Embedded(np.concatenate(rows), np.concatenate(values).astype(np.float32) / 255)
