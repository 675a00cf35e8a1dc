"""'same' padding without the stride: positions stay where they were at the training size.

At stride s a map of n positions gets zeros so that its ceil(n / s) windows fit, half of them in
front; at stride 1 it would get others, and all positions would lie elsewhere.
"""

import math

from keras import layers

from keras_metric.convert.graph.layout import Grid

PADDINGS = (layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D)
CROPPINGS = (layers.Cropping1D, layers.Cropping2D, layers.Cropping3D)


def in_front(size: int, reach: int, stride) -> int:
    """Zeros before a map of `size`; the first and last position of a window are `reach` apart."""
    total = max((math.ceil(size / stride) - 1) * stride + reach + 1 - size, 0)
    return int(total // 2)


def around(x, grid: Grid, reach, strides, name: str):
    """The map in its zeros, as many more as it is finer, for windows at every position of it."""
    border = []
    for n, r, s, rate in zip(grid.size, reach, strides, grid.rate, strict=True):
        first = in_front(n, r, s)
        border.append((first * rate, (r - first) * rate))
    return _change(PADDINGS, x, grid, border, name)


def moved(x, grid: Grid, reach, strides, name: str):
    """What 'same' windows made at stride 1, from where those of `strides` lie; as large as it was.

    Positions that come in at the end are 0: none of them is of the original map.
    """
    pairs = zip(grid.size, reach, strides, strict=True)
    border = [in_front(n, r, 1) - in_front(n, r, s) for n, r, s in pairs]
    left = _change(CROPPINGS, x, grid, [(n, 0) for n in border], f"{name}_left_out")
    return _change(PADDINGS, left, grid, [(0, n) for n in border], name)


def _change(kinds, x, grid: Grid, border, name: str):
    if not any(map(any, border)):
        return x
    rank = len(grid.size)
    border = border[0] if rank == 1 else tuple(border)
    data_format = "channels_first" if grid.channels_first else "channels_last"
    return kinds[rank - 1](border, data_format=data_format, name=name)(x)
