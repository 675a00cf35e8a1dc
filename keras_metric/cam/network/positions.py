"""How an activation lies over the image: a grid of positions with K channels each."""

import math
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_metric.cam.network.hooks import is_tensor


class Positions(NamedTuple):
    """A grid, and where its cells are in the activation.

    `(B, h, w, K)` has grid (h, w); a token sequence `(B, T, K)` has a grid too, after `skip` tokens
    that belong to no place (class token, registers).
    """

    grid: tuple[int, ...]
    skip: int = 0
    channels_first: bool = False

    @property
    def count(self) -> int:
        return math.prod(self.grid)

    def flatten(self, activation):
        """-> `(B, N, K)` in float32."""
        flat = ops.cast(activation, "float32")
        if self.channels_first:
            flat = ops.moveaxis(flat, 1, -1)
        flat = flat[:, self.skip :] if self.skip else flat
        return ops.reshape(flat, (-1, self.count, flat.shape[-1]))

    def restore(self, flat, activation):
        """`(B, N, K)` -> the activation's own layout and precision; skipped tokens as they were."""
        if self.skip:
            patches = ops.cast(flat, activation.dtype)
            return ops.concatenate([activation[:, : self.skip], patches], axis=1)
        shape = (-1, *activation.shape[1:])
        if self.channels_first:
            grid = ops.reshape(flat, (-1, *self.grid, flat.shape[-1]))
            return ops.cast(ops.moveaxis(grid, -1, 1), activation.dtype)
        return ops.cast(ops.reshape(flat, shape), activation.dtype)

    def maps(self, flat):
        """`(B, ..., N)` -> `(B, ..., h, w)`."""
        return ops.reshape(flat, (*ops.shape(flat)[:-1], *self.grid))


def spatial_inputs(inputs) -> list[int]:
    """Numbers of the (flattened) inputs that are images, signals or volumes: `(B, places..., C)`.

    A model without any is taken to read a sequence of tokens `(B, L)`.
    """
    flat = keras.tree.flatten(inputs)
    places = [i for i, x in enumerate(flat) if len(x.shape) >= 3]
    return places or [i for i, x in enumerate(flat) if len(x.shape) == 2][:1]


def image_size(image) -> tuple[int, ...]:
    """Height and width (or length, or depth, height, width) of one input tensor."""
    shape = tuple(image.shape)
    if len(shape) == 2:
        return shape[1:]
    return shape[2:] if _channels_first() else shape[1:-1]


def positions_of(activation: Any, size: tuple[int, ...]) -> Positions | None:
    """The grid of an activation over an image of this size; None when it has no positions."""
    if not is_tensor(activation) or None in tuple(activation.shape[1:]):
        return None
    shape = tuple(activation.shape)
    if len(shape) == len(size) + 2:
        first = _channels_first()
        grid = shape[2:] if first else shape[1:-1]
        return Positions(grid, channels_first=first) if math.prod(grid) > 1 else None
    if len(shape) == 3 and len(size) > 1:
        return _token_grid(shape[1], size)
    return None


def _token_grid(tokens: int, size: tuple[int, ...]) -> Positions | None:
    for skip in range(6):
        count = tokens - skip
        scale = (count / math.prod(size)) ** (1 / len(size)) if count > 1 else 0.0
        grid = tuple(round(length * scale) for length in size)
        if count > 1 and math.prod(grid) == count and (skip == 0 or _is_tiling(grid, size)):
            return Positions(grid, skip)
    return None


def _is_tiling(grid: tuple[int, ...], size: tuple[int, ...]) -> bool:
    """Square patches of one whole length, the last ones cut off or left out, give this grid."""
    return any(
        all(
            cells in (length // patch, -(-length // patch))
            for cells, length in zip(grid, size, strict=True)
        )
        for patch in range(1, max(size) + 1)
    )


def _channels_first() -> bool:
    return keras.config.image_data_format() == "channels_first"
