"""Which token belongs to which cell of the image? Measured, one binary digit of a cell at a time.

The cells along an axis are numbered in binary. For each digit, the cells where it is 1 are replaced
by noise, and then those where it is 0: a token changes more with the half that its own cell is in.
So the changes spell the number of its cell, whatever order the tokens are in (windows, columns),
and wherever those without a place are (class token, registers).
"""

import math
from collections.abc import Callable, Iterator
from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_metric.cam.network.axes import noise_like
from keras_metric.cam.network.positions import Image, Positions, grids_of_tokens

SURE = 0.5  # agreement, 1 where tokens change with their own cell only, 0 where with all alike
PLACED = 0.3  # the least agreement of a token with its cell where the grid is sure
EXTRA = 32  # tokens without a place


class Elsewhere(NamedTuple):
    """Tokens that change with parts of the image, but not as any grid over it would."""


def placed(run: Callable, inputs, image: Image, layout: Positions) -> Positions | Elsewhere:
    """The layout with its tokens where they are measured.

    The same layout if they are where it has them, or if all change with the whole image alike.

    Args:
        run: `run(inputs)` -> activations with the layout's tokens, the last one the mapped one; one
            before it tells where tokens are before they are mixed.
        inputs: two examples.
        layout: as the shapes suggest.
    """
    known = _digits(run, inputs, image, layout, layout.grid)
    tokens = len(known[-1])
    usual = _as_they_are(layout, tokens)
    for skip, grid in _grids(layout, image, tokens):
        found = known
        if grid != layout.grid:
            found = _digits(run, inputs, image, layout, grid)
        for digits in reversed(found):
            places = _places(digits, _numbers(grid))
            if places is None:
                continue
            if grid == layout.grid and places == usual:
                return layout
            if not layout.is_tokens:
                return Elsewhere()
            rows = places == tuple(range(skip, tokens))
            return Positions(grid, layout.axes, skip, (), () if rows else places)
    here = known[-1][list(usual)]
    apart = here - here.mean(axis=0)  # what all change with alike says nothing of a place
    best, own = np.abs(apart).mean(), (apart * _numbers(layout.grid)).mean()
    return Elsewhere() if best >= SURE > 2 * own else layout


def _grids(layout: Positions, image: Image, tokens: int) -> Iterator[tuple[int, tuple[int, ...]]]:
    """How many tokens have no place, and the grid of the others: the known one first."""
    yield tokens - layout.count, layout.grid
    if layout.is_tokens:
        for skip, grid in grids_of_tokens(tokens, image.size, EXTRA):
            if grid != layout.grid:
                yield skip, grid


def _as_they_are(layout: Positions, tokens: int) -> tuple[int, ...]:
    """The token of each cell."""
    if not layout.is_tokens:
        return tuple(range(tokens))
    order = layout.order or tuple(range(len(layout.grid)))
    numbers = np.arange(layout.count).reshape([layout.grid[a] for a in order])
    numbers = numbers.transpose([order.index(a) for a in range(len(order))])
    return tuple((layout.skip + numbers.ravel()).tolist())


def _places(digits: np.ndarray, numbers: np.ndarray) -> tuple[int, ...] | None:
    """The token of each cell `(N,)` if each cell has one of its own, and the others have none."""
    weights = 1 << np.arange(numbers.shape[1])
    cells = np.full(weights.sum() + 1, -1)
    cells[(numbers > 0) @ weights] = np.arange(len(numbers))
    cell, sure = cells[(digits > 0) @ weights], np.abs(digits).mean(axis=1)
    places = np.full(len(numbers), -1)
    order = np.argsort(sure, kind="stable")
    order = order[cell[order] >= 0]
    places[cell[order]] = order  # the last one assigned, the surest, stays
    if places.min() < 0:
        return None
    own, others = sure[places], np.delete(sure, places)
    each = own.mean() >= SURE and own.min() >= PLACED and (others < own.min()).all()
    return tuple(places.tolist()) if each else None


def _numbers(grid: tuple[int, ...]) -> np.ndarray:
    """`(N, D)` binary digits of the numbers of the cells along each axis, 1 and -1."""
    places = np.indices(grid).reshape(len(grid), -1)
    digits = [p >> d & 1 for p, n in zip(places, grid, strict=True) for d in range(_length(n))]
    return 2 * np.stack(digits, axis=1) - 1


def _length(cells: int) -> int:
    return math.ceil(math.log2(cells))


def _digits(run: Callable, inputs, image: Image, layout, grid) -> list[np.ndarray]:
    """`(T, D)` of each activation: from 1, where a token changes with the cells whose digit is 1
    only, to -1, where it changes with the others only.
    """
    flat = [ops.convert_to_numpy(ops.cast(x, "float32")) for x in keras.tree.flatten(inputs)]
    flat = [np.concatenate([x[:1], x[:1]]) for x in flat]
    kinds = [x.dtype for x in keras.tree.flatten(inputs)]
    photo = flat[image.number]
    noise = noise_like(photo, np.random.default_rng(2))

    def tokens(changed):
        now = [changed if i == image.number else x for i, x in enumerate(flat)]
        now = [ops.cast(ops.convert_to_tensor(x), k) for x, k in zip(now, kinds, strict=True)]
        return [_by_token(x, layout) for x in run(keras.tree.pack_sequence_as(inputs, now))]

    before = tokens(photo)
    found: list[list] = [[] for _ in before]
    for axis, cells in enumerate(grid):
        for digit in range(_length(cells)):
            half = _over_pixels(np.arange(cells) >> digit & 1, image, axis, photo.ndim)
            both = np.concatenate([half, 1 - half])
            after = tokens((photo + both * (noise - photo)).astype("float32"))
            for digits, old, new in zip(found, before, after, strict=True):
                change = np.square(new - old).sum(-1)
                side = (change[0] - change[1]) / np.maximum(change.sum(0), 1e-30)
                digits.append(np.nan_to_num(side))
    return [np.stack(digits, axis=1) for digits in found]


def _by_token(activation, layout: Positions) -> np.ndarray:
    """`(2, T, K)`, in float64."""
    values = ops.convert_to_numpy(ops.cast(activation, "float32")).astype("float64")
    values = np.moveaxis(values, layout.axes, range(1, 1 + len(layout.axes)))
    lengths = values.shape[1 : 1 + len(layout.axes)]
    return values.reshape(len(values), math.prod(lengths), -1)


def _over_pixels(ones: np.ndarray, image: Image, axis: int, rank: int) -> np.ndarray:
    """1 at the pixels of the cells that are 1, in a shape that multiplies with the image."""
    length = image.size[axis]
    along = ones[np.arange(length) * len(ones) // length]
    return along.reshape([length if a == image.axes[axis] else 1 for a in range(rank)])
