"""Dense over a feature map is a convolution whose kernel is as large as the map."""

from dataclasses import replace

import numpy as np
from keras import layers, ops, regularizers

from keras_metric.convert.graph.site import array, kernel_of
from keras_metric.convert.graph.layout import Cells, Joint, Plain, Value, View
from keras_metric.convert.rules.table import rule
from keras_metric.convert.rules.views import per_window, unfold

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
        return site.give(_convolve(site, parts[0], kernel_of(site.op)), Cells())
    ends = np.cumsum([p.width for p in parts])[:-1]
    rows = np.split(kernel_of(site.op), ends)
    terms = [
        _convolve(site, value, kernel, part=i)
        for i, (value, kernel) in enumerate(zip(parts, rows, strict=True))
    ]
    _check_strides(site, parts)
    total = layers.Add(dtype=site.op.dtype_policy)(terms)
    name = site.build.name(site.op.name)
    activation = layers.Activation(site.op.activation, dtype=site.op.dtype_policy, name=name)
    return site.give(activation(total), Cells())


@rule(layers.Dense, *CONV[1:], on=Cells)
def dense_over_vector(site):
    """On one vector per window: a 1x1 convolution. A larger 'same' kernel keeps its centre."""
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
    return site.give(_convolve(site, value, kernel), value.layout)


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

    return site.build.twin(op, (part or 0, *key, whole), make)(tensor)


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


def _check_strides(site, parts) -> None:
    strides = {
        site.build.stride(p.layout.base.reference) for p in parts if isinstance(p.layout, View)
    }
    if len(strides) > 1:
        raise site.refuse(
            "reads maps of different strides, whose windows lie on different grids",
            "one stride for all maps that a Dense reads",
            ", ".join(str(tuple(map(int, s))) for s in sorted(strides)),
        )
