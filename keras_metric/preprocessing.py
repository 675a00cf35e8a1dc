"""Preprocessing: how a picture becomes the input of a model; stored in the model and its file.

    preprocess = km.Preprocessing((224, 224), resize="letterbox", fill=255)
    images = preprocess.batch(["one.jpg", "two.png"])     (2, 224, 224, 3), as the model takes them
    attach(model, preprocess)                             model.save("model.keras") now stores it
    in_file("model.keras")                                read again, without loading the model

This module does not import Keras.
"""

import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, fields, replace
from io import BytesIO
from numbers import Integral, Real
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from keras_metric import image_files

__all__ = ["COLORS", "Preprocessing", "attach", "attached", "check_same", "in_file", "of", "store"]

COLORS = {"rgb": 3, "grayscale": 1}
MEMBER = "assets/preprocessing.json"  # of a .keras file

Picture = str | Path | bytes | BinaryIO | np.ndarray | Any


@dataclass(frozen=True)
class Preprocessing:
    """The preprocessing of pictures for a model: call it with a picture.

    The steps, in this order: decode; rotate upright by the EXIF data (`upright`); put transparent
    parts on the gray value `fill`; convert to `color`; bring to `size` by `resize` and
    `interpolation`, rounded to whole gray values; scale 0..255 to `pixel_range`.

    Args:
        size: height and width in pixels; None keeps the size of the picture.
        resize: "stretch" to `size`, which changes the shape; "letterbox": all of the picture in its
            shape, with margins of `fill`; "crop": the middle of the picture in its shape.
        fill: gray value 0..255 of margins and of transparent parts.
        interpolation: "bilinear" or "bicubic"; both average over all pixels when shrinking.
        color: "rgb" (3 channels) or "grayscale" (1 channel, ITU-R 601 luma).
        upright: False ignores the EXIF orientation.
        pixel_range: the input values of black and white. Models of the zoo have scaling inside and
            take 0..255; use (0, 1) or (-1, 1) for a model trained on scaled pixels.

    Raises:
        ValueError: an argument out of range.
    """

    size: tuple[int, int] | None = None
    resize: str = "stretch"
    fill: int = 0
    interpolation: str = "bilinear"
    color: str = "rgb"
    upright: bool = True
    pixel_range: tuple[float, float] = (0.0, 255.0)

    def __post_init__(self):
        image_files.one_of("way to resize", self.resize, image_files.RESIZES)
        image_files.one_of("interpolation", self.interpolation, image_files.INTERPOLATIONS)
        image_files.one_of("color", self.color, tuple(COLORS))
        object.__setattr__(self, "size", _checked_size(self.size))
        object.__setattr__(self, "pixel_range", _checked_range(self.pixel_range))
        if not _is_whole(self.fill) or not 0 <= self.fill <= 255:
            raise ValueError(
                f"Invalid fill. Expected: a gray value from 0 to 255. Received: {self.fill!r}."
            )
        object.__setattr__(self, "fill", int(self.fill))
        if not isinstance(self.upright, bool):
            raise ValueError(f"Invalid upright. Expected: a bool. Received: {self.upright!r}.")

    @property
    def channels(self) -> int:
        """3 for "rgb", 1 for "grayscale"."""
        return COLORS[self.color]

    @property
    def shape(self) -> tuple[Any, Any, int]:
        """`(height, width, channels)` of a preprocessed picture; None for free sides."""
        return (*(self.size or (None, None)), self.channels)

    def __call__(self, picture: Picture) -> np.ndarray:
        """`(H, W, C)` float32 in `pixel_range`: the input of the model.

        `picture` is a path, the bytes of a file, an open binary file, a Pillow image, or uint8
        pixels (H, W), (H, W, 1), (H, W, 3) or (H, W, 4), the fourth channel being opacity.

        Raises:
            keras_metric.image_files.Unreadable: the picture cannot be decoded (a `ValueError`).
            ValueError: an array of another form.
            ImportError: Pillow is missing.
        """
        return self.scaled(self.read(picture))

    def read(self, picture: Picture) -> np.ndarray:
        """The same before the last step: `(H, W, C)` uint8, 0..255."""
        if isinstance(picture, bytes):
            picture = BytesIO(picture)
        if isinstance(picture, np.ndarray):
            picture = _as_image(picture)
        if not hasattr(picture, "getbands"):
            return image_files.read(
                picture,
                self.size,
                resize=self.resize,
                fill=self.fill,
                grey=self.color == "grayscale",
                interpolation=self.interpolation,
                turn=self.upright,
            )
        image = image_files.upright(
            picture.copy(), self.fill, self.color == "grayscale", self.upright
        )
        if self.size is not None:
            image = image_files.sized(image, self.size, self.resize, self.fill, self.interpolation)
        return np.asarray(image).reshape(image.height, image.width, -1)

    def batch(self, pictures: Iterable[Picture]) -> np.ndarray:
        """`(B, H, W, C)` float32 in `pixel_range`; `size` must be set.

        Raises:
            ValueError: no `size`; and what a call raises.
        """
        if self.size is None:
            raise ValueError(
                "Pictures of their own sizes make no batch. Expected: a preprocessing with a size. "
                f"Received: {self}."
            )
        found = [self(picture) for picture in pictures]
        return np.stack(found) if found else np.empty((0, *self.shape), np.float32)

    def scaled(self, pixels: np.ndarray) -> np.ndarray:
        """Pixels 0..255 of any shape as float32 in `pixel_range`."""
        low, high = self.pixel_range
        pixels = np.asarray(pixels, np.float32)
        return pixels if (low, high) == (0, 255) else low + pixels * ((high - low) / 255)

    def place(self, sides: tuple[int, int]) -> tuple[float, float, float, float]:
        """Where all of a picture of `sides` (height, width) lies in the preprocessed one.

        `(left, top, right, bottom)` in pixels; of a crop it reaches beyond the frame.
        """
        height, width = self.size or sides
        if self.resize == "stretch":
            return 0.0, 0.0, float(width), float(height)
        if self.resize == "letterbox":
            tall, wide = image_files.letterboxed(sides, (height, width))
            left, top = float((width - wide) // 2), float((height - tall) // 2)
        else:
            ratio = max(height / sides[0], width / sides[1])
            tall, wide = sides[0] * ratio, sides[1] * ratio
            left, top = (width - wide) / 2, (height - tall) / 2
        return left, top, left + wide, top + tall

    def with_changes(self, **changes: Any) -> "Preprocessing":
        """A copy with other values of the given arguments; None keeps a value."""
        given = {name: value for name, value in changes.items() if value is not None}
        return replace(self, **given)

    def fits(self, shape: tuple[int | None, int | None, int]) -> bool:
        """Whether a model that takes `(height, width, channels)` takes what this makes."""
        sides = zip(self.size or shape[:2], shape[:2], strict=True)
        return shape[2] == self.channels and all(a == b or None in (a, b) for a, b in sides)

    def fitted(self, shape: tuple[int | None, int | None, int]) -> "Preprocessing":
        """The same for a model that takes `(height, width, channels)`; None is any size.

        Raises:
            ValueError: the model takes other images than this makes, or one of several sizes.
        """
        if not self.fits(shape):
            raise ValueError(
                f"The preprocessing does not fit the model. Expected: images of {shape}. Received: "
                f"{self}."
            )
        if self.size is not None or None in shape[:2]:
            return self
        return replace(self, size=shape[:2])

    def as_json(self) -> dict[str, Any]:
        """The arguments by name, for `from_json`."""
        found = asdict(self)
        return {name: list(x) if isinstance(x, tuple) else x for name, x in found.items()}

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> "Preprocessing":
        """The preprocessing from the result of `as_json`.

        Raises:
            ValueError: another content, or one of a version with more arguments.
        """
        known = {field.name for field in fields(cls)}
        if not isinstance(content, Mapping) or not set(content) <= known:
            raise ValueError(
                f"This is not a preprocessing. Expected: a mapping with {', '.join(sorted(known))}."
                f" Received: {str(content)[:100]}."
            )
        return cls(**content)

    @classmethod
    def of_shape(cls, shape: tuple) -> "Preprocessing":
        """The default for a model that takes `(B, H, W, C)`: stretched, bilinear, black, 0..255.

        Raises:
            ValueError: another shape, or channels other than 1 and 3.
        """
        colors = {count: name for name, count in COLORS.items()}
        if not isinstance(shape, tuple) or len(shape) != 4 or shape[3] not in colors:
            raise ValueError(
                "The model does not take images. Expected: one input (B, H, W, 1) or (B, H, W, 3). "
                f"Received: {shape}."
            )
        size = None if None in shape[1:3] else shape[1:3]
        return cls(size, color=colors[shape[3]])

    def __str__(self) -> str:
        size = "any size" if self.size is None else "{} x {}".format(*self.size)
        parts = [size, self.color]
        if self.size is not None:
            parts += [self.resize, self.interpolation]
        parts.append(f"fill {self.fill}")
        if not self.upright:
            parts.append("EXIF orientation ignored")
        low, high = self.pixel_range
        return ", ".join([*parts, f"pixels {low:g}..{high:g}"])

    def difference(self, other: "Preprocessing") -> str:
        """The values of this one that differ from `other`, in words; "" if they are equal."""
        mine, others = self.as_json(), other.as_json()
        return ", ".join(f"{name}={mine[name]!r}" for name in mine if mine[name] != others[name])


def attach(model, preprocessing: Preprocessing):
    """Store a preprocessing in a Keras model; returns the model.

    `model.save("x.keras")` then writes it into the file (as the asset `preprocessing.json`), where
    `in_file` finds it; plain Keras ignores it. A model loaded by plain Keras, cloned or built from
    layers of this one does not have it: attach it again.
    """
    saved = getattr(model, "save_assets", None)
    before = saved.before if isinstance(saved, _Saved) else saved
    model.save_assets = _Saved(preprocessing, before)
    return model


def attached(model) -> Preprocessing | None:
    """The preprocessing stored in a Keras model or its first encoder; None if there is none."""
    saved = getattr(model, "save_assets", None)
    if isinstance(saved, _Saved):
        return saved.preprocessing
    branches = model.branches() if hasattr(model, "branches") else {}
    return next(filter(None, map(attached, branches.values())), None)


def of(model) -> Preprocessing:
    """The preprocessing stored in a Keras model, else the default for its input.

    Raises:
        ValueError: there is none, and the input of the model is not pictures.
    """
    found = attached(model)
    if found is not None:
        return found
    shape = getattr(model, "input_shape", None)
    if isinstance(shape, list) and shape and all(one == shape[0] for one in shape):
        shape = shape[0]  # the same encoder for each of several pictures
    return Preprocessing.of_shape(shape)


def check_same(made: Preprocessing | None, given: Preprocessing | None, what: str) -> None:
    """Raise `ValueError` if `what` was made with another preprocessing than the one `given`.

    None is one that nobody recorded, which is not refused.
    """
    if made is not None and given is not None and made != given:
        raise ValueError(
            f"{what} was made of pictures that were preprocessed in another way. Expected: "
            f"{made.difference(given)}, as it was made. Received: {given.difference(made)}."
        )


def in_file(path: str | Path) -> Preprocessing | None:
    """The preprocessing in a `.keras` file; None if it has none, or for other kinds of files.

    Raises:
        FileNotFoundError: no such file.
        ValueError: the stored content is not a preprocessing.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no model. Expected: a .keras file at {path}. Received: no such file."
        )
    if not zipfile.is_zipfile(path):
        return None
    with zipfile.ZipFile(path) as archive:
        if MEMBER not in archive.namelist():
            return None
        text = archive.read(MEMBER)
    try:
        return Preprocessing.from_json(json.loads(text))
    except (ValueError, TypeError) as error:
        raise ValueError(
            f"The preprocessing in {path} cannot be read. Expected: what keras_metric wrote. "
            f"Received: {error}"
        ) from error


def store(path: str | Path, preprocessing: Preprocessing) -> Path:
    """Write a preprocessing into an existing `.keras` file; a previous one is replaced.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not a `.keras` file.
    """
    path = Path(path)
    in_file(path)
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"A preprocessing is stored in .keras files only. Expected: one. Received: {path}."
        )
    beside = path.with_name(f".{os.getpid()}-{path.name}")
    try:
        with zipfile.ZipFile(path) as source, zipfile.ZipFile(beside, "w") as target:
            for member in source.infolist():
                if member.filename != MEMBER:
                    with source.open(member) as content, target.open(member, "w") as copy:
                        shutil.copyfileobj(content, copy)
            target.writestr(MEMBER, _text(preprocessing))
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)
    return path


class _Saved:
    """Called by Keras to write the assets of a model: the preprocessing, and its other assets."""

    def __init__(self, preprocessing: Preprocessing, before: Callable | None):
        self.preprocessing, self.before = preprocessing, before

    def __call__(self, folder: str) -> None:
        if self.before is not None:
            self.before(folder)
        Path(folder, Path(MEMBER).name).write_text(_text(self.preprocessing), encoding="utf-8")


def _text(preprocessing: Preprocessing) -> str:
    return json.dumps(preprocessing.as_json(), indent=2) + "\n"


def _as_image(pixels: np.ndarray):
    """Pixels as a Pillow image."""
    channels = pixels.shape[2] if pixels.ndim == 3 else 1
    if pixels.dtype != np.uint8 or pixels.ndim not in (2, 3) or channels not in (1, 3, 4):
        raise ValueError(
            "These pixels are not a picture. Expected: uint8 (H, W), (H, W, 1), (H, W, 3) or "
            f"(H, W, 4). Received: {pixels.dtype} {pixels.shape}."
        )
    from PIL import Image

    return Image.fromarray(pixels if channels > 1 else pixels.reshape(pixels.shape[:2]))


def _checked_size(size) -> tuple[int, int] | None:
    if size is None:
        return None
    size = tuple(size) if isinstance(size, (list, tuple)) else (size,)
    if len(size) != 2 or not all(_is_whole(side) and side > 0 for side in size):
        raise ValueError(
            "Invalid size. Expected: height and width in pixels, or None. "
            f"Received: {size[0] if len(size) == 1 else size!r}."
        )
    return int(size[0]), int(size[1])


def _checked_range(ends) -> tuple[float, float]:
    ends = tuple(ends) if isinstance(ends, (list, tuple)) else (ends,)
    real = all(isinstance(end, Real) and not isinstance(end, bool) for end in ends)
    if len(ends) != 2 or not real or not np.isfinite(ends).all() or ends[0] == ends[1]:
        raise ValueError(
            "Invalid pixel_range. Expected: the input values of black and white, two different "
            f"numbers. Received: {ends!r}."
        )
    return float(ends[0]), float(ends[1])


def _is_whole(value) -> bool:
    return isinstance(value, Integral) and not isinstance(value, bool)
