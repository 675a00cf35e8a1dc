"""One vector per window: how views become vectors, and how any layer runs on them."""

from dataclasses import replace

import numpy as np
from keras import layers, ops

from keras_metric.convert.errors import ConversionError
from keras_metric.convert.graph import probes
from keras_metric.convert.graph.site import (
    Cells,
    Grid,
    Joint,
    Plain,
    Value,
    View,
    common_stride,
    run_once,
)
from keras_metric.convert.rules import patches
from keras_metric.convert.rules.aligned import AlignCells
from keras_metric.convert.rules.table import default, find, rule

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
    """What the layer does to an index, or None if it does not rearrange each sample."""
    size = int(index.max()) + 1
    pair = np.stack([index, index + size]).astype("int32")
    moved = run_once(site.step, lambda _: pair)
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


@default(on=View)
def waiting(site):
    """Elementwise layers move in front of the view; any other runs on each unfolded window.

    Weights may be one for each number of the view, which the map before it has no place for.
    """
    view = site.value.layout if len(site.values) == 1 else None
    if view is None or view.scale is not None or site.has_weights:
        return unfold(site)
    if not probes.is_elementwise(site.step, site.value):
        return unfold(site)
    base = view.base
    tensor = site.map(lambda v: v.over(base.tensor)).replay()[0]
    return [Value(site.reference, None, replace(view, base=base.over(tensor)))]


@default(on=Joint)
def unfold(site):
    """Every window laid out as one vector, then the rule for vectors."""
    unfolded = align_cells(site.map(lambda v: cells(v, site.build, site.op.name)))
    return find(unfolded)(unfolded)


@default(on=Cells)
def per_window(site):
    """On the map where a probe allows it, else on a batch with one sample per window."""
    like = next(v.tensor for v in site.values if isinstance(v.layout, Cells))
    if any(isinstance(v.layout, Grid) for v in site.values):
        return unfold(site.map(as_view))
    site = site.map(lambda v: spread(v, like) if isinstance(v.layout, Plain) else v)
    if not site.has_weights and probes.runs_on_cells(site.step, site.values, len(like.shape) - 2):
        return site.wrap(site.replay(), Cells())
    batched = site.map(lambda v: v.over(patches.CellsToBatch(v.inner)(v.tensor)))
    return site.wrap([patches.BatchToCells()([y, like]) for y in batched.replay()], Cells())


def as_view(value: Value) -> Value:
    """A map as the identical view of itself."""
    if not isinstance(value.layout, Grid):
        return value
    grid = value.layout
    index = np.arange(int(np.prod(grid.shape))).reshape(grid.shape)
    if grid.channels_first:
        index = np.moveaxis(index, -1, 0)
    return Value(value.reference, None, View(value.with_channels_last(), index))


def cells(value: Value, build, reader: str) -> Value:
    """A view or several as one vector per window, for the layer `reader`: elements in order."""
    if isinstance(value.layout, Joint):
        parts = [cells(v, build, reader) for v in value.layout.parts]
        build.cell_strides[id(value.reference)] = common_stride(list(map(build.cell_stride, parts)))
        joined = layers.Concatenate(axis=-1)(aligned(parts, build, reader))
        return Value(value.reference, joined, Cells())
    if not isinstance(value.layout, View):
        return value
    view, grid = value.layout, value.layout.base.layout
    build.cell_strides[id(value.reference)] = build.cell_stride(value)
    order = view.index.ravel()
    order = None if np.array_equal(order, np.arange(np.prod(grid.shape))) else order
    tensor = view.base.tensor
    if max(grid.size) > 1 or order is not None:
        build.notes.append(
            f"{reader!r} works on unfolded windows: memory grows "
            f"{int(np.prod(grid.size))} times on that map."
        )
        tensor = patches.WindowPatches(grid.size, grid.rate, order)(tensor)
    if view.scale is not None:
        tensor = _affine(view, value)(tensor)
    return Value(value.reference, tensor, Cells())


def align_cells(site):
    """The same site with its maps of vectors at one stride: heads that read maps of two scales."""
    found = [v for v in site.values if isinstance(v.layout, Cells)]
    tensors = aligned(found, site.build, site.op.name)
    moved = {id(v): v.over(x) for v, x in zip(found, tensors, strict=True)}
    return site.map(lambda v: moved.get(id(v), v))


def aligned(values: list[Value], build, reader: str, tensors: list | None = None) -> list:
    """The tensors of maps of vectors, at the positions that all of the maps have."""
    tensors = [v.tensor for v in values] if tensors is None else list(tensors)
    strides = [build.cell_stride(v) for v in values]
    moving = [i for i, stride in enumerate(strides) if stride is not None]
    common = common_stride(strides)
    if all(strides[i] == common for i in moving):
        return tensors
    if any(getattr(v.layout, "averaged", False) for v in values):
        raise ConversionError(
            f"Layer {reader!r} joins the means of maps of two strides, which no one map has. "
            "Expected: pooling='window'. Received: pooling='map'."
        )
    build.notes.append(f"{reader!r} joins maps of two strides: its cells lie at the larger one.")
    factors = [tuple(int(c / s) for c, s in zip(common, strides[i], strict=True)) for i in moving]
    made = AlignCells(factors)([tensors[i] for i in moving])
    for i, x in zip(moving, made, strict=True):
        tensors[i] = x
    return tensors


def spread(value: Value, like) -> Value:
    """One vector per image repeated over the positions of the map `like`."""
    rank = len(like.shape) - 2
    flat = layers.Reshape((*(1,) * rank, value.width))(value.tensor)
    zeros = ops.zeros_like(like[..., :1])
    return Value(value.reference, flat + ops.cast(zeros, flat.dtype), Cells())


def _affine(view: View, value: Value):
    """Scale and shift of each element, as a batch normalization of mean 0 and variance 1."""
    layer = layers.BatchNormalization(trainable=False)
    layer.build((None, len(view.scale)))
    layer.set_weights(
        [
            view.scale,
            view.shift,
            np.zeros_like(view.scale),
            np.ones_like(view.scale) - layer.epsilon,
        ]
    )
    layer.input_spec = None
    return layer
