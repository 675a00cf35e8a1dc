"""How exact a conversion is: measured at the original size and on windows of larger images."""

from dataclasses import dataclass
from itertools import product

import keras
import numpy as np

from keras_metric.convert import check, note
from keras_metric.convert.convert import Conversion, rewrite
from keras_metric.convert.fields import Fault, channels_first, follow
from keras_metric.convert.geometry import Geometry, geometry


@dataclass(frozen=True)
class Report:
    """What `verify` found. Differences are in standard deviations of the model's output.

    Attributes:
        at_original_size: largest difference at the training size.
        on_windows: largest difference between a cell and the model on that cell's window.
        on_windows_mean: the mean of those differences.
        agreement: share of the cells whose largest output is that of the model on the window.
        faults: the layers that make windows differ, with the reason.
        tolerance: what counts as equal.
        cells: the number of cells compared.
    """

    at_original_size: float
    on_windows: float
    on_windows_mean: float
    agreement: float
    faults: tuple[Fault, ...]
    tolerance: float
    cells: int
    pooling: str

    @property
    def equal(self) -> bool:
        """(a) The converted model is the model at the training size."""
        return self.at_original_size <= self.tolerance

    @property
    def exact(self) -> bool:
        """(b) Each cell of a larger image is the model on its window (for the first output)."""
        return self.equal and not self.faults and self.on_windows <= self.tolerance

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
        if not self.faults and not self.exact:
            lines.append("    no layer is known to cause this: please report the model.")
        by_reason: dict[str, list[str]] = {}
        for fault in self.faults:
            by_reason.setdefault(fault.reason, []).append(fault.layer)
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
    """Compare a converted network with the model it came from.

    (a) at the training size; (b) on a larger image, every cell with the model on the window that
    `geometry` says is the cell's. The verdict also names each layer that makes (b) impossible.

    Args:
        model: the original classifier, with one image input.
        fcn: its conversion.
        window: training size; None takes it from the conversion.
        grid: cells per axis of the larger image, for random images; None is (2, 3).
        images: `(B, height, width, C)` to compare on instead of noise; the verdict on real images
            is milder or harsher than on noise.
        tolerance: what counts as equal; None chooses by precision as the conversion does.
        batch_size: windows classified at once.

    Raises:
        ValueError: a model with several image inputs or `images` smaller than a window.
    """
    if len(model.inputs if hasattr(model, "inputs") else [0]) != 1:
        raise ValueError(
            f"verify compares models of one image input. Expected 1. Received: "
            f"{len(model.inputs)} inputs."
        )
    places = geometry(fcn, window=window)
    tolerance = check.tolerance(model) if tolerance is None else tolerance
    record = _record(model, fcn, places)
    same = check.same_at_original_size(model, fcn, record, limit=np.inf)
    if record.pooling == "map":
        faults = tuple(follow(fcn, places.window)[1])
        return Report(same, 0.0, 0.0, 1.0, faults, tolerance, 0, "map")
    return _on_windows(model, fcn, places, same, grid, images, tolerance, batch_size)


def _on_windows(model, fcn, places: Geometry, same, grid, images, tolerance, batch_size) -> Report:
    batches = _noise(fcn, places, grid) if images is None else [images]
    size = batches[0].shape[2:] if channels_first(fcn) else batches[0].shape[1:-1]
    if any(n < w for n, w in zip(size, places.window, strict=True)):
        raise ValueError(
            f"images are smaller than a window. Expected at least {places.window}. "
            f"Received: {tuple(size)}."
        )
    places = geometry(fcn, window=places.window, size=tuple(size))
    pairs = [_compared(model, fcn, places, batch, batch_size) for batch in batches]
    found, expected = max(pairs, key=lambda pair: check.spread(pair[1]))
    difference = np.abs(found - expected) / check.unit(expected)
    agree = found.argmax(1) == expected.argmax(1)
    return Report(
        at_original_size=same,
        on_windows=float(difference.max()),
        on_windows_mean=float(difference.mean()),
        agreement=float(agree.mean()),
        faults=tuple(follow(fcn, tuple(size))[1]),
        tolerance=tolerance,
        cells=len(expected) // len(batches[0]),
        pooling="window",
    )


def _noise(fcn, places: Geometry, grid) -> list[np.ndarray]:
    """Images around 0 and of 0 to 255: a network tells apart windows of the one or the other."""
    grid = grid or (2, 3, 2)[: len(places.window)]
    axes = zip(places.window, grid, places.stride, places.size_step, strict=True)
    size = tuple(int(w + (n - 1) * max(s, step)) for w, n, s, step in axes)
    return [check.random_images(fcn, [size], seed=1, scale=scale) for scale in (1.0, 255.0)]


def _compared(model, fcn, places: Geometry, images, batch_size) -> tuple[np.ndarray, np.ndarray]:
    """What the network says of each window inside the images, and what the model says of it."""
    first, rank = channels_first(fcn), len(places.window)
    found = check.outputs(fcn, images)[0]
    found = np.moveaxis(found, 1, -1) if first else found
    cells = [c for c in product(*map(range, found.shape[1 : rank + 1])) if _inside(places, c)]
    crops = np.concatenate([_crop(images, places.window_box(*c), first) for c in cells])
    parts = [crops[i : i + batch_size] for i in range(0, len(crops), batch_size)]
    expected = np.concatenate([check.outputs(model, part)[0] for part in parts])
    found = np.concatenate([found[(slice(None), *c)] for c in cells])
    return found.reshape(len(expected), -1), expected.reshape(len(expected), -1)


def _inside(places: Geometry, cell) -> bool:
    box, rank = places.window_box(*cell), len(cell)
    return all(
        a >= 0 and b <= n for a, b, n in zip(box[:rank], box[rank:], places.size, strict=True)
    )


def _crop(images: np.ndarray, box, first: bool) -> np.ndarray:
    rank = len(box) // 2
    window = [slice(int(a), int(b)) for a, b in zip(box[:rank], box[rank:], strict=True)]
    return images[(slice(None), *([slice(None)] if first else []), *window)]


def _record(model, fcn: keras.Model, places: Geometry) -> Conversion:
    """Of the conversion. One that came back from a file has none: a map's is made again."""
    if hasattr(fcn, "conversion"):
        return fcn.conversion
    remembered = note.read(fcn)
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
