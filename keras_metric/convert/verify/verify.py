"""`verify`: how exact a conversion is, at the training size and on windows of larger images."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import product

import keras
import numpy as np

from keras_metric.convert.convert import rewrite
from keras_metric.convert.geometry.geometry import Geometry, geometry
from keras_metric.convert.geometry.walk import (
    InexactLayer,
    channels_first,
    receptive_fields,
    size_of,
)
from keras_metric.convert.graph.site import Conversion, read_training_size
from keras_metric.convert.verify import equality


@dataclass(frozen=True)
class Report:
    """The result of `verify`. Differences are in standard deviations of the model's output.

    Attributes:
        at_original_size: largest difference at the training size.
        on_windows: largest difference between a cell and the model on that cell's window.
        on_windows_mean: the mean of those differences.
        agreement: share of the cells with the same class (largest output) as the model on the
            window.
        inexact_layers: the layers that can make windows differ, with the reason.
        tolerance: the largest difference that counts as equal.
        cells: number of cells compared.
    """

    at_original_size: float
    on_windows: float
    on_windows_mean: float
    agreement: float
    inexact_layers: tuple[InexactLayer, ...]
    tolerance: float
    cells: int
    pooling: str

    @property
    def equal(self) -> bool:
        """(a) The converted model equals the model at the training size."""
        return self.at_original_size <= self.tolerance

    @property
    def exact(self) -> bool:
        """(b) Each cell of a larger image equals the model on its window, as measured.

        Also False if nothing was measured: no cells, or `pooling="map"`, which has no windows.
        """
        return self.equal and self.cells > 0 and self.on_windows <= self.tolerance

    def __str__(self) -> str:
        first = (
            f"(a) original size: largest difference {self.at_original_size:.2g} standard "
            f"deviations, {'equal' if self.equal else 'NOT equal'}"
        )
        if self.pooling == "map":
            return (
                f"{first}\n(b) the map reading has no windows: the mean over its positions is the "
                "classifier's logit. pooling='window' gives one classification per window."
            )
        lines = [
            first,
            f"(b) windows of larger images ({self.cells} cells): largest difference "
            f"{self.on_windows:.2g}, mean {self.on_windows_mean:.2g}, same class in "
            f"{self.agreement:.1%}, {'exact' if self.exact else 'NOT exact'}",
        ]
        if not self.inexact_layers and not self.exact:
            lines.append(
                "    the cause is not a layer of the network: fcn is no conversion of this model."
                if not self.equal
                else "    the layer that causes this is not known."
            )
        if self.inexact_layers and self.exact:
            lines.append("    on other images a layer can make a difference:")
        by_reason: dict[str, list[str]] = {}
        for one in self.inexact_layers:
            by_reason.setdefault(one.reason, []).append(one.layer)
        lines += [f"    {', '.join(names)}: {why}." for why, names in by_reason.items()]
        return "\n".join(lines)


def verify(
    model: keras.Model,
    fcn: keras.Model,
    *,
    window: tuple[int, ...] | None = None,
    grid: tuple[int, ...] | None = None,
    images: np.ndarray | None = None,
    tolerance: float | None = None,
    batch_size: int = 64,
) -> Report:
    """Compare a converted network with its original.

    (a) at the training size; (b) on a larger image, every cell with the model on its window, as
    given by `geometry`. If (b) does not hold, the report names the layers that can be the cause.

    Args:
        model: the original classifier, with one image input.
        fcn: its conversion.
        window: training size; None takes it from the conversion.
        grid: cells per axis of the larger image, for random images; None is (2, 3).
        images: `(B, height, width, C)` to compare on instead of noise; differences on real images
            may be smaller or larger than on noise.
        tolerance: the largest difference that counts as equal; None takes that of the conversion.
        batch_size: number of windows classified at once.

    Raises:
        ValueError: not a model, or one with other or several inputs; `images` smaller than a window
            or of another shape; a `grid` or `batch_size` below 1.
    """
    if not callable(model):
        raise ValueError(
            "verify runs the original. Expected: a Keras model; `km.convert.load` opens a file. "
            f"Received: {model!r}."
        )
    if len(model.inputs if hasattr(model, "inputs") else [0]) != 1:
        raise ValueError(
            "verify compares models of one image input. Expected: 1 input. "
            f"Received: {len(model.inputs)}."
        )
    places = geometry(fcn, window=window)
    _check_original(model, fcn)
    record = _record(model, fcn, places)
    same, allowed, _ = equality.at_original_size(model, fcn, record, limit=tolerance)
    if record.pooling == "map":
        inexact = tuple(receptive_fields(fcn, places.window)[1])
        return Report(same, 0.0, 0.0, 1.0, inexact, allowed, 0, "map")
    _check_choice(places, grid, batch_size)
    batches = _noise(fcn, places, grid) if images is None else [_batch(fcn, images)]
    places = geometry(fcn, window=places.window, size=_size(fcn, batches[0], places.window))
    compared = [_compare(model, fcn, places, batch, batch_size) for batch in batches]
    windows = max(compared, key=lambda one: equality.spread(one.expected))
    difference = np.abs(windows.found - windows.expected) / equality.unit(windows.expected)
    if tolerance is None and same <= allowed < difference.max():
        most = equality.tolerance(model)
        more = equality.with_rounding(most, fcn, windows.images, windows.read, windows.expected)
        allowed = max(allowed, more)
    return Report(
        at_original_size=same,
        on_windows=float(difference.max()),
        on_windows_mean=float(difference.mean()),
        agreement=float((windows.found.argmax(1) == windows.expected.argmax(1)).mean()),
        inexact_layers=tuple(receptive_fields(fcn, places.size)[1]),
        tolerance=allowed,
        cells=len(windows.expected) // len(windows.images),
        pooling="window",
    )


def _check_original(model, fcn: keras.Model) -> None:
    """Both must take the same images, but for their size."""
    ours = tuple(fcn.inputs[0].shape[1:])
    theirs = tuple(model.inputs[0].shape[1:]) if getattr(model, "inputs", None) else ours
    pairs = zip(theirs, ours, strict=False)
    if len(theirs) != len(ours) or any(a != b for a, b in pairs if None not in (a, b)):
        raise ValueError(
            "The two models take different images, so one is no conversion of the other. Expected: "
            f"an original of inputs like {ours}. Received: {theirs}."
        )


def _check_choice(places: Geometry, grid, batch_size: int) -> None:
    if grid is not None and (len(grid) != len(places.window) or min(grid) < 1):
        raise ValueError(
            f"grid is invalid. Expected: {len(places.window)} numbers of cells, 1 or more. "
            f"Received: {grid}."
        )
    if batch_size < 1:
        raise ValueError(f"batch_size is invalid. Expected: 1 or more. Received: {batch_size}.")


def _batch(fcn: keras.Model, images) -> np.ndarray:
    images, wanted = np.asarray(images), tuple(fcn.inputs[0].shape[1:])
    fits = len(images.shape) == len(wanted) + 1 and images.size
    if not fits or any(w not in (None, n) for w, n in zip(wanted, images.shape[1:], strict=True)):
        named = tuple("any" if d is None else d for d in wanted)
        raise ValueError(
            f"images do not fit the network. Expected: one image or more of shape {named}. "
            f"Received: {images.shape}."
        )
    return images


def _size(fcn: keras.Model, images, window) -> tuple[int, ...]:
    """Of the images, in pixels."""
    size = size_of(fcn, images.shape[1:])
    if any(n < w for n, w in zip(size, window, strict=True)):
        raise ValueError(
            f"images are smaller than a window. Expected: at least {window}. Received: {size}."
        )
    return size


def _noise(fcn, places: Geometry, grid) -> list[np.ndarray]:
    """Images around 0 and of 0 to 255: a network tells apart windows of the one or the other."""
    grid = grid or (2, 3, 2)[: len(places.window)]
    axes = zip(places.window, grid, places.stride, places.size_step, strict=True)
    size = tuple(int(w + (n - 1) * max(s, step)) for w, n, s, step in axes)
    return [equality.random_images(fcn, [size], seed=1, scale=scale) for scale in (1.0, 255.0)]


@dataclass(frozen=True)
class _Windows:
    """Every window inside `images`: what the network says, `read` from its outputs, and the model.

    `found` and `expected` are `(windows, D)`.
    """

    images: np.ndarray
    read: Callable[[list], np.ndarray]
    found: np.ndarray
    expected: np.ndarray


def _compare(model, fcn, places: Geometry, images, batch_size) -> _Windows:
    first, rank = channels_first(fcn), len(places.window)
    scores = equality.outputs(fcn, images)
    shape = scores[0].shape[2:] if first else scores[0].shape[1 : rank + 1]
    cells = [c for c in product(*map(range, shape)) if _inside(places, c)]
    if not cells:
        raise ValueError(
            "No cell can be compared. Expected: images that hold the window of a cell. Received: "
            f"size {places.size}, windows of {places.window} from {places.start} on."
        )
    crops = np.concatenate([_crop(images, places.window_box(*c), first) for c in cells])
    parts = [crops[i : i + batch_size] for i in range(0, len(crops), batch_size)]
    expected = np.concatenate([equality.outputs(model, part)[0] for part in parts])

    def read(ys):
        maps = np.moveaxis(ys[0], 1, -1) if first else ys[0]
        return np.concatenate([maps[(slice(None), *c)] for c in cells]).reshape(len(crops), -1)

    return _Windows(images, read, read(scores), expected.reshape(len(crops), -1))


def _inside(places: Geometry, cell) -> bool:
    """Whether the window of a cell lies on whole pixels of the image."""
    sides = zip(*_sides(places.window_box(*cell)), places.size, strict=True)
    return all(a >= 0 and b <= n and a == int(a) for a, b, n in sides)


def _sides(box) -> tuple:
    """First and last pixel along each axis, height first, of a box (left, top, right, bottom)."""
    rank = len(box) // 2
    return box[:rank][::-1], box[rank:][::-1]


def _crop(images: np.ndarray, box, first: bool) -> np.ndarray:
    window = [slice(int(a), int(b)) for a, b in zip(*_sides(box), strict=True)]
    return images[(slice(None), *([slice(None)] if first else []), *window)]


def _record(model, fcn: keras.Model, places: Geometry) -> Conversion:
    """Of the conversion. One that came back from a file has none: a map's is made again."""
    if hasattr(fcn, "conversion"):
        return fcn.conversion
    remembered = read_training_size(fcn)
    first = channels_first(fcn)
    if remembered is None or remembered.pooling == "window":
        tails = (None,) * len(fcn.outputs)
        stride = tuple(max(1, int(s)) for s in places.stride)
        return Conversion((), (), "window", (places.window,), stride, 1, tails, first)
    image = next(x for x in fcn.inputs if len(x.shape) > 2)
    sizes = iter(places.window)
    shape = tuple(next(sizes) if d is None else d for d in image.shape[1:])
    kept = {"allow_global": True, "input_shape": shape, "name": None}
    return rewrite(model, pooling="map", densify=remembered.densify, **kept)[1]
