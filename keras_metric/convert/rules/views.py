"""One vector per window: how views become vectors, and how any layer runs on them."""

from dataclasses import replace

import numpy as np
from keras import layers, ops

from keras_metric.convert.graph import probes
from keras_metric.convert.graph.layout import Cells, Grid, Joint, Plain, Value, View
from keras_metric.convert.rules import patches
from keras_metric.convert.rules.table import default, find


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
    unfolded = site.map(lambda v: cells(v, site.build, site.op.name))
    return find(unfolded)(unfolded)


@default(on=Cells)
def per_window(site):
    """On the map where a probe allows it, else on a batch with one sample per window."""
    like = next(v.tensor for v in site.values if isinstance(v.layout, Cells))
    if any(isinstance(v.layout, Grid) for v in site.values):
        return unfold(site.map(as_view))
    site = site.map(lambda v: spread(v, like) if isinstance(v.layout, Plain) else v)
    if not site.has_weights and probes.runs_on_cells(site.step, site.values, len(like.shape) - 2):
        return site.give(site.replay(), Cells())
    batched = site.map(lambda v: v.over(patches.CellsToBatch(v.inner)(v.tensor)))
    return site.give([patches.BatchToCells()([y, like]) for y in batched.replay()], Cells())


def as_view(value: Value) -> Value:
    """A map as the identical view of itself."""
    if not isinstance(value.layout, Grid):
        return value
    grid = value.layout
    index = np.arange(int(np.prod(grid.shape))).reshape(grid.shape)
    if grid.channels_first:
        index = np.moveaxis(index, -1, 0)
    return Value(value.reference, None, View(channels_last(value), index))


def channels_last(value: Value) -> Value:
    """The same map with its channels behind."""
    grid = value.layout
    if not grid.channels_first:
        return value
    rank = len(grid.size)
    moved = layers.Permute((*range(2, rank + 2), 1))(value.tensor)
    return replace(value, tensor=moved, layout=replace(grid, channels_first=False))


def cells(value: Value, build, reader: str) -> Value:
    """A view or several as one vector per window, for the layer `reader`: elements in order."""
    if isinstance(value.layout, Joint):
        parts = [cells(v, build, reader).tensor for v in value.layout.parts]
        return Value(value.reference, layers.Concatenate(axis=-1)(parts), Cells())
    if not isinstance(value.layout, View):
        return value
    view, grid = value.layout, value.layout.base.layout
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
