"""The functions of the page: neighbors, why two pictures are similar, where one is found."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any

import numpy as np

from keras_metric import plots
from keras_metric.cam import SimilarityCAM
from keras_metric.location import Locator, find, heat, pyramid, resized
from keras_metric.serve import Refusal
from zoo.demo.gallery import Gallery
from zoo.demo.picture import Picture, Place, as_url, spread, uploaded
from zoo.demo.shelf import Shelf, record_id

DRAWN = 256  # pixels of the longer side of a map's picture, at least
STRONGEST = 0.85  # share of color where a map is at its limit
OVERLAP = 0.3  # of two boxes that overlap by more, the better stays
FINEST = 2**22  # pixels of a scene, resized so that what is looked for fills a window


class Desk:
    """Answers requests one at a time, as JSON values; pictures are returned concurrently.

    Every method raises `Refusal` for invalid requests.
    """

    kind = "embedding"

    def __init__(self, gallery: Gallery):
        self._gallery, self._searcher = gallery, gallery.searcher
        self._network = gallery.searcher.network
        offered = {"sample": gallery.samples, "scene": gallery.scenes}
        self._offers = {
            kind: [
                {"picture": f"{kind}-{number}", "title": title}
                for number, (title, _) in enumerate(found)
            ]
            for kind, found in offered.items()
        }
        fixed = {
            f"{kind}-{n}": x for kind, found in offered.items() for n, (_, x) in enumerate(found)
        }
        self._shelf = Shelf(fixed, gallery.record)
        self._reading, self._thinking = threading.Lock(), threading.Lock()

    def about(self) -> dict[str, Any]:
        """Facts about the model and the index, and the samples."""
        return {
            "source": self._gallery.source,
            "input": str(self._network.preprocessing),
            "distance": self._searcher.index.distance,
            "threshold": self._searcher.threshold,
            "chosen": self._gallery.chosen,
            "samples": self._offers["sample"],
            "scenes": self._offers["scene"],
        }

    def take(self, content: bytes) -> dict[str, str]:
        """Store an uploaded picture; returns its name."""
        with self._reading:
            return {"picture": self._shelf.add(uploaded(content, self._network.preprocessing))}

    def png(self, name: str) -> bytes:
        """A picture as PNG."""
        shown = self._picture(name).shown
        return plots.png(np.broadcast_to(shown, (*shown.shape[:2], 3)))

    def search(self, name: str, k: int) -> dict[str, Any]:
        """The `k` nearest records, and the label that follows. A record does not find itself."""
        fed, own = self._picture(name).fed, record_id(name)
        others = None if own is None else (lambda record: record["id"] != own)
        with self._thinking, _value_errors_refused():
            (found,) = self._searcher.answers([name], fed[None], k, filter=others)
        limit = self._searcher.threshold
        near = [
            {
                "picture": f"record-{one['id']}",
                "label": _text(one["label"]),
                "distance": one["distance"],
                "within": None if limit is None else one["distance"] <= limit,
            }
            for one in found.neighbours
        ]
        return {"verdict": found.verdict, "label": _text(found.label), "neighbours": near}

    def explain(self, name: str, other: str) -> dict[str, Any]:
        """Similarity maps over both pictures, in one color scale."""
        pair = self._picture(name), self._picture(other)
        with self._thinking, _value_errors_refused():
            found = self._similarity(*(self._scaled(one.fed[None]) for one in pair))
        maps = found.first[0], found.second[0]
        limit = max(float(np.abs(one).max()) for one in maps)
        drawn = [self._drawn(*both, limit) for both in zip(pair, maps, strict=True)]
        return {
            "similarity": float(found.similarity[0]),
            "sum": float(maps[0].sum()),
            "exact": found.exact,
            "maps": drawn,
        }

    def locate(self, name: str, scene: str, top: int) -> dict[str, Any]:
        """The boxes in a scene that look like a picture, and the map of scores."""
        exemplar, where = self._picture(name), self._picture(scene)
        with self._thinking, _value_errors_refused():
            looked_for = _to_scale(exemplar, where)
            self._check_effort(looked_for, where.shown)
            levels = self._locator.levels(self._scaled(looked_for), self._scaled(where.shown))
        found = find(levels, threshold=None, overlap=OVERLAP, top=top)
        scores = heat(levels, where.shown.shape[:2])
        least, most = float(np.nanmin(scores)), float(np.nanmax(scores))
        rising = np.nan_to_num((scores - least) / max(most - least, 1e-9))
        height, width = where.shown.shape[:2]
        return {
            "boxes": [
                {
                    "box": [x / n for x, n in zip(one.box, (width, height) * 2, strict=True)],
                    "score": one.score,
                    "scale": one.scale,
                }
                for one in found
            ],
            "heat": as_url(plots.overlay(where.shown, rising, alpha=0.65, cmap="inferno")),
            "least": least,
            "most": most,
        }

    def _picture(self, name: str) -> Picture:
        with self._reading:
            return self._shelf[name]

    def _scaled(self, pixels: np.ndarray) -> np.ndarray:
        return self._network.preprocessing.scaled(pixels)

    def _drawn(self, picture: Picture, shares: np.ndarray, limit: float) -> str:
        place = self._network.preprocessing.place(picture.shown.shape[:2])
        return _over(picture, shares, place, limit)

    @cached_property
    def _similarity(self) -> SimilarityCAM:
        return SimilarityCAM(self._network.encoder)

    @cached_property
    def _locator(self) -> Locator:
        return Locator(self._network.encoder, input_shape=self._network.shape)

    def _check_effort(self, exemplar: np.ndarray, scene: np.ndarray) -> None:
        sizes = pyramid(
            scene.shape[:2], exemplar.shape[:2], self._locator.window, self._locator.scales
        )
        largest = max(height * width for _, (height, width) in sizes)
        if largest > FINEST:
            raise ValueError(
                "The picture to find is too small for this scene. Expected: one for which the "
                f"scene has at most {FINEST:,} pixels once resized. Received: "
                f"{exemplar.shape[0]} x {exemplar.shape[1]} in {scene.shape[0]} x "
                f"{scene.shape[1]}, {largest:,} pixels."
            )


@contextmanager
def _value_errors_refused() -> Iterator[None]:
    """Turn a ValueError of the library into a refused request."""
    try:
        yield
    except ValueError as error:
        raise Refusal("INVALID_ARGUMENT", str(error)) from error


def _to_scale(exemplar: Picture, scene: Picture) -> np.ndarray:
    """The exemplar with as many of its own pixels in one as the scene has."""
    if exemplar.factor == scene.factor:
        return exemplar.shown
    ratio = exemplar.factor / scene.factor
    size = tuple(max(1, round(n * ratio)) for n in exemplar.shown.shape[:2])
    return resized(exemplar.shown[None], size)[0]


def _over(picture: Picture, shares: np.ndarray, place: Place, limit: float) -> str:
    """A map of the picture as fed, over the picture as shown; small ones are drawn larger.

    Red makes alike and blue sets apart, up to `limit` the stronger the less of the picture is left.
    """
    times = max(1, DRAWN // max(picture.shown.shape[:2]))
    size = tuple(times * n for n in picture.shown.shape[:2])
    large = np.round(resized(picture.shown[None], size)[0]).astype(np.uint8)
    wide = spread(shares, place, size)
    strength = STRONGEST * (np.abs(wide) / max(limit, 1e-12)).clip(0, 1)
    style = {"cmap": "coolwarm", "signed": True, "limit": 1.0}
    return as_url(plots.overlay(large, np.sign(wide), alpha=strength, **style))


def _text(label: Any) -> str | None:
    """Labels may be larger integers than a page can count."""
    return None if label is None else str(label)
