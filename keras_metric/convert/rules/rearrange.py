"""Rules of layers that only move elements: followed by pushing an index through them."""

from dataclasses import replace

import numpy as np
from keras import layers

from keras_metric.convert.graph import probes
from keras_metric.convert.graph.layout import Cells, Grid, Joint, Value, View
from keras_metric.convert.rules.table import rule
from keras_metric.convert.rules.views import as_view, per_window, unfold

MOVERS = (
    *(layers.Flatten, layers.Reshape, layers.Permute, layers.RepeatVector),
    *("Reshape", "Transpose", "Moveaxis", "Swapaxes", "GetItem", "Squeeze", "ExpandDims"),
    *("Split", "Flip", "Roll", "Repeat", "ArraySplit", "Rot90"),
)


@rule(*MOVERS, on=Grid)
def move_map(site):
    """A map moved around becomes a view of it, or stays a map when a crop says the same."""
    return move_view(site.map(as_view))


@rule(*MOVERS, on=View)
def move_view(site):
    view = site.value.layout
    moved = _push(site, view.index)
    if moved is None:
        return unfold(site)
    return [
        _as_map(Value(ref, None, replace(view, index=index)), site)
        if view.scale is None
        else _with_affine(ref, view, index)
        for ref, index in zip(site.step.outputs, moved, strict=True)
    ]


@rule(*MOVERS, on=Cells)
def move_cells(site):
    """Inside a vector: nothing to do, or a slice; else the layer runs on each window."""
    value = site.value
    moved = _push(site, np.arange(value.width).reshape(value.inner))
    if moved is None or not all(_is_run(i) for i in moved):
        return per_window(site)
    whole = [i.size == value.width for i in moved]
    return [
        Value(ref, value.tensor if w else value.tensor[..., i.min() : i.max() + 1], value.layout)
        for ref, i, w in zip(site.step.outputs, moved, whole, strict=True)
    ]


@rule(*MOVERS, on=Joint)
def move_joint(site):
    """Flatten of a vector is the vector."""
    if tuple(site.reference.shape) == tuple(site.value.reference.shape):
        return [Value(site.reference, None, site.value.layout)]
    return unfold(site)


def _push(site, index: np.ndarray) -> list[np.ndarray] | None:
    """What the layer does to an index, or None if it is no rearrangement of each sample."""
    size = int(index.max()) + 1
    pair = np.stack([index, index + size]).astype("int32")
    moved = probes.run_once(site.step, lambda _: pair)
    inside = all(
        m.shape[:1] == (2,) and m[0].max(initial=0) < size and np.array_equal(m[0] + size, m[1])
        for m in moved
    )
    return [m[0].astype(int) for m in moved] if inside else None


def _with_affine(reference, view: View, index) -> Value:
    where = {int(element): i for i, element in enumerate(view.index.ravel())}
    taken = [where[int(element)] for element in index.ravel()]
    return Value(
        reference,
        None,
        replace(view, index=index, scale=view.scale[taken], shift=view.shift[taken]),
    )


def _as_map(value: Value, site) -> Value:
    """A view that is a box of the map, all channels in order, is a crop of the map."""
    view, base = value.layout, value.layout.base
    grid, rank = base.layout, len(base.layout.size)
    if view.index.ndim != rank + 1:
        return value
    first = view.index.shape[-1] != grid.channels and view.index.shape[0] == grid.channels
    index = np.moveaxis(view.index, 0, -1) if first else view.index
    size, start = index.shape[:-1], np.unravel_index(int(index.flat[0]), grid.shape)[:-1]
    whole = np.arange(int(np.prod(grid.shape))).reshape(grid.shape)
    box = whole[tuple(slice(a, a + n) for a, n in zip(start, size, strict=True))]
    if not np.array_equal(box, index):
        return value
    tensor = base.tensor
    if size != grid.size:
        ends = zip(start, size, grid.size, grid.rate, strict=True)
        border = tuple((int(a * r), int((g - a - n) * r)) for a, n, g, r in ends)
        crop = (layers.Cropping1D, layers.Cropping2D, layers.Cropping3D)[rank - 1]
        tensor = crop(border[0] if rank == 1 else border)(tensor)
    if first:
        tensor = layers.Permute((rank + 1, *range(1, rank + 1)))(tensor)
    return Value(value.reference, tensor, replace(grid, size=size, channels_first=first))


def _is_run(index: np.ndarray) -> bool:
    flat = index.ravel()
    return bool(flat.size) and np.array_equal(flat, np.arange(flat[0], flat[0] + flat.size))
