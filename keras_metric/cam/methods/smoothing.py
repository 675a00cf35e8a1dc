"""Smoothing: the mean of the raw maps of several versions of the same images.

"noise": Gaussian noise of a share of each image's range, the same for every image of a batch, so
that a map does not depend on the others (Smilkov et al. 2017. arXiv:1706.03825).
"flips": the images and their mirror images, whose maps are mirrored back.
"""

from collections.abc import Callable, Iterable

import keras
import numpy as np
from keras import ops

from keras_metric.arguments import number, whole
from keras_metric.cam.network.positions import Image

KINDS = (None, "noise", "flips")


def check(smooth: str | None, samples: int, noise: float) -> None:
    whole("samples", samples)
    number("noise", noise, above=0)
    if smooth not in KINDS:
        raise ValueError(
            "Unknown smoothing. Expected: one of None, 'noise', 'flips'. "
            f"Received: smooth={smooth!r}."
        )


def smoothed(
    raw: Callable,
    inputs,
    images: Iterable[Image],
    smooth: str,
    *,
    samples: int,
    noise: float,
    seed: int,
) -> list[np.ndarray]:
    """The mean over versions; `raw(inputs)` gives a list of maps `(B, M, h, w)`."""
    images = {image.number: image for image in images}
    if smooth == "flips":

        def mirrored(pixels, image):
            return np.flip(pixels, image.axes[-1])

        back = [maps[..., ::-1] for maps in raw(_changed(inputs, images, mirrored))]
        return _mean([raw(inputs), back])
    rng = np.random.default_rng(seed)

    def noisy(pixels, image):
        places = tuple(range(1, pixels.ndim))
        scale = noise * (pixels.max(places, keepdims=True) - pixels.min(places, keepdims=True))
        return pixels + scale * rng.normal(size=(1, *pixels.shape[1:]))

    return _mean([raw(_changed(inputs, images, noisy)) for _ in range(samples)])


def _changed(inputs, images: dict[int, Image], change: Callable):
    flat = list(keras.tree.flatten(inputs))
    for i, image in images.items():
        pixels = ops.convert_to_numpy(ops.cast(flat[i], "float32"))
        changed = np.ascontiguousarray(change(pixels, image), "float32")
        flat[i] = ops.cast(ops.convert_to_tensor(changed), flat[i].dtype)
    return keras.tree.pack_sequence_as(inputs, flat)


def _mean(versions: list[list]) -> list[np.ndarray]:
    return [np.mean(maps, axis=0) for maps in zip(*versions, strict=True)]
