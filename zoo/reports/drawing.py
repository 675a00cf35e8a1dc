"""Maps of a model over pictures: one overlay, or a grid of classes and methods."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import keras
import numpy as np

from keras_metric import Preprocessing, plots
from keras_metric.cam import CAM, targets
from keras_metric.preprocessing import of


class MapPictures:
    """Called with the pixels of a picture, draws where the model sees its classes.

    Args:
        model: takes one image `(H, W, 1)` or `(H, W, 3)`.
        preprocessing: how pictures become its input; by default its own (`zoo.preprocessing`).
        methods: names in `keras_metric.cam.METHODS`.
        layer: the layer to map, or its name.
        classes: None (the best), a number, "top3" and the like, or an object of
            `keras_metric.cam.targets`.
        output: which of several outputs to explain, by key or number.
        labels: the names of the model's classes, where they are known.
        signed: also show evidence against a class.
        alpha, cmap: as in `plots.overlay`.

    Raises `ValueError` for a model of other inputs, and what `CAM` and `plots.overlay` refuse.
    """

    def __init__(
        self,
        model: keras.Model,
        methods: list[str],
        *,
        preprocessing: Preprocessing | None = None,
        layer: str | None = None,
        classes: int | str | targets.Target | None = None,
        output: int | str | None = None,
        labels: Sequence[str] | None = None,
        signed: bool = False,
        alpha: float = 0.5,
        cmap: str | None = None,
    ):
        shape = getattr(model, "input_shape", None)
        if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] not in (1, 3):
            raise ValueError(
                "The model does not take a single image. Expected: one input (B, H, W, 1) or "
                f"(B, H, W, 3). Received: {shape}."
            )
        self.preprocessing = (preprocessing or of(model)).fitted(shape[1:])
        options = {"relu": False, "normalize": "max"} if signed else {}
        self._maps = {name: CAM(model, name, layer, output=output, **options) for name in methods}
        self._classes, self._labels = classes, labels
        self._style = {"alpha": alpha, "cmap": cmap, "signed": signed}
        plots.overlay(np.zeros((1, 1, 3), np.uint8), np.zeros((1, 1)), **self._style)

    @property
    def layer(self) -> str:
        """The name of the layer mapped."""
        return next(iter(self._maps.values())).layer_name

    def read(self, file: Path) -> np.ndarray:
        """The pixels of a file in the size the model takes, else its own: `(H, W, C)` uint8.

        Raises `ValueError` for a file that is not an image, or breaks off.
        """
        return self.preprocessing.read(file)

    def __call__(self, pixels: np.ndarray) -> tuple[Any, list[dict[str, Any]]]:
        """The picture (bytes `(H, W, 3)`, or a figure), and what each map explains, and its score.

        What it explains is named by its kind: `{"class": 3, "score": ...}`, with a "label" where
        labels are known; `{"dimension": 27, ...}` of an embedding; `{"output": 0, ...}` where
        nothing tells the two apart; `{"target": "class 3 minus class 1", ...}` for a target.
        """
        batch = self.preprocessing.scaled(pixels[None])
        first = next(iter(self._maps.values()))
        explained = first.explain(batch, self._classes)
        numbers, scores = np.ravel(explained.classes), np.ravel(explained.scores)
        found = [
            {**self._named(first.kind, int(number)), "score": float(score)}
            for number, score in zip(numbers, scores, strict=True)
        ]
        if len(self._maps) == len(numbers) == 1:
            heat = explained.maps.reshape(pixels.shape[:2])
            return plots.overlay(pixels, heat, **self._style), found
        which = self._classes if isinstance(self._classes, targets.Target) else numbers[None]
        maps = {
            name: cam(batch, which).reshape(len(numbers), *pixels.shape[:2])
            for name, cam in self._maps.items()
        }
        grid = plots.comparison(
            np.broadcast_to(pixels, (len(numbers), *pixels.shape)),
            maps,
            titles=[f"{described(one)}\n{one['score']:.2f}" for one in found],
            **self._style,
        )
        return grid, found

    def _named(self, kind: str, number: int) -> dict[str, Any]:
        if isinstance(self._classes, targets.Target):
            return {"target": str(self._classes)}
        if self._labels is not None and number < len(self._labels):
            return {"class": number, "label": self._labels[number]}
        return {kind: number}


def described(one: dict[str, Any]) -> str:
    """What a map explains, in words."""
    if "target" in one:
        return one["target"]
    kind = next(kind for kind in ("class", "dimension", "output") if kind in one)
    label = f" ({one['label']})" if "label" in one else ""
    return f"{kind} {one[kind]}{label}"
