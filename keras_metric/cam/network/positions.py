"""How an activation lies over the image: a grid of positions with K channels each.

Shapes only say what is possible (`layouts`); which of these is true is measured in
`keras_metric.cam.network.axes`.
"""

import math
from collections.abc import Iterator
from itertools import combinations, islice, permutations
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_metric.cam.network.hooks import is_tensor


class Image(NamedTuple):
    """An input that is an image, a signal or a volume.

    number: which of the flattened inputs.
    axes: its axes that are places (height and width), ascending; the others are batch and channels.
    size: the lengths of those axes.
    """

    number: int
    axes: tuple[int, ...]
    size: tuple[int, ...]

    def over(self, maps, image):
        """`(B, *size)` maps in a shape that multiplies with the image tensor."""
        shape = [n if a in self.axes else 1 for a, n in enumerate(image.shape)]
        return ops.reshape(maps, (-1, *shape[1:]))

    def where(self, mask, other, image):
        """The image where the mask `(B, *size)` is 1, and `other` where it is 0."""
        share = ops.cast(self.over(mask, image), image.dtype)
        return share * image + (1 - share) * other


class Positions(NamedTuple):
    """A grid along the axes of the image, and where its cells are in the activation.

    grid: cells along each axis of the image.
    axes: the axes of the activation that hold them: one for each axis of the image, or the one
        axis of a sequence of tokens.
    skip: tokens that belong to no place (class token, registers), before the grid.
    order: for tokens, the axes of the grid from the slowest to the fastest; () is row by row.
    places: for tokens in any other order, the token of each cell, row by row; the `skip` tokens
        without a place may then be anywhere.
    """

    grid: tuple[int, ...]
    axes: tuple[int, ...]
    skip: int = 0
    order: tuple[int, ...] = ()
    places: tuple[int, ...] = ()

    @property
    def count(self) -> int:
        return math.prod(self.grid)

    @property
    def is_tokens(self) -> bool:
        return len(self.axes) < len(self.grid)

    @property
    def is_usual(self) -> bool:
        """Axes as Keras's image data format has them; tokens row by row."""
        tokens = self.axes == (1,) and not self.order and not self.places
        return tokens if self.is_tokens else self.axes == usual_axes(len(self.axes) + 2)

    def flatten(self, activation):
        """-> `(B, N, K)` in float32."""
        flat = _transposed(ops.cast(activation, "float32"), self._first_places(activation))
        if self.places:
            flat = ops.take(flat, np.array(self.places, "int32"), axis=1)
        elif self.skip:
            flat = flat[:, self.skip :]
        channels = math.prod(flat.shape[1 + len(self.axes) :])
        if self.order:
            memory = ops.reshape(flat, (-1, *(self.grid[a] for a in self.order), channels))
            flat = _transposed(memory, (0, *(1 + self.order.index(a) for a in self._all()), -1))
        return ops.reshape(flat, (-1, self.count, channels))

    def restore(self, flat, activation):
        """`(B, N, K)` -> the activation's own layout and precision; skipped tokens as they were."""
        moved = self._first_places(activation)
        rest = [activation.shape[a] for a in moved[1 + len(self.axes) :]]
        if self.order:
            grid = ops.reshape(flat, (-1, *self.grid, flat.shape[-1]))
            flat = _transposed(grid, (0, *(1 + a for a in self.order), -1))
        lengths = (self.count,) if self.is_tokens or self.skip else self.grid
        flat = ops.cast(ops.reshape(flat, (-1, *lengths, *rest)), activation.dtype)
        if self.places:
            every = ops.concatenate([flat, _transposed(activation, moved)], axis=1)
            flat = ops.take(every, self._from_cells_and_tokens(), axis=1)
        elif self.skip:
            tokens = _transposed(activation, moved)
            flat = ops.concatenate([tokens[:, : self.skip], flat], axis=1)
        return _transposed(flat, tuple(moved.index(a) for a in range(len(moved))))

    def maps(self, flat):
        """`(B, ..., N)` -> `(B, ..., h, w)`."""
        return ops.reshape(flat, (*ops.shape(flat)[:-1], *self.grid))

    def _from_cells_and_tokens(self) -> np.ndarray:
        """For each token its cell; for those without a place the token itself, after all cells."""
        numbers = self.count + np.arange(self.count + self.skip)
        numbers[list(self.places)] = np.arange(self.count)
        return numbers.astype("int32")

    def _all(self) -> range:
        return range(len(self.grid))

    def _first_places(self, activation) -> tuple[int, ...]:
        rest = (a for a in range(1, len(activation.shape)) if a not in self.axes)
        return (0, *self.axes, *rest)


def _transposed(tensor, axes: tuple[int, ...]):
    rank = len(tensor.shape)
    axes = tuple(a % rank for a in axes)
    return tensor if axes == tuple(range(rank)) else ops.transpose(tensor, axes)


def spatial_inputs(inputs) -> list[int]:
    """Numbers of the (flattened) inputs that are images, signals or volumes.

    A model without any is taken to read a sequence of tokens `(B, L)`.
    """
    flat = keras.tree.flatten(inputs)
    places = [i for i, x in enumerate(flat) if len(x.shape) >= 3]
    return places or [i for i, x in enumerate(flat) if len(x.shape) == 2][:1]


def usual_image(inputs, number: int) -> Image:
    """An input's axes as Keras's image data format has them."""
    return image_along(inputs, number, usual_axes(len(keras.tree.flatten(inputs)[number].shape)))


def image_along(inputs, number: int, axes: tuple[int, ...]) -> Image:
    shape = keras.tree.flatten(inputs)[number].shape
    return Image(number, axes, tuple(shape[a] for a in axes))


def usual_axes(rank: int) -> tuple[int, ...]:
    """The axes of places of a tensor with channels, by Keras's image data format."""
    if rank == 2:
        return (1,)
    first = keras.config.image_data_format() == "channels_first"
    return tuple(range(2, rank)) if first else tuple(range(1, rank - 1))


def layouts(activation: Any, image: Image) -> Iterator[Positions]:
    """Every grid that an activation of this shape may be over an image, the usual one first."""
    if not is_tensor(activation) or None in tuple(activation.shape[1:]):
        return
    shape, dimensions = tuple(activation.shape), len(image.axes)
    inner = range(1, len(shape))
    usual = usual_axes(len(shape))
    if len(shape) == dimensions + 2:
        chosen = [usual, *(axes for axes in permutations(inner, dimensions) if axes != usual)]
        yield from _dense(shape, chosen)
    elif len(shape) == 3 and dimensions > 1:
        for axis in (1, 2):
            yield from _tokens(axis, shape[axis], image.size)
    if len(shape) == dimensions + 1 and dimensions > 1:
        yield from _dense(shape, permutations(inner, dimensions))


def _dense(shape, chosen) -> Iterator[Positions]:
    for axes in chosen:
        grid = tuple(shape[a] for a in axes)
        if math.prod(grid) > 1:
            yield Positions(grid, axes)


def _tokens(axis: int, tokens: int, size: tuple[int, ...]) -> Iterator[Positions]:
    """Row by row first, then every other order of the axes."""
    for skip, grid in islice(grids_of_tokens(tokens, size, 5), 1):
        for order in permutations(range(len(size))):
            rows = order == tuple(range(len(size)))
            yield Positions(grid, (axis,), skip, () if rows else order)


def grids_of_tokens(
    tokens: int, size: tuple[int, ...], most: int
) -> Iterator[tuple[int, tuple[int, ...]]]:
    """How many tokens may have no place, at most so many, and the grid of the others."""
    for skip in range(min(most, tokens - 2) + 1):
        count = tokens - skip
        scale = (count / math.prod(size)) ** (1 / len(size))
        grid = tuple(round(length * scale) for length in size)
        if math.prod(grid) == count and (skip == 0 or _is_tiling(grid, size)):
            yield skip, grid


def _is_tiling(grid: tuple[int, ...], size: tuple[int, ...]) -> bool:
    """Square patches of one whole length, the last ones cut off or left out, give this grid."""
    return any(
        all(
            cells in (length // patch, -(-length // patch))
            for cells, length in zip(grid, size, strict=True)
        )
        for patch in range(1, max(size) + 1)
    )


def possible_axes(rank: int) -> list[tuple[int, ...]]:
    """Axes that may be the places of an input of this rank, ascending, the usual ones first.

    With three axes, both may be places: an image `(B, H, W)` whose channel is added inside.
    """
    usual = usual_axes(rank)
    counts = (rank - 2,) if rank > 3 else (rank - 1, rank - 2) if rank == 3 else (1,)
    every = [axes for count in counts for axes in combinations(range(1, rank), count)]
    return [usual, *(axes for axes in every if axes != usual)]
