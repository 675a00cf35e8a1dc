"""The options of an export, checked before work begins; they can be written as JSON."""

import json
import math
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace

from keras_metric.export.saved_models.gallery import Gallery
from keras_metric.preprocessing import Preprocessing


@dataclass(frozen=True)
class Options:
    signatures: tuple[str, ...] | None = None
    metadata: dict | None = None
    labels: tuple[str, ...] | None = None
    threshold: float | None = None
    distance: str | Callable = "euclidean"
    image_shape: tuple[int | None, int | None, int] | None = None
    top: int = 5
    preprocessing: Preprocessing | None = None
    pixel_range: tuple[float, float] = (0.0, 255.0)
    max_pixels: int = 2**25
    gallery: Gallery | None = None

    @classmethod
    def checked(cls, **given) -> "Options":
        for name in ("signatures", "labels", "image_shape", "pixel_range"):
            if given.get(name) is not None:
                if isinstance(given[name], str):
                    raise TypeError(
                        f"{name} is a single string. Expected: a list. Received: {given[name]!r}."
                    )
                given[name] = tuple(given[name])
        options = cls(**given)
        _check_labels(options.labels)
        _check_threshold(options.threshold)
        _check_metadata(options.metadata)
        _check_count("top", options.top)
        _check_count("max_pixels", options.max_pixels)
        _check_pixel_range(options.pixel_range)
        return options

    def preprocessing_of(self, shape: tuple[int | None, int | None, int]) -> Preprocessing:
        """How image files become an input `(H, W, C)`; by default stretched.

        An input of another size or color than the first takes the same steps at its own.
        """
        default = Preprocessing.of_shape((None, *shape))
        chosen = self.preprocessing or default
        if not chosen.fits(shape):
            chosen = replace(chosen, size=default.size, color=default.color)
        return chosen.fitted(shape).with_changes(pixel_range=self.pixel_range)

    def as_json(self) -> str:
        """All but the gallery, which is a file of its own."""
        if callable(self.distance):
            raise ValueError(
                "A distance of one's own cannot be exported from this backend. Expected: "
                f"a name in keras_metric.distances. Received: {self.distance!r}."
            )
        content = asdict(replace(self, gallery=None, preprocessing=None))
        made = self.preprocessing and self.preprocessing.as_json()
        return json.dumps({**content, "preprocessing": made})

    @classmethod
    def from_json(cls, text: str, gallery: Gallery | None = None) -> "Options":
        content = json.loads(text)
        if content["preprocessing"] is not None:
            content["preprocessing"] = Preprocessing.from_json(content["preprocessing"])
        return cls.checked(**{**content, "gallery": gallery})


def _check_labels(labels) -> None:
    if labels is None:
        return
    wrong = [label for label in labels if not isinstance(label, str) or "\n" in label or not label]
    if wrong or len(set(labels)) != len(labels) or not labels:
        raise ValueError(
            "Unusable labels. Expected: a name for each class, all different, none empty, no line "
            f"breaks. Received: {wrong or sorted(labels)}."
        )


def _check_threshold(threshold) -> None:
    if threshold is not None and not _is_finite(threshold):
        raise ValueError(
            f"Unusable threshold. Expected: a distance, a finite number. Received: {threshold!r}."
        )


def _check_metadata(metadata) -> None:
    if metadata is None:
        return
    try:
        json.dumps(metadata, allow_nan=False)
    except (TypeError, ValueError) as error:
        raise ValueError(
            "The metadata cannot be kept. Expected: a dictionary that JSON can hold. "
            f"Received: {error}."
        ) from error
    if not isinstance(metadata, dict):
        raise TypeError(
            f"The metadata cannot be kept. Expected: a dictionary. Received: {metadata!r}."
        )


def _check_count(name: str, value) -> None:
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(
            f"Unusable {name}. Expected: a whole number from 1 on. Received: {value!r}."
        )


def _check_pixel_range(pixel_range) -> None:
    if len(pixel_range) != 2 or not all(_is_finite(end) for end in pixel_range):
        raise ValueError(
            "Unusable pixel_range. Expected: what black and white are to the model, two numbers. "
            f"Received: {pixel_range!r}."
        )


def _is_finite(value) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return number and math.isfinite(value)
