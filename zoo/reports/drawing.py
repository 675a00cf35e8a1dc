"""Maps of a model over pictures: one overlay, or a grid of classes and methods."""

from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_metric import image_files, plots
from keras_metric.cam import CAM


class MapPictures:
    """Called with the pixels of a picture, draws where the model sees its classes.

    Args:
        model: takes one image `(H, W, 1)` or `(H, W, 3)` of values 0..255.
        methods: names in `keras_metric.cam.METHODS`.
        layer: the layer to map, or its name.
        classes: None (the best), a number, or "top3" and the like.
        signed: also show evidence against a class.
        alpha, colours: as in `plots.overlay`.

    Raises `ValueError` for a model of other inputs, and what `CAM` and `plots.overlay` refuse.
    """

    def __init__(
        self,
        model: keras.Model,
        methods: list[str],
        *,
        layer: str | None = None,
        classes: int | str | None = None,
        signed: bool = False,
        alpha: float = 0.5,
        colours: str | None = None,
    ):
        shape = getattr(model, "input_shape", None)
        if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] not in (1, 3):
            raise ValueError(
                "The model takes no picture alone. Expected one input (B, H, W, 1) or "
                f"(B, H, W, 3). Received: {shape}."
            )
        self._sides = None if None in shape[1:3] else shape[1:3]
        self._grey = shape[3] == 1
        options = {"relu": False, "normalize": "max"} if signed else {}
        self._maps = {name: CAM(model, name, layer, **options) for name in methods}
        self._classes = classes
        self._style = {"alpha": alpha, "colours": colours, "signed": signed}
        plots.overlay(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1)), **self._style)

    @property
    def layer(self) -> str:
        """The name of the layer mapped."""
        return next(iter(self._maps.values())).layer_name

    def read(self, file: Path) -> np.ndarray:
        """The pixels of a file in the size the model takes, else its own: `(H, W, C)` uint8.

        Raises `ValueError` for a file that is not an image, or breaks off.
        """
        return image_files.read(file, self._sides, resize="stretch", grey=self._grey)

    def __call__(self, pixels: np.ndarray) -> tuple[Any, list[dict[str, Any]]]:
        """The picture (bytes `(H, W, 3)`, or a figure), and number and score of each class."""
        batch = pixels[None].astype("float32")
        first = next(iter(self._maps.values())).explain(batch, self._classes)
        numbers, scores = np.ravel(first.classes), np.ravel(first.scores)
        found = [
            {"class": int(number), "score": float(score)}
            for number, score in zip(numbers, scores, strict=True)
        ]
        if len(self._maps) == len(numbers) == 1:
            return plots.overlay(pixels, first.maps.reshape(pixels.shape[:2]), **self._style), found
        maps = {name: cam(batch, numbers[None])[0] for name, cam in self._maps.items()}
        grid = plots.comparison(
            np.broadcast_to(pixels, (len(numbers), *pixels.shape)),
            maps,
            titles=[f"class {one['class']}\n{one['score']:.2f}" for one in found],
            **self._style,
        )
        return grid, found
