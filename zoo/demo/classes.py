"""What the page asks of a classifier: which classes a picture shows, and where it sees them."""

import threading
from typing import Any

import keras
import numpy as np

from keras_metric import Preprocessing, plots
from keras_metric.cam import CAM
from keras_metric.location import resized
from keras_metric.serve import Refusal
from zoo.demo.picture import Place, as_url, spread, uploaded
from zoo.demo.shelf import Shelf

DRAWN = 320  # pixels of the longer side of a map's picture, at least
METHODS = ("cam", "hirescam")  # the first that the model has; both add up to the score


class ClassDesk:
    """Answers one question at a time, in plain values that JSON can say; shows pictures meanwhile.

    Args:
        model: a classifier of one image.
        preprocessing: how pictures become its images.
        labels: the names of its classes, or None.

    Every method raises `Refusal` for what cannot be answered.

    Raises:
        ValueError: a model that no map explains.
    """

    kind = "classifier"

    def __init__(self, model: keras.Model, preprocessing: Preprocessing, labels: list[str] | None):
        self._preprocessing, self._labels = preprocessing, labels
        self._maps = _maps(model)
        self._count = model.output_shape[-1]
        self._shelf = Shelf({}, _no_record)
        self._reading, self._thinking = threading.Lock(), threading.Lock()

    def about(self) -> dict[str, Any]:
        """What the page is about."""
        return {
            "source": f"{self._count:,} classes",
            "input": str(self._preprocessing),
            "maps": self._maps.method.name,
            "samples": [],
            "scenes": [],
        }

    def take(self, content: bytes) -> dict[str, str]:
        """Keep a picture that was sent, under a name."""
        with self._reading:
            return {"picture": self._shelf.add(uploaded(content, self._preprocessing))}

    def png(self, name: str) -> bytes:
        """A picture as it is shown."""
        shown = self._picture(name).shown
        return plots.png(np.broadcast_to(shown, (*shown.shape[:2], 3)))

    def classes(self, name: str, top: int) -> dict[str, Any]:
        """The `top` best classes, best first, each with a map over the picture."""
        picture = self._picture(name)
        images = self._preprocessing.scaled(picture.fed[None])
        place = self._preprocessing.place(picture.shown.shape[:2])
        with self._thinking:
            found = self._maps.explain(images, f"top{min(top, self._count)}")
        rows = zip(found.classes[0], found.scores[0], found.maps[0], strict=True)
        return {
            "classes": [
                {
                    "class": int(number),
                    "label": self._label(int(number)),
                    "score": float(score),
                    "map": _over(picture.shown, shares, place),
                }
                for number, score, shares in rows
            ]
        }

    def _label(self, number: int) -> str:
        return f"class {number}" if self._labels is None else self._labels[number]

    def _picture(self, name: str):
        with self._reading:
            return self._shelf[name]


def _maps(model: keras.Model) -> CAM:
    """The first method of `METHODS` that fits the model."""
    for method in METHODS[:-1]:
        try:
            return CAM(model, method)
        except ValueError:
            continue
    return CAM(model, METHODS[-1])


def _no_record(number: int):
    raise Refusal(
        "NOT_FOUND",
        "A classifier has no index. Expected: one of the pictures that were sent. Received: "
        f"record-{number}.",
    )


def _over(shown: np.ndarray, shares: np.ndarray, place: Place) -> str:
    """A map of the picture as fed, over the picture as shown; small ones are drawn larger."""
    times = max(1, DRAWN // max(shown.shape[:2]))
    size = tuple(times * side for side in shown.shape[:2])
    large = np.round(resized(shown[None], size)[0]).astype(np.uint8)
    return as_url(plots.overlay(large, spread(np.asarray(shares), place, size)))
