"""`geometry`: positions of the cells on the image, and their receptive fields."""

import math
from dataclasses import dataclass, field

import keras
import numpy as np
from keras import tree

from keras_metric.arguments import whole
from keras_metric.convert.geometry.walk import free_sides, receptive_fields
from keras_metric.convert.graph.site import read_training_size
from keras_metric.convert.graph.trace import input_structure

Box = tuple[float, ...]


@dataclass(frozen=True)
class Geometry:
    """Positions and receptive fields of the cells of a map.

    Sizes and cells are given per axis, height first: `(height, width)`, `(row, column)`. Boxes are
    `(left, top, right, bottom)` in pixels, right and bottom excluded; of a signal `(start, end)`.

    Attributes:
        window: the training size; each cell classifies a window of this size.
        stride: pixels between the windows of neighboring cells.
        start: first pixel of the window of cell (0, 0); not 0 if 'same' padding adds its zeros at
            another side for `size` than for the training size. With `pooling="map"` a cell is one
            position, and its window is centered on the receptive field of that position.
        receptive_field: size in pixels; larger than the window with 'same' padding, infinite if a
            layer reads the whole image. With upsampling layers it differs between cells: then the
            smallest size that contains all of them.
        offset: first pixel of the receptive field of cell (0, 0).
        size_step: sizes `window + k * size_step` keep the phase of strided 'same' layers.
        size: the image size for which these numbers are valid.
        read: per axis, the first pixel that each cell of an image of `size` reads, and the one
            after the last.
    """

    window: tuple[int, ...]
    stride: tuple[float, ...]
    start: tuple[float, ...]
    receptive_field: tuple[float, ...]
    offset: tuple[float, ...]
    size_step: tuple[int, ...]
    size: tuple[int, ...]
    read: tuple[tuple[np.ndarray, np.ndarray], ...] = field(default=(), repr=False, compare=False)

    def __str__(self) -> str:
        lines = [
            f"window           {_by(self.window)} pixels of the image for each cell",
            f"stride           {_by(self.stride)} pixels between cells",
            f"receptive field  {_by(self.receptive_field)} pixels, the first at {self._first()}",
        ]
        if max(self.size_step) > 1:
            lines.append(
                f"sizes            {_by(self.window)} and multiples of {_by(self.size_step)} more "
                "keep the cells in place"
            )
        return "\n".join(lines)

    def _first(self) -> str:
        return f"({', '.join(f'{n:g}' for n in self.offset)})"

    def window_box(self, *cell: int) -> Box:
        """`(left, top, right, bottom)` of the part of the image that a cell classifies.

        For cell `(row, column)`. The box may start between two pixels if upsampling places cells
        closer than pixels, and extend beyond the image.
        """
        first = [a + i * s for a, i, s in zip(self.start, cell, self.stride, strict=True)]
        return _box(first, [a + n for a, n in zip(first, self.window, strict=True)])

    def receptive_box(self, *cell: int) -> Box:
        """`(left, top, right, bottom)` of the smallest box of all pixels that influence a cell.

        For cell `(row, column)` of an image of `size`; empty, at the border, where a cell reads
        added zeros alone.
        """
        sides = [self._reads(axis, i) for axis, i in enumerate(cell)]
        return _box([first for first, _ in sides], [last for _, last in sides])

    def _reads(self, axis: int, i: int) -> tuple[int, int]:
        """First pixel and end; beyond the cells of the image, what a cell there would read."""
        if self.read and 0 <= i < len(self.read[axis][0]):
            first, last = (int(ends[i]) for ends in self.read[axis])
            if first < last:
                return first, last
        start, n = self.offset[axis] + i * self.stride[axis], self.size[axis]
        end = start + self.receptive_field[axis]
        if math.isinf(end - start):
            return 0, n
        first = min(max(math.floor(start), 0), n)
        return first, max(first, min(math.ceil(end), n))

    def window_boxes(self, *cells: int) -> np.ndarray:
        """`(rows, columns, 4)`: the window box `(left, top, right, bottom)` of every cell."""
        grid = np.stack(np.meshgrid(*map(np.arange, cells), indexing="ij"), axis=-1)
        first = np.asarray(self.start) + grid * np.asarray(self.stride)
        last = first + np.asarray(self.window)
        return np.concatenate([first[..., ::-1], last[..., ::-1]], axis=-1)

    def keeps_phase(self, *size: int) -> bool:
        """Whether cells of an image of `size` have the same positions as at the training size."""
        steps = zip(size, self.window, self.size_step, strict=True)
        return all((n - w) % step == 0 for n, w, step in steps)

    def fitting_size(self, *at_least: int) -> tuple[int, ...]:
        """The smallest size of at least `at_least` that keeps the phase and uses all pixels."""
        step = [max(k, int(s)) for k, s in zip(self.size_step, self.stride, strict=True)]
        return tuple(
            w + max(0, math.ceil((n - w) / k)) * k
            for n, w, k in zip(at_least, self.window, step, strict=True)
        )


def geometry(
    fcn: keras.Model,
    *,
    window: tuple[int, ...] | None = None,
    size: tuple[int, ...] | None = None,
    output: int = 0,
) -> Geometry:
    """The geometry of the cells of a fully convolutional network.

    A layer of kernel k, stride s, dilation d and p zeros before the map takes the receptive field
    `(size, stride, offset)` of a position to

        (size + (k - 1) d stride,  stride * s,  offset - p * stride)

    Args:
        fcn: result of `to_fully_convolutional`, or any network with free image sizes.
        window: training size; None takes it from the converted network, where it is stored; for any
            other network it is the smallest image that gives one cell.
        size: image size, on which the phase of strided 'same' layers depends; None is the window.
        output: which output, for models with several.

    Raises:
        ConversionError: branches of different strides are combined, so that no box describes a
            cell.
        ValueError: `fcn` is not a model of images, or `window`, `size` or `output` do not match.

    Vedaldi and Lenc, "MatConvNet", 2015, "Geometry" (receptive fields of chains and joins).
    """
    window = window_of(fcn, window)
    size = window if size is None else tuple(size)
    if len({len(window), len(size), free_sides(_image(fcn))}) > 1 or not 0 <= output < len(
        fcn.outputs
    ):
        raise ValueError(
            "There is no such map. Expected: a window and a size of "
            f"{free_sides(_image(fcn))} sides, and an output from 0 to {len(fcn.outputs) - 1}. "
            f"Received: window {window}, size {size}, output {output}."
        )
    remembered = read_training_size(fcn)
    at_window, inexact = receptive_fields(fcn, window)
    fields = receptive_fields(fcn, size)[0][output] if size != window else at_window[output]
    if fields is None:
        raise ValueError(
            f"Output {output} has no positions. Expected: an output that is a map over the image. "
            f"Received: shape {tuple(fcn.outputs[output].shape)}."
        )
    if remembered and remembered.pooling == "map":
        start = _around(receptive_fields(fcn, size, gates=False)[0][output], window)
    else:
        start = _moved(fields, at_window[output])
    phased = any(layer.kind == "phase" for layer in inexact)
    strides = tuple(_plain(f.stride) for f in fields)
    finer = remembered.densify if remembered else 1
    return Geometry(
        window=window,
        stride=strides,
        start=start,
        receptive_field=tuple(_plain(f.size) for f in fields),
        offset=tuple(_plain(f.offset) for f in fields),
        size_step=tuple(max(1, math.ceil(s)) * finer if phased else 1 for s in strides),
        size=size,
        read=tuple((f.first, f.last) for f in fields),
    )


def window_of(fcn: keras.Model, window=None) -> tuple[int, ...]:
    """`window` as integers, one a side of the image; the training size when left out."""
    sides = free_sides(_image(fcn))
    if window is None:
        return training_size(fcn)
    if isinstance(window, str) or len(window) != sides:
        raise ValueError(
            f"The window does not fit. Expected: {sides} sides in pixels. "
            f"Received: window={window!r}."
        )
    return tuple(whole("window", side) for side in window)


def training_size(fcn: keras.Model) -> tuple[int, ...]:
    """What a converted network was trained on; for any other, the smallest image with a cell."""
    remembered = read_training_size(fcn)
    return remembered.window if remembered else smallest_size(fcn)


def _moved(fields, reference) -> tuple[float, ...]:
    """How far the zeros of 'same' layers shift the cells from where they lay at training."""
    pairs = zip(fields, reference, strict=True)
    return tuple(_plain(f.offset - r.offset) if math.isfinite(f.offset) else 0 for f, r in pairs)


def _around(fields, window) -> tuple[float, ...]:
    """The first pixel of a window with the same middle as the field of position 0."""
    pairs = zip(fields, window, strict=True)
    return tuple(
        _plain(f.offset + (f.size - n) / 2) if math.isfinite(f.size) else 0 for f, n in pairs
    )


def smallest_size(fcn: keras.Model, limit: int = 4096) -> tuple[int, ...]:
    """The smallest image for which every output has at least one cell: bisection, axis by axis."""
    size = [limit] * (free_sides(_image(fcn)))
    if not _has_cells(fcn, size):
        raise ValueError(
            f"No image up to {limit} pixels gives a cell. Expected: window=(height, width), the "
            f"training size. Received: {fcn.name!r} without it."
        )
    for axis in range(len(size)):
        low, high = 0, limit
        while high - low > 1:
            size[axis] = (low + high) // 2
            low, high = (low, size[axis]) if _has_cells(fcn, size) else (size[axis], high)
        size[axis] = high
    return tuple(size)


def _has_cells(fcn: keras.Model, size) -> bool:
    def sized(x):
        rest = iter(size)
        shape = [next(rest) if d is None else d for d in x.shape[1:]]
        return keras.KerasTensor((1, *shape), x.dtype)

    inputs = tree.map_structure(sized, input_structure(fcn))
    try:
        made = fcn.compute_output_spec(inputs)
    except Exception:  # each layer says in its own words that the map became too small
        return False
    return all(d is None or d >= 1 for y in tree.flatten(made) for d in y.shape)


def _image(fcn: keras.Model):
    """The first input that is an image; raises ValueError where there is none."""
    inputs = (fcn.inputs or []) if isinstance(fcn, keras.Model) else []
    found = next((x for x in inputs if len(x.shape) > 2), None)
    if found is None:
        shapes = ", ".join(str(tuple(x.shape)) for x in inputs)
        raise ValueError(
            "The model has no map over an image. Expected: a Keras model of images, such as the "
            "result of to_fully_convolutional. Received: "
            f"{f'inputs {shapes}' if shapes else repr(fcn)}."
        )
    if None not in found.shape[1:]:
        raise ValueError(
            f"{fcn.name!r} takes images of one size. Expected: a network for images of any size, "
            "such as the result of to_fully_convolutional. "
            f"Received: an input of {tuple(found.shape)}."
        )
    return found


def _by(numbers) -> str:
    return " x ".join(f"{n:g}" for n in numbers)


def _plain(x) -> float:
    """An int where it is one."""
    if isinstance(x, float) and math.isinf(x):
        return x
    return int(x) if x == int(x) else float(x)


def _box(first, last) -> Box:
    """Of pixels per axis, height first: `(left, top, right, bottom)`."""
    return tuple(_plain(x) for x in (*reversed(first), *reversed(last)))
