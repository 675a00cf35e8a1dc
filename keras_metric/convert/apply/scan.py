"""Run a converted network on an image of any size: as a whole if it fits, else in tiles."""

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from numbers import Integral

import keras
import numpy as np
from keras import tree

from keras_metric.convert.apply.tiles import Axis, disagreement, side_for, tile_size
from keras_metric.convert.errors import ConversionError
from keras_metric.convert.geometry.geometry import Geometry, geometry, window_of
from keras_metric.convert.geometry.walk import Walk, channels_first, size_of
from keras_metric.convert.graph.trace import input_structure
from keras_metric.convert.verify import equality


@dataclass(frozen=True, eq=False)
class Scan:
    """Scores of every cell of an image, and where the cells lie.

    Attributes:
        scores: `(rows, columns, D)` float32, channels last.
        geometry: of the network at the size of the image; `detections(scores, geometry)`.
        tile: pixels of a tile; the size of the image if it was scanned as a whole.
        tiles: number of tiles.
        seam: the largest difference in the cells that two tiles share, in standard deviations of
            the scores (of the tile in which they vary most); 0 for one tile.
    """

    scores: np.ndarray
    geometry: Geometry
    tile: tuple[int, ...]
    tiles: int
    seam: float


def scan(
    fcn: keras.Model,
    image,
    *,
    tile: int | tuple[int, ...] | None = None,
    memory: float = 2**30,
    window: tuple[int, ...] | None = None,
    output: int = 0,
    progress: Callable[[list], Iterable] = iter,
) -> Scan:
    """The score map of a large image, computed tile by tile, equal to that of the whole image.

    Tiles overlap by the receptive field, so that no cell that is kept reads the edge of a tile, and
    their positions keep strides and 'same' padding as in the whole image. Cells next to a seam are
    computed twice and compared.

    Args:
        fcn: result of `to_fully_convolutional`, or any network of one image input with free sizes.
        image: `(H, W, C)` as the network takes it, without the batch axis (channels first if
            the network is). Any object that is sliced like an array; a memory-mapped file is read
            tile by tile.
        tile: pixels per side, or `(height, width)`; None takes the largest that `memory` allows.
        memory: bytes that all maps of one tile may take in float32: an estimate, since backends
            differ in what they keep at once.
        window: training size, for a network in which it is not stored.
        output: which output, for networks with several.
        progress: a function that wraps the list of tiles, such as a progress bar.

    Returns:
        A `Scan`.

    Raises:
        ValueError: an image of another rank, with other channels or smaller than a window; a tile
            that is too small.
        ConversionError: the image needs tiles and a layer reads the whole image, or tiles
            disagree.
    """
    image = image if hasattr(image, "dtype") else np.asarray(image)
    size = _checked(fcn, image, window)
    places = geometry(fcn, window=window, size=size, output=output)
    walk = Walk(fcn, size)
    axes = _axes(walk, places, output)
    sides = _sides(walk, axes, tile, memory)
    cuts = list(product(*(axis.cuts(n) for axis, n in zip(axes, sides, strict=True))))
    scores, filled = None, np.zeros([axis.cells for axis in axes], bool)
    apart, unit = 0.0, equality.unit(np.zeros(1))
    for cut in progress(cuts):
        found = _run(fcn, image, cut, output)
        if scores is None:
            scores = np.zeros((*filled.shape, found.shape[-1]), "float32")
        part = found[tuple(c.kept for c in cut)]
        place = tuple(c.cells for c in cut)
        unit = max(unit, equality.unit(part[np.isfinite(part)]))
        difference = disagreement(scores, filled, part, place)
        apart = max(apart, difference)
        _check_seam(fcn, difference / unit, cut)
        scores[place], filled[place] = part, True
    return Scan(scores, places, sides, len(cuts), apart / unit)


def _checked(fcn: keras.Model, image, window) -> tuple[int, ...]:
    """The size of the image, in pixels."""
    inputs = tree.flatten(fcn.inputs)
    if len(inputs) != 1:
        raise ValueError(
            f"The network has more than one input. Expected: 1 input. Received: {len(inputs)}."
        )
    shape, wanted = tuple(image.shape), tuple(inputs[0].shape[1:])
    if wanted.count(None) < max(len(wanted) - 1, 1):
        raise ValueError(
            "The network has a fixed input size. Expected: the result of to_fully_convolutional. "
            f"Received: input shape {wanted}."
        )
    if getattr(image.dtype, "kind", "f") not in "biuf":
        raise ValueError(
            f"The image is not an array of numbers. Expected: pixels. Received: {image.dtype}."
        )
    fits = len(shape) == len(wanted)
    if not fits or any(d not in (None, n) for n, d in zip(shape, wanted, strict=True)):
        named = tuple("any" if d is None else d for d in wanted)
        raise ValueError(
            f"The image does not fit the network. Expected: shape {named}, without a batch axis. "
            f"Received: {shape}."
        )
    size = size_of(fcn, shape)
    least = window_of(fcn, window)
    if any(n < w for n, w in zip(size, least, strict=True)):
        raise ValueError(
            "The image is smaller than a window. Expected: at least "
            f"{' x '.join(map(str, least))} pixels. Received: {' x '.join(map(str, size))}."
        )
    return size


def _axes(walk: Walk, places: Geometry, output: int) -> list[Axis]:
    fields = walk.outputs()[output]
    numbers = zip(places.size, walk.cells(output), fields, walk.steps(), strict=True)
    return [Axis(n, count, f.size, f.offset, f.stride, step) for n, count, f, step in numbers]


def _sides(walk: Walk, axes: list[Axis], tile, memory: float) -> tuple[int, ...]:
    """Sides of a tile: as requested, or as large as the memory allows."""
    size = tuple(axis.size for axis in axes)
    if tile is None:
        if walk.bytes() <= memory:
            return size
        _check_local(walk, axes, f"memory of {walk.bytes():,} bytes")
        return tile_size(axes, side_for(axes, walk.bytes(), memory))
    wanted = tuple(tile) if isinstance(tile, (tuple, list)) else (tile,) * len(axes)
    if len(wanted) != len(axes) or not all(_is_side(n) for n in wanted):
        raise ValueError(
            f"tile is invalid. Expected: {len(axes)} positive sides. Received: {tile!r}."
        )
    wanted = tuple(map(int, wanted))
    if all(w >= n for w, n in zip(wanted, size, strict=True)):
        return size
    _check_local(walk, axes, f"a tile of {' x '.join(map(str, size))} pixels, the whole image")
    return tile_size(axes, tuple(min(w, n) for w, n in zip(wanted, size, strict=True)))


def _is_side(n) -> bool:
    return isinstance(n, Integral) and not isinstance(n, bool) and n > 0


def _check_local(walk: Walk, axes: list[Axis], otherwise: str) -> None:
    if any(math.isinf(axis.field) for axis in axes):
        names = [one.layer for one in walk.inexact_layers if one.kind == "whole image"]
        raise ConversionError(
            "The image cannot be cut into tiles: every cell reads all of it. Expected: layers that "
            f"look at a part of the image, or {otherwise}. Received: {', '.join(names)}."
        )


def _run(fcn: keras.Model, image, cut, output: int) -> np.ndarray:
    """All scores of one tile, `(rows, columns, D)`."""
    first = channels_first(fcn)
    pixels = tuple(slice(c.start, c.end) for c in cut)
    part = np.asarray(image[(slice(None), *pixels) if first else pixels])
    batch = part[None].astype(fcn.inputs[0].dtype)
    found = fcn.predict_on_batch(tree.pack_sequence_as(input_structure(fcn), [batch]))
    scores = np.asarray(tree.flatten(found)[output][0], "float32")
    return np.moveaxis(scores, 0, -1) if first else scores


def _check_seam(fcn: keras.Model, difference: float, cut) -> None:
    limit = 10 * equality.tolerance(fcn)
    if not difference <= limit:
        where = " x ".join(f"[{c.start}, {c.end})" for c in cut)
        raise ConversionError(
            "Two tiles disagree in the cells that they share: a layer treats the edge of a tile as "
            f"the edge of the image. Expected: a difference of at most {limit:.1g} standard "
            f"deviations. Received: {difference:.3g} in the tile {where}."
        )
