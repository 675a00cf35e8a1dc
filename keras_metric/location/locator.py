"""`Locator`: an encoder made fully convolutional, ready for many exemplars and scenes."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import keras
import numpy as np
from keras import ops

from keras_metric import convert, distances
from keras_metric.location.levels import (
    Level,
    Location,
    check_choice,
    find,
    heat,
    pyramid,
    resized,
)

SCALES = (0.8, 1.0, 1.25)
TILE = 1024
_COMBINED = {"best": ops.max, "mean": ops.mean}


class Locator:
    """Finds what looks like an exemplar in scenes; the encoder is converted once.

        locator = km.Locator(encoder, scales=(0.5, 0.7, 1.0))
        locator(exemplar, scene)                          # [Location(box, score, scale), ...]
        locator.score_map(exemplar, scene)                # (H, W), for a picture

        seen = list(locator.scan(scene))                  # maps of embeddings, for many exemplars
        locator.compare(locator.embed(exemplar), seen)    # maps of scores; `find` makes boxes

    Memory: one map of embeddings, D numbers for every stride x stride pixels, and the feature maps
    of one tile.

    Args:
        encoder, scales, distance, densify: as in `locate`.
        tile: pixels per side; a scene that is longer after resizing is embedded tile by tile, with
            the same result (`km.convert.scan`). None embeds every scene at once.
        input_shape: `(height, width, channels)` of the training images, for encoders that were
            never built or built with free sizes.

    Raises:
        ValueError: as in `locate`; or the encoder has several inputs or outputs.
    """

    def __init__(
        self,
        encoder: keras.Model,
        *,
        scales: Sequence[float] = SCALES,
        distance: str | Callable = "cosine",
        densify: int = 1,
        tile: int | None = TILE,
        input_shape: tuple[int, int, int] | None = None,
    ):
        self.scales = _checked_scales(scales)
        self._distance = distances.get(distance)
        self.fcn = convert.to_fully_convolutional(encoder, densify=densify, input_shape=input_shape)
        self.fcn.trainable = False
        self._first = self.fcn.conversion.channels_first
        _check_encoder(self.fcn)
        self.window = self.fcn.conversion.windows[0]
        self.channels = self.fcn.inputs[0].shape[1 if self._first else -1]
        self._tile = tile
        self._places: dict[tuple[int, int], convert.Geometry] = {}

    def __call__(
        self,
        exemplar: np.ndarray,
        scene: np.ndarray,
        *,
        threshold: float | None = None,
        top: int = 10,
        overlap: float = 0.3,
        combine: str = "best",
    ) -> list[Location] | list[list[Location]]:
        """Find the places in a scene, or in each of a batch, that look like the exemplar."""
        check_choice(top, overlap, threshold)
        scenes = self._images(scene, "scene")
        levels = self.levels(exemplar, scenes, combine)
        found = [
            find(
                [replace(level, values=level.values[b]) for level in levels],
                threshold=threshold,
                overlap=overlap,
                top=top,
            )
            for b in range(len(scenes))
        ]
        return found if np.ndim(scene) == 4 else found[0]

    def levels(self, exemplar: np.ndarray, scene: np.ndarray, combine: str = "best") -> list[Level]:
        """The maps of scores of a scene, one for each scale.

        `keras_metric.location.find` chooses boxes from them; `heat` makes one map of the scene's
        size.
        """
        scenes = self._images(scene, "scene")
        size = self._images(exemplar, "exemplar").shape[1:3]
        pyramid(scenes.shape[1:3], size, self.window, self.scales)
        embeddings = self.embed(exemplar)
        scanned = self.scan(scene, size)
        return [level for x in scanned for level in self.compare(embeddings, [x], combine)]

    def score_map(self, exemplar: np.ndarray, scene: np.ndarray, *, combine: str = "best"):
        """`(H, W)`, or `(B, H, W)`: best score of windows around each pixel, NaN at the border."""
        scenes = self._images(scene, "scene")
        levels = self.levels(exemplar, scenes, combine)
        maps = [
            heat([replace(level, values=level.values[b]) for level in levels], scenes.shape[1:3])
            for b in range(len(scenes))
        ]
        return np.stack(maps) if np.ndim(scene) == 4 else maps[0]

    def embed(self, exemplar: np.ndarray) -> np.ndarray:
        """`(K, D)`: the embeddings of one exemplar or several."""
        images = resized(self._images(exemplar, "exemplar"), self.window)
        return self._vectors(images)[:, 0, 0]

    def scan(self, scene: np.ndarray, size: tuple[int, int] | None = None) -> Iterator[Level]:
        """The maps of embeddings of a scene or a batch of them, one scale at a time.

        `values` are `(rows, columns, D)`, with a first batch axis if the scene has one. `size` is
        that of the exemplars in pixels; None is the encoder's input size.
        """
        scenes = self._images(scene, "scene")
        whole, wanted = scenes.shape[1:3], tuple(size or self.window)
        for scale, target in pyramid(whole, wanted, self.window, self.scales):
            vectors = self._vectors(resized(scenes, target))
            ratio = tuple(n / m for n, m in zip(whole, target, strict=True))
            places = self._geometry(target)
            yield Level(scale, vectors if np.ndim(scene) == 4 else vectors[0], places, ratio)

    def compare(
        self, embeddings: np.ndarray, levels: Sequence[Level], combine: str | None = "best"
    ) -> list[Level]:
        """Maps of scores, 1 - distance, from the results of `embed` and `scan`.

        `combine=None` returns the scores of the K exemplars separately: `(rows, columns, K)`.
        """
        return [replace(x, values=self._scores(embeddings, x.values, combine)) for x in levels]

    def _scores(self, embeddings, vectors: np.ndarray, combine: str | None) -> np.ndarray:
        if combine not in (*_COMBINED, None):
            raise ValueError(
                f"Unknown way to combine. Expected: one of {', '.join(_COMBINED)}. "
                f"Received: combine={combine!r}."
            )
        flat = vectors.reshape(-1, vectors.shape[-1])
        scores = 1 - ops.transpose(self._distance(embeddings, flat))
        if combine is not None:
            scores = _COMBINED[combine](scores, axis=1, keepdims=True)
        scores = ops.convert_to_numpy(scores).reshape(*vectors.shape[:-1], -1)
        return scores if combine is None else scores[..., 0]

    def _vectors(self, images: np.ndarray) -> np.ndarray:
        """`(B, H, W, C) -> (B, rows, columns, D)`, one image at a time, large ones in tiles."""
        whole = self._tile is None or max(images.shape[1:3]) <= self._tile
        images = np.moveaxis(images, -1, 1) if self._first else images
        if not whole:
            return np.stack([convert.scan(self.fcn, x, tile=self._tile).scores for x in images])
        maps = [ops.convert_to_numpy(self.fcn(x[None], training=False)) for x in images]
        vectors = np.concatenate(maps).astype("float32")
        return np.moveaxis(vectors, 1, -1) if self._first else vectors

    def _geometry(self, size: tuple[int, int]) -> convert.Geometry:
        if size not in self._places:
            self._places[size] = convert.geometry(self.fcn, size=size)
        return self._places[size]

    def _images(self, images: np.ndarray, name: str) -> np.ndarray:
        """`(B, H, W, C)` of one image or several, checked."""
        images = np.asarray(images)
        if images.ndim not in (3, 4) or images.shape[-1] != self.channels or not images.size:
            raise ValueError(
                f"The {name} does not fit the encoder. Expected: an image (height, width, "
                f"{self.channels}) or a batch of them, none empty. Received: shape {images.shape}."
            )
        return images if images.ndim == 4 else images[None]


def _check_encoder(fcn: keras.Model) -> None:
    ranks = [len(x.shape) for x in (*fcn.inputs, *fcn.outputs)]
    if ranks != [4, 4]:
        raise ValueError(
            "The encoder does not embed images. Expected: one image (height, width, channels) in "
            f"and one vector out. Received: {len(fcn.inputs)} inputs and {len(fcn.outputs)} "
            f"outputs, of ranks {ranks} once fully convolutional."
        )


def _checked_scales(scales: Sequence[float]) -> tuple[float, ...]:
    scales = tuple(float(s) for s in np.ravel(scales))
    if not scales or not all(np.isfinite(s) and s > 0 for s in scales):
        raise ValueError(
            "scales are invalid. Expected: positive numbers, 1 for the "
            f"size of the exemplar. Received: scales={scales}."
        )
    return scales
