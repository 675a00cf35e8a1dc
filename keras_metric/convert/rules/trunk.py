"""Rules of feature maps: what may run unchanged on an image of another size, and what may not."""

import math

from keras import activations, layers, ops

from keras_metric.convert.graph import probes
from keras_metric.convert.graph.site import Grid, Plain
from keras_metric.convert.graph.trace import TRANSPOSED, UPSAMPLING, step_stride
from keras_metric.convert.rules.table import default, rule

PADDINGS = (layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D)
CROPPINGS = (layers.Cropping1D, layers.Cropping2D, layers.Cropping3D)


def in_front(size: int, reach: int, stride) -> int:
    """Zeros before a map of `size`; the first and last position of a window are `reach` apart."""
    total = max((math.ceil(size / stride) - 1) * stride + reach + 1 - size, 0)
    return int(total // 2)


def zeros_around(x, grid: Grid, reach, strides, name: str):
    """The map in its zeros, as many more as it is finer, for windows at every position of it."""
    border = []
    for n, r, s, rate in zip(grid.size, reach, strides, grid.rate, strict=True):
        first = in_front(n, r, s)
        border.append((first * rate, (r - first) * rate))
    return _change(PADDINGS, x, grid, border, name)


def zeros_moved(x, grid: Grid, reach, strides, name: str):
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


CONVOLUTIONS = (
    *(layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.DepthwiseConv1D),
    *(layers.DepthwiseConv2D, layers.SeparableConv1D, layers.SeparableConv2D),
)
AVERAGE_POOLS = (layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D)
MAX_POOLS = (layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D)
POINTWISE = (
    *(layers.ReLU, layers.LeakyReLU, layers.ELU, layers.Rescaling, layers.Identity),
    *(layers.Dropout, layers.SpatialDropout1D, layers.SpatialDropout2D, layers.SpatialDropout3D),
    *(layers.GaussianNoise, layers.GaussianDropout, layers.ActivityRegularization),
    *(layers.Add, layers.Subtract, layers.Multiply, layers.Maximum, layers.Minimum, layers.Average),
)
ADAPTIVE = (
    *(layers.AdaptiveAveragePooling1D, layers.AdaptiveAveragePooling2D),
    *(layers.AdaptiveAveragePooling3D, layers.AdaptiveMaxPooling1D),
    *(layers.AdaptiveMaxPooling2D, layers.AdaptiveMaxPooling3D),
)


@default(on=Plain)
def unchanged(site):
    """No image positions are involved: a copy of the layer."""
    return site.wrap(site.replay())


@default(on=Grid)
def pointwise(site):
    """Runs on any size if a probe finds that it treats every position alike."""
    on_grid = all(id(ref) in site.build.strides for ref in site.step.outputs)
    if on_grid and probes.treats_positions_alike(site.step, site.values):
        return site.wrap_maps(site.replay())
    if not site.build.allow_global:
        raise site.refuse(
            "does not treat every position alike: it looks at the whole image, or fixes its size "
            "(attention, GroupNormalization over space, Resizing, a PReLU without shared_axes)",
            "a layer whose result on a window does not depend on the rest of the image; "
            "allow_global=True keeps it where it runs, and gives up equality with windows",
        )
    site.build.notes.append(f"{site.op.name!r} looks at the whole image and was kept as it is.")
    kept = site.replay()
    if all(len(ref.shape) == len(site.value.reference.shape) for ref in site.step.outputs):
        return site.wrap_maps(kept)
    return site.wrap(kept)


@rule(*POINTWISE, on=Grid)
def same_everywhere(site):
    return site.wrap_maps(site.replay())


@rule(layers.BatchNormalization, on=Grid)
def batch_norm(site):
    grid = site.values[0].layout
    channel_axis = 1 if grid.channels_first else len(grid.size) + 1
    if site.op.axis % (len(grid.size) + 2) != channel_axis:
        return pointwise(site)
    return site.wrap_maps(site.replay())


@rule(*CONVOLUTIONS, on=Grid)
def convolution(site):
    """The same kernel; with densify the stride goes and what follows is dilated."""
    _check_format(site)
    grid, op = site.value.layout, site.op
    softmax = getattr(op, "activation", None) in (activations.softmax, activations.log_softmax)
    if softmax and grid.channels_first:
        raise site.refuse(
            "applies softmax to the last axis, which is the width in channels_first",
            "activation=None followed by Softmax(axis=1)",
        )
    if all(r == 1 for r in grid.rate) and not _stride_changes(site):
        return site.wrap_maps(site.replay())
    dilation = _tuple(op.dilation_rate, grid)
    changes = {
        "strides": _new_strides(site),
        "dilation_rate": tuple(d * r for d, r in zip(dilation, grid.rate, strict=True)),
    }
    if op.padding == "same":
        reach = [(k - 1) * d for k, d in zip(op.kernel_size, dilation, strict=True)]
        name = site.build.name(f"{op.name}_zeros")
        framed = zeros_around(site.value.tensor, grid, reach, _tuple(op.strides, grid), name)
        site = site.map(lambda value: value.over(framed))
        changes["padding"] = "valid"
    return site.wrap_maps(site.replay(**changes))


@rule(*AVERAGE_POOLS, *MAX_POOLS, on=Grid)
def pooling(site):
    """The same window; on a map made finer by densify, over positions `rate` apart."""
    _check_format(site)
    grid, op = site.value.layout, site.op
    if all(r == 1 for r in grid.rate):
        return site.wrap_maps(_finer_pool(site) if _stride_changes(site) else site.replay())
    if op.padding != "valid":
        raise site.refuse("cannot be dilated", "padding='valid' for densify", op.padding)
    average = isinstance(op, AVERAGE_POOLS)
    dense = slide(site.value.tensor, grid, _tuple(op.pool_size, grid), average)
    if max(_new_strides(site)) > 1:
        raise site.refuse("keeps a stride on a dilated map", "a smaller or larger densify")
    return site.wrap_maps(dense)


def _finer_pool(site):
    """The windows of a pool at a smaller stride, each where it was at the training size."""
    op, grid, strides = site.op, site.value.layout, _new_strides(site)
    pooled = site.replay(strides=strides)
    if op.padding == "valid":
        return pooled
    if max(strides) > 1:
        raise site.refuse("keeps a stride with 'same' padding", "a larger densify", op.padding)
    reach = [k - 1 for k in _tuple(op.pool_size, grid)]
    name = site.build.name(f"{op.name}_zeros")
    return zeros_moved(pooled[0], grid, reach, _tuple(op.strides, grid), name)


@rule(*PADDINGS, on=Grid)
def padding(site):
    return _resized_border(site, "padding")


@rule(*CROPPINGS, on=Grid)
def cropping(site):
    return _resized_border(site, "cropping")


@rule(*TRANSPOSED, *UPSAMPLING, on=Grid)
def upsampling(site):
    """As it is; bilinear in two layers that Keras traces where the size is not known."""
    if max(site.value.layout.rate) > 1:
        raise site.refuse("makes the map finer, after densify removed a stride", "densify=1")
    way = getattr(site.op, "interpolation", "nearest")
    if way not in ("nearest", "bilinear"):
        raise site.refuse(
            f"interpolates by {way!r}, which Keras does not trace for images of any size",
            "interpolation='nearest' or 'bilinear'",
        )
    return bilinear(site) if way == "bilinear" else site.wrap_maps(site.replay())


def bilinear(site):
    """Every position 2 f times, then means of 2 f positions every 2: exact, the edges held."""
    op, x = site.op, site.value.tensor
    kept = {"data_format": op.data_format, "dtype": op.dtype_policy}
    for axis, factor in enumerate(op.size):
        if factor == 1:
            continue
        size, strides = [1, 1], [1, 1]
        size[axis], strides[axis] = 2 * factor, 2
        x = layers.UpSampling2D(size, name=site.build.name(f"{op.name}_repeated"), **kept)(x)
        name = site.build.name(op.name)
        x = layers.AveragePooling2D(size, strides, padding="same", name=name, **kept)(x)
    return site.wrap_maps(x)


@rule(*ADAPTIVE, on=Grid)
def adaptive_pooling(site):
    """An output as large as the map changes nothing; any other size is tied to the image."""
    grid = site.value.layout
    if grid.size == tuple(site.op.output_size):
        return site.wrap_maps(site.value.tensor)
    raise site.refuse(
        "pools to a fixed number of positions, which depends on the size of the image",
        "an output size equal to the map it reads, or a global pooling layer",
    )


def slide(x, grid: Grid, size, average: bool):
    """Maximum or mean over a window of `size` positions, `grid.rate` apart, at stride 1.

    One axis after the other: the sum of size comparisons instead of their product.
    """
    for axis, k, r in zip(grid.axes, size, grid.rate, strict=True):
        total = None
        for i in range(k):
            window = [slice(None)] * (len(grid.size) + 2)
            window[axis] = slice(i * r, (i - k + 1) * r or None)
            part = x[tuple(window)]
            if total is None:
                total = part
            else:
                total = ops.add(total, part) if average else ops.maximum(total, part)
        x = ops.multiply(total, 1.0 / k) if average and k > 1 else total
    return x


def _resized_border(site, argument: str):
    rate = site.value.layout.rate
    if all(r == 1 for r in rate):
        return site.wrap_maps(site.replay())
    border = getattr(site.op, argument)
    border = (border,) if isinstance(border[0], int) else border
    scaled = tuple((a * r, b * r) for (a, b), r in zip(border, rate, strict=True))
    return site.wrap_maps(site.replay(**{argument: scaled[0] if len(rate) == 1 else scaled}))


def _new_strides(site) -> tuple[int, ...]:
    grid = site.value.layout
    given = step_stride(site.op, len(grid.size))
    after = site.build.rate(site.reference)
    new = [s * r / a for s, r, a in zip(given, grid.rate, after, strict=True)]
    if any(s.denominator > 1 for s in new):
        raise site.refuse("has a stride that densify does not divide", "another densify")
    return tuple(int(s) for s in new)


def _stride_changes(site) -> bool:
    given = step_stride(site.op, len(site.value.layout.size))
    return tuple(given) != _new_strides(site)


def _check_format(site) -> None:
    first = site.op.data_format == "channels_first"
    if first != site.value.layout.channels_first:
        raise site.refuse("reads the map in another data format", "one format for each map")


def _tuple(given, grid: Grid) -> tuple[int, ...]:
    return (given,) * len(grid.size) if isinstance(given, int) else tuple(given)
