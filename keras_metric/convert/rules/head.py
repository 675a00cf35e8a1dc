"""Rules of heads: what turns a feature map into one vector, and works on that vector."""

from dataclasses import replace

import numpy as np
from keras import layers, ops, regularizers

from keras_metric.convert.graph.site import Cells, Grid, Joint, Plain, Value, View, array, kernel_of
from keras_metric.convert.graph.trace import GLOBAL_POOLS
from keras_metric.convert.rules.table import rule
from keras_metric.convert.rules.trunk import AVERAGE_POOLS, MAX_POOLS, pointwise, slide
from keras_metric.convert.rules.views import aligned, per_window, spread, unfold
from keras_metric.pooling import GeM, SlidingGeM

REDUCTIONS = ("Mean", "Max", "Amax")


@rule(*(pool for pool in GLOBAL_POOLS if pool is not GeM), on=Grid)
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


@rule(GeM, on=Grid)
def generalized_mean(site):
    """The same mean over the training window at stride 1, as a layer of this package."""
    op = site.op
    if site.build.feeds_back(site.step):
        return pool_all(site, average=False)
    if site.build.pooling == "map":
        raise site.refuse(
            "takes a generalized mean, which is no sum over positions",
            "average pooling for pooling='map'",
        )
    value = site.value.with_channels_last()
    grid = value.layout

    def make():
        layer = SlidingGeM(
            grid.size,
            grid.rate,
            p=op.p,
            epsilon=op.epsilon,
            data_format="channels_last",
            trainable=op.trainable,
            dtype=op.dtype_policy,
            name=site.build.name(op.name),
        )
        layer.build(value.tensor.shape)
        layer.set_weights(op.get_weights())
        return layer

    key = (0, grid.size, grid.rate)
    return site.wrap(site.build.shared_copy(op, key, make)(value.tensor), Cells())


def pool_all(site, average: bool):
    grid = site.value.layout
    if site.build.feeds_back(site.step):
        if max(grid.rate) > 1:
            raise site.refuse("pools a whole map that densify made finer", "densify=1")
        site.build.notes.append(
            f"{site.op.name!r} pools the whole image, as in squeeze-excite: it was kept."
        )
        return site.wrap(site.replay())
    value = site.value.with_channels_last()
    if site.build.pooling == "map":
        if not average:
            raise site.refuse("takes a maximum", "average pooling for pooling='map'")
        return site.wrap(value.tensor, Cells(averaged=True))
    if max(grid.rate) > 1:
        return site.wrap(slide(value.tensor, value.layout, grid.size, average), Cells())
    pools = AVERAGE_POOLS if average else MAX_POOLS
    pool = pools[len(grid.size) - 1](
        grid.size, strides=1, data_format="channels_last", name=site.build.name(site.op.name)
    )
    return site.wrap(pool(value.tensor), Cells())


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
    return site.wrap(site.replay(axis=-1), Cells())


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

    return site.wrap(
        site.build.shared_copy(site.op, (0, "cells"), make)(site.value.tensor), Cells()
    )


def _is_vector(value: Value) -> bool:
    return bool(value.inner) and value.inner[-1] == value.width


CONV = (None, layers.Conv1D, layers.Conv2D, layers.Conv3D)


@rule(layers.Dense, on=View)
@rule(layers.Dense, on=Joint)
def dense_over_map(site):
    """kernel (h*w*c, units) -> (h, w, c, units); a sum of convolutions for joined vectors."""
    view = site.value.layout
    if isinstance(view, View) and len(site.value.inner) > 1:
        return dense_on_tokens(site)
    parts = getattr(view, "parts", (site.value,))
    if len(parts) == 1:
        return site.wrap(_convolve(site, parts[0], kernel_of(site.op)), Cells())
    ends = np.cumsum([p.width for p in parts])[:-1]
    rows = np.split(kernel_of(site.op), ends)
    terms = [
        _convolve(site, value, kernel, part=i)
        for i, (value, kernel) in enumerate(zip(parts, rows, strict=True))
    ]
    terms = aligned(list(parts), site.build, site.op.name, terms)
    total = layers.Add(dtype=site.op.dtype_policy)(terms)
    name = site.build.name(site.op.name)
    activation = layers.Activation(site.op.activation, dtype=site.op.dtype_policy, name=name)
    return site.wrap(activation(total), Cells())


@rule(layers.Dense, *CONV[1:], on=Cells)
def dense_over_vector(site):
    """On one vector per window: a 1x1 convolution. A larger 'same' kernel keeps its center."""
    value = site.value
    vector = value.inner[-1:] == (value.width,)
    kernel = kernel_of(site.op)
    if not isinstance(site.op, layers.Dense):
        plain = site.op.padding != "causal" and set(site.op.dilation_rate) == {1}
        last = site.op.data_format == "channels_last"
        if not (plain and last and vector and site.op.groups == 1):
            return per_window(site)
        for k in site.op.kernel_size:
            kernel = kernel[(k - 1) // 2]
    if not vector:
        return per_window(site)
    return site.wrap(_convolve(site, value, kernel), value.layout)


def dense_on_tokens(site):
    """On tokens that are the positions of a map: a 1x1 convolution of the map."""
    view = site.value.layout
    grid = view.base.layout
    rows = view.index.reshape(-1, view.index.shape[-1])
    positions = rows[:, 0] // grid.channels
    whole = positions[:, None] * grid.channels + np.arange(grid.channels)
    if view.scale is not None or not np.array_equal(rows, whole):
        return unfold(site)
    units = site.op.units
    as_cells = Value(view.base.reference, view.base.tensor, Cells())
    tensor = _convolve(site, as_cells, kernel_of(site.op))
    base = view.base.over(tensor)
    base = Value(base.reference, tensor, replace(grid, channels=units))
    index = (positions[:, None] * units + np.arange(units)).reshape(*view.index.shape[:-1], units)
    return [Value(site.reference, None, View(base, index))]


def _convolve(site, value: Value, kernel: np.ndarray, part: int | None = None):
    """The layer as one convolution, or only the rows that read one part of its input."""
    op, whole = site.op, part is None
    constant = np.zeros(kernel.shape[1])
    if op.bias is not None and not part:
        constant = array(op.bias)
    size, rate, tensor, key = _place(site, value)
    if isinstance(value.layout, View):
        kernel, constant = _scatter(value.layout, kernel, constant)
    kernel = kernel.reshape(*size, -1, kernel.shape[1])
    has_bias = (op.bias is not None and not part) or bool(constant.any())

    def make():
        layer = CONV[len(size)](
            kernel.shape[-1],
            size,
            dilation_rate=rate,
            data_format="channels_last",
            activation=op.activation if whole else None,
            use_bias=has_bias,
            kernel_initializer=op.kernel_initializer,
            bias_initializer=op.bias_initializer,
            trainable=op.trainable,
            dtype=op.dtype_policy,
            name=site.build.name(op.name if whole else f"{op.name}_part"),
            **(_carried(site, kernel, constant) if whole else {}),
        )
        layer.build((None, *(None,) * len(size), kernel.shape[-2]))
        layer.set_weights([kernel, constant] if has_bias else [kernel])
        return layer

    return site.build.shared_copy(op, (part or 0, *key, whole), make)(tensor)


def _place(site, part: Value):
    """Window size, dilation, tensor and identity of the map that is read."""
    if isinstance(part.layout, View):
        grid = part.layout.base.layout
        affine = part.layout.scale
        key = (grid.size, part.layout.index.tobytes(), None if affine is None else affine.tobytes())
        return grid.size, grid.rate, part.layout.base.tensor, key
    tensor = part.tensor
    if isinstance(part.layout, Plain):
        rank = len(site.build.strides[id(site.build.images[0])])
        tensor = layers.Reshape((*(1,) * rank, part.width))(tensor)
    rank = len(tensor.shape) - 2
    return (1,) * rank, (1,) * rank, tensor, ("vector", part.width)


def _scatter(view: View, kernel, constant):
    """Rows of the kernel moved to the map elements they read, a waiting scale and shift folded."""
    if view.scale is not None:
        constant = constant + view.shift @ kernel
        kernel = view.scale[:, None] * kernel
    index, elements = view.index.ravel(), int(np.prod(view.base.layout.shape))
    if np.array_equal(index, np.arange(elements)):
        return kernel, constant
    full = np.zeros((elements, kernel.shape[1]), kernel.dtype)
    np.add.at(full, index, kernel)
    return full, constant


def _carried(site, kernel, constant) -> dict:
    """Regularizers and constraints that mean the same on the convolution; a note for the others."""
    op, new = site.op, {}
    pairs = (("kernel", op.kernel, kernel), ("bias", op.bias, constant))
    for name, old_value, new_value in pairs:
        if old_value is None:
            continue
        penalty, limit = getattr(op, f"{name}_regularizer"), getattr(op, f"{name}_constraint")
        if penalty is not None:
            new[f"{name}_regularizer"] = _same(
                site,
                penalty,
                [penalty],
                lambda p, v=new_value: p(_tensor(v)),
                lambda p, v=old_value: p(v.value if hasattr(v, "value") else v),
            )
        if limit is not None:
            new[f"{name}_constraint"] = _same(
                site,
                limit,
                _along_inputs(limit, np.ndim(new_value)),
                lambda c, v=new_value: _sorted(c(_tensor(3 * v))),
                lambda c, v=old_value: _sorted(c(_tensor(3 * array(v)))),
            )
    activity = getattr(op, "activity_regularizer", None)
    if activity is not None:
        new["activity_regularizer"] = regularizers.get(activity)
    return {k: v for k, v in new.items() if v is not None}


def _same(site, original, candidates, on_new, on_old):
    for candidate in candidates:
        try:
            if np.allclose(_number(on_new(candidate)), _number(on_old(original)), rtol=1e-4):
                return candidate
        except Exception:  # one written for matrices may raise anything on four axes
            continue
    site.build.notes.append(
        f"{type(original).__name__} of {site.op.name!r} was dropped: on a convolution kernel it "
        "would mean something else."
    )
    return None


def _along_inputs(limit, rank: int) -> list:
    """The constraint as it is, and with its norm over all inputs of a unit."""
    config = limit.get_config()
    if "axis" not in config:
        return [limit]
    return [type(limit).from_config({**config, "axis": list(range(rank - 1))}), limit]


def _sorted(x) -> np.ndarray:
    values = ops.convert_to_numpy(x)
    return np.sort(values[values != 0])


def _number(x) -> np.ndarray:
    return x if isinstance(x, np.ndarray) else ops.convert_to_numpy(x)


def _tensor(x):
    return ops.convert_to_tensor(np.asarray(x, "float32"))
