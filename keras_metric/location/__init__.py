"""Find an object in larger images: `locate`, and `Locator`, which is built once for many calls.

    found = km.locate(encoder, exemplar, scene)     # [Location(box, score, scale), ...], best first

The encoder need not have been trained on the class of the object, only for similarity.
"""

from collections.abc import Callable, Sequence

import keras
import numpy as np

from keras_metric.location.levels import (
    Level,
    Location,
    check_choice,
    find,
    heat,
    pyramid,
    resized,
)
from keras_metric.location.locator import SCALES, Locator

__all__ = [
    "Level",
    "Location",
    "Locator",
    "check_choice",
    "find",
    "heat",
    "locate",
    "pyramid",
    "resized",
]


def locate(
    encoder: keras.Model,
    exemplar: np.ndarray,
    scene: np.ndarray,
    *,
    scales: Sequence[float] = SCALES,
    threshold: float | None = None,
    top: int = 10,
    overlap: float = 0.3,
    combine: str = "best",
    distance: str | Callable = "cosine",
    densify: int = 1,
) -> list[Location] | list[list[Location]]:
    """Find the places in a scene that look like an exemplar, best first.

        score(window) = 1 - distance(encoder(exemplar), encoder(window))

    for all windows of the scene at once: the encoder is made fully convolutional, and its map of
    embeddings is compared with the embedding of the exemplar. At each scale the scene is resized
    so that an object `scale` times as large as the exemplar fills a window of the encoder. Peaks
    of the score maps become boxes; of overlapping boxes only the best is kept.

    Args:
        encoder: any built Keras model `(B, H, W, C) -> (B, D)` that can be converted. With 'valid'
            padding each score is exactly that of the window alone.
        exemplar: `(h, w, C)`, or several images of the same thing `(K, h, w, C)`, in the range of
            values the encoder was trained on. It is resized to the encoder's input.
        scene: `(H, W, C)`, or a batch `(B, H, W, C)` of one size.
        scales: sizes to search for, relative to the exemplar. Those at which the exemplar is larger
            than the scene are skipped.
        threshold: minimum score; None returns the best `top` regardless of their score.
        top: maximum number of boxes in a scene.
        overlap: maximum intersection over union of two boxes.
        combine: with several exemplars, the score of the "best" or the "mean" of their scores.
        distance: a name or function of `km.distances`.
        densify: how many times closer the cells are, as in `to_fully_convolutional`.

    Returns:
        A list of `Location(box, score, scale)`, boxes `(left, top, right, bottom)`; for a batch a
        list of such lists.

    Raises:
        ValueError: images of another rank or number of channels, empty ones, an exemplar that is
            larger than the scene at every scale, or an argument out of range.
        ConversionError: the encoder cannot be made fully convolutional.

    Bertinetto et al., "Fully-Convolutional Siamese Networks for Object Tracking", 2016,
    arXiv:1606.09549, eq. 1 (correlation of an exemplar with a map of embeddings).
    """
    shape = np.shape(exemplar)[-3:] if _has_free_size(encoder) else None
    locator = Locator(encoder, scales=scales, distance=distance, densify=densify, input_shape=shape)
    return locator(exemplar, scene, threshold=threshold, top=top, overlap=overlap, combine=combine)


def _has_free_size(encoder: keras.Model) -> bool:
    shape = getattr(encoder, "input_shape", None)
    return not isinstance(shape, tuple) or None in shape[1:]
