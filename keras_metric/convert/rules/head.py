"""Rules of heads: what turns a feature map into one vector, and works on that vector."""

import numpy as np
from keras import layers

from keras_metric.convert.graph import analysis
from keras_metric.convert.graph.site import array
from keras_metric.convert.graph.layout import Cells, Grid, Joint, Plain, Value, View
from keras_metric.convert.rules.table import rule
from keras_metric.convert.rules.trunk import AVERAGE_POOLS, MAX_POOLS, pointwise, slide
from keras_metric.convert.rules.views import channels_last, per_window, spread, unfold

REDUCTIONS = ("Mean", "Max", "Amax")


@rule(*analysis.GLOBAL_POOLS, on=Grid)
def global_pooling(site):
    """Pooling over the training window at stride 1; with `map` it goes; in a gate it stays."""
    return pool_all(site, average="Average" in type(site.op).__name__)


@rule(*REDUCTIONS, on=Grid)
def reduction(site):
    """`ops.mean(x, axis=(1, 2))` is a global pooling."""
    axes = site.op.axis
    ranks = len(site.value.reference.shape)
    over = () if axes is None else sorted(a % ranks for a in axes)
    if tuple(over) != site.value.layout.axes:
        return pointwise(site)
    return pool_all(site, average=type(site.op).__name__ == "Mean")


def pool_all(site, average: bool):
    grid = site.value.layout
    if site.build.feeds_back(site.step):
        if max(grid.rate) > 1:
            raise site.refuse("pools a whole map that densify made finer", "densify=1")
        site.build.notes.append(
            f"{site.op.name!r} pools the whole image, as in squeeze-excite: it was kept."
        )
        return site.give(site.replay())
    value = channels_last(site.value)
    if site.build.pooling == "map":
        if not average:
            raise site.refuse("takes a maximum", "average pooling for pooling='map'")
        return site.give(value.tensor, Cells(averaged=True))
    if max(grid.rate) > 1:
        return site.give(slide(value.tensor, value.layout, grid.size, average), Cells())
    pools = AVERAGE_POOLS if average else MAX_POOLS
    pool = pools[len(grid.size) - 1](
        grid.size, strides=1, data_format="channels_last", name=site.build.name(site.op.name)
    )
    return site.give(pool(value.tensor), Cells())


@rule(layers.GlobalAveragePooling1D, layers.GlobalMaxPooling1D, on=View)
def pool_tokens(site):
    """Pooling over tokens that are the positions of a map is pooling that map."""
    view = site.value.layout
    tokens = np.arange(view.index.size).reshape(-1, view.base.layout.channels)
    if view.scale is not None or not np.array_equal(view.index, tokens):
        return unfold(site)
    return pool_all(site.map(lambda _: view.base), "Average" in type(site.op).__name__)


@rule(layers.BatchNormalization, on=View)
def fold_batch_norm(site):
    """scale * x + shift, kept until the Dense that it is folded into."""
    op, value = site.op, site.value
    view = value.layout
    mean, variance = (array(w) for w in (op.moving_mean, op.moving_variance))
    scale = 1 / np.sqrt(variance + op.epsilon)
    scale = scale * array(op.gamma) if op.scale else scale
    shift = (array(op.beta) if op.center else 0) - mean * scale
    along = [1] * len(value.inner)
    along[op.axis - 1 if op.axis > 0 else op.axis] = -1
    scale, shift = (
        np.broadcast_to(np.reshape(x, along), value.inner).ravel() for x in (scale, shift)
    )
    if view.scale is not None:
        scale, shift = scale * view.scale, scale * view.shift + shift
    site.build.notes.append(f"{op.name!r} was folded: its statistics are fixed from now on.")
    return [Value(site.reference, None, View(view.base, view.index, scale, shift))]


@rule(layers.Concatenate, on=Joint)
@rule(layers.Concatenate, on=View)
def join(site):
    """Vectors joined along their only axis wait together for the Dense."""
    if len(site.reference.shape) != 2:
        return unfold(site)
    parts = [p for v in site.values for p in getattr(v.layout, "parts", (v,))]
    return [Value(site.reference, None, Joint(tuple(parts)))]


@rule(layers.BatchNormalization, layers.LayerNormalization, layers.RMSNormalization, on=Cells)
@rule(layers.Softmax, layers.UnitNormalization, layers.Concatenate, on=Cells)
@rule("Softmax", "LogSoftmax", "Normalize", "Concatenate", on=Cells)
def along_channels(site):
    """What works along the only axis of a vector works along the channels of the map."""
    axes = np.atleast_1d(site.op.axis)
    vector = all(_is_vector(v) for v in site.values)
    channel = {-1, len(site.value.reference.shape) - 1}
    like = next(v.tensor for v in site.values if isinstance(v.layout, Cells))
    if (
        not vector
        or len(axes) != 1
        or int(axes[0]) not in channel
        or site.step.kwargs.get("mask") is not None
    ):
        return per_window(site)
    site = site.map(lambda v: spread(v, like) if isinstance(v.layout, Plain) else v)
    return site.give(site.replay(axis=-1), Cells())


@rule(layers.PReLU, on=Cells)
def prelu(site):
    """One slope per element, shared by all positions."""
    rank = len(site.value.tensor.shape) - 2
    if not _is_vector(site.value) or site.op.shared_axes:
        return per_window(site)

    def make():
        layer = site.build.clone(site.op, shared_axes=list(range(1, rank + 1)))
        layer.build((None, *(1,) * rank, site.value.width))
        slopes = array(site.op.alpha).reshape(layer.alpha.shape)
        layer.set_weights([slopes])
        return layer

    return site.give(site.build.twin(site.op, (0, "cells"), make)(site.value.tensor), Cells())


def _is_vector(value: Value) -> bool:
    return bool(value.inner) and value.inner[-1] == value.width
