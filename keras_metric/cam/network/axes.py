"""Which axes are height and width? Measured: a change that moves along one axis of the image.

One third of the image along one axis is replaced by noise, at its beginning and at its end. What
then changes in an activation moves along the axis that follows it, by two thirds of its length, and
stays where it is along all others.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_metric.cam.network.positions import (
    Image,
    Positions,
    image_along,
    layouts,
    possible_axes,
    usual_image,
)

FOLLOWS = 0.3  # of the way that the change went, for the usual axes
FOLLOWS_CLEARLY = 0.45  # for any others
FOLLOWS_AT_ALL = 0.1  # where no usual axes are possible


class Changes(NamedTuple):
    """How much every value of an activation changes when the image does.

    first, last: one array `(1, ...)` of the activation's shape for each axis of the image: what
    changes with the first, and with the last third along it.
    """

    first: dict[int, np.ndarray]
    last: dict[int, np.ndarray]

    def way(self, axis: int, layout: Positions, along: int) -> float:
        """How far the change moves along an axis of the grid, 1 for all the way."""
        if layout.grid[along] < 2:
            return 0.0
        begin, end = (_middle(c[axis], layout, along) for c in (self.first, self.last))
        return (end - begin) / (layout.grid[along] * 2 / 3)

    def agreement(self, image: Image, layout: Positions) -> float:
        """The shortest way of any axis of the image along its own axis of the grid."""
        return min(self.way(axis, layout, i) for i, axis in enumerate(image.axes))


def _middle(change: np.ndarray, layout: Positions, along: int) -> float:
    """Centre of mass along one axis of the grid."""
    axis = layout.axes[0] if layout.is_tokens else layout.axes[along]
    mass = change.sum(tuple(a for a in range(change.ndim) if a != axis), dtype="float64")
    if layout.is_tokens:
        order = layout.order or tuple(range(len(layout.grid)))
        mass = mass[layout.skip :].reshape([layout.grid[a] for a in order])
        mass = mass.sum(tuple(i for i, a in enumerate(order) if a != along))
    return float((mass * np.arange(len(mass))).sum() / max(mass.sum(), 1e-300))


def changes(run: Callable, inputs, number: int) -> list[Changes]:
    """`Changes` of each tensor that `run(inputs)` lists, by the axes of one input."""
    flat = list(keras.tree.flatten(inputs))
    image = ops.convert_to_numpy(ops.cast(flat[number], "float32"))
    noise = noise_like(image, np.random.default_rng(2))
    before = [_numpy(x) for x in run(inputs)]
    found = [Changes({}, {}) for _ in before]
    for axis in range(1, image.ndim):
        for last in (False, True):
            changed = _replaced(image, noise, axis, last)
            flat[number] = ops.cast(ops.convert_to_tensor(changed), flat[number].dtype)
            after = run(keras.tree.pack_sequence_as(inputs, flat))
            for one, old, new in zip(found, before, after, strict=True):
                square = np.square(_numpy(new) - old).mean(0, keepdims=True)
                (one.last if last else one.first)[axis] = np.nan_to_num(square)
    return found


def _numpy(tensor) -> np.ndarray:
    return ops.convert_to_numpy(ops.cast(tensor, "float32"))


def noise_like(image: np.ndarray, rng) -> np.ndarray:
    """Uniform in the range of the image, which is at least 1."""
    low, high = float(image.min()), float(image.max())
    noise = rng.uniform(low, max(high, low + 1), image.shape)
    return noise.astype("float32")


def _replaced(image: np.ndarray, noise: np.ndarray, axis: int, last: bool) -> np.ndarray:
    length = image.shape[axis]
    third = -(-length // 3)
    here = [slice(None)] * image.ndim
    here[axis] = slice(length - third, None) if last else slice(0, third)
    changed = image.copy()
    changed[tuple(here)] = noise[tuple(here)]
    return changed


def measured(found: Changes, inputs, number: int, shape_of: Any) -> tuple[Image, Positions] | None:
    """The axes of an image and the grid of an activation that the changes agree with.

    The usual ones where they agree; else those that agree best, and clearly; else the usual ones
    unproven, as for activations that see the whole image. None when there is no grid.
    """
    images = [
        image_along(inputs, number, axes)
        for axes in possible_axes(len(keras.tree.flatten(inputs)[number].shape))
    ]
    pairs = [(image, layout) for image in images for layout in layouts(shape_of, image)]
    return _best(found, pairs, usual_image(inputs, number))


def layout_over(found: Changes, image: Image, shape_of: Any, *, sure: bool = False):
    """The grid over an image whose axes are known; with `sure`, None unless it is measured."""
    best = _best(found, [(image, layout) for layout in layouts(shape_of, image)], image)
    if best is None or (sure and found.agreement(*best) < FOLLOWS):
        return None
    return best[1]


def _best(found: Changes, pairs: Iterable, usual: Image) -> tuple[Image, Positions] | None:
    pairs = list(pairs)
    whole = [pair for pair in pairs if len(pair[0].axes) > len(usual.axes)]
    first = next((pair for pair in pairs if pair[0] == usual and pair[1].is_usual), None)

    def agrees(pair) -> float:
        return found.agreement(*pair)

    best = max(whole, key=agrees, default=None)
    if best is not None and agrees(best) >= FOLLOWS_CLEARLY:
        return best
    if first is not None and agrees(first) >= FOLLOWS:
        return first
    best = max(pairs, key=agrees, default=None)
    if best is not None and agrees(best) >= (FOLLOWS_CLEARLY if first else FOLLOWS_AT_ALL):
        return best
    return first
