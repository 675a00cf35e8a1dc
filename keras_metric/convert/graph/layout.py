"""What a tensor of the original model has become in the converted one.

Plain   the same tensor: no image positions in it, or one value for the whole image
Grid    a feature map; its height and width are now free
View    a map seen through an index (Flatten, Permute, a slice): waits for a Dense
Joint   several of these joined along the last axis: waits for a Dense
Cells   one vector per window: a map (B, rows, columns, D), always channels last
"""

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from keras import KerasTensor


@dataclass(frozen=True)
class Plain:
    rank = 0


@dataclass(frozen=True)
class Grid:
    """Feature map whose original size was `size`; `rate` > 1 where densify removed strides."""

    size: tuple[int, ...]
    channels: int
    channels_first: bool
    rate: tuple[int, ...]
    rank = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """The original shape in channels-last order, without batch."""
        return (*self.size, self.channels)

    @property
    def axes(self) -> tuple[int, ...]:
        first = 2 if self.channels_first else 1
        return tuple(range(first, first + len(self.size)))


@dataclass(frozen=True)
class Cells:
    """`averaged`: the mean over all positions, not each position, is the original value."""

    averaged: bool = False
    rank = 2


@dataclass(frozen=True, eq=False)
class View:
    """Element e of the original tensor is element `index[e]` of the flattened base map.

    `scale` and `shift` (flat, one per element) hold a batch normalization waiting to be folded.
    """

    base: Any
    index: np.ndarray
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None
    rank = 3


@dataclass(frozen=True, eq=False)
class Joint:
    parts: tuple = field(default=())
    rank = 4


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the new graph, the original it stands for, and how the two relate."""

    reference: KerasTensor
    tensor: Any
    layout: Plain | Grid | View | Joint | Cells

    @property
    def inner(self) -> tuple[int, ...]:
        """The original shape without the batch axis."""
        return tuple(self.reference.shape[1:])

    @property
    def width(self) -> int:
        return int(np.prod(self.inner, dtype=int))

    def over(self, tensor) -> "Value":
        return replace(self, tensor=tensor)
