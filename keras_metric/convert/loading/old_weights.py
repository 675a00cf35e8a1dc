"""The weights of an old `.h5` file, rearranged and given to the layers of the repaired model.

A layer's weights are found by its name; those of a nested model stand in one list, first what is
trained, then the rest, each in the order of its layers.
"""

from collections.abc import Iterator

import keras
import numpy as np

from keras_metric.convert.errors import ConversionError
from keras_metric.convert.loading.dialect import Dialect
from keras_metric.convert.loading.old_layers import LocallyConnected1D, LocallyConnected2D, patches

_FLIPPED = ("Conv1D", "Conv2D", "Conv3D", "Conv2DTranspose", "Conv3DTranspose", "ConvLSTM2D")
_GATES = {"LSTM": 4, "GRU": 3, "ConvLSTM2D": 4}


def assign(model: keras.Model, config: dict, group, dialect: Dialect) -> None:
    """Give every layer of `model` its weights.

    Args:
        model: made of `config`.
        config: the repaired configuration, whose order of layers is that of the file.
        group: the group "model_weights" of the file.
        dialect: of the file.

    Raises:
        ConversionError: weights that do not fit their layer.
    """
    written = {name.replace("/", "_"): name for name in attribute(group, "layer_names")}
    for entry in _inner(config):
        name = entry["config"]["name"]
        layer = model.get_layer(name)
        stored = []
        if name in written:
            part = group[written[name]]
            stored = [np.asarray(part[weight]) for weight in attribute(part, "weight_names")]
        leaves = list(_leaves(layer, entry))
        for leaf, values in zip(leaves, _shares(leaves, stored, dialect, name), strict=True):
            _set(leaf, _arranged(leaf, values, dialect), dialect)


def attribute(group, name: str) -> list[str]:
    """A list of names, which HDF5 keeps in several attributes when it is long."""
    parts = [name] if name in group.attrs else _parts(group, name)
    names = [x for part in parts for x in group.attrs[part]]
    return [x.decode() if isinstance(x, bytes) else str(x) for x in names]


def _parts(group, name: str) -> list[str]:
    count = 0
    while f"{name}{count}" in group.attrs:
        count += 1
    return [f"{name}{i}" for i in range(count)]


def _inner(entry: dict) -> list[dict]:
    """The entries of a model's layers; a Sequential has no input layer among its layers."""
    layers = entry["config"].get("layers", ())
    return [e for e in layers if e["class_name"] != "InputLayer"]


def _leaves(layer, entry: dict) -> Iterator:
    """The layers with weights of their own, in the order of the file."""
    if isinstance(layer, keras.Model) and "layers" in entry["config"]:
        for part in _inner(entry):
            yield from _leaves(layer.get_layer(part["config"]["name"]), part)
    elif layer.weights:
        yield layer


def _counts(leaf, dialect: Dialect) -> tuple[int, int]:
    """How many weights of a layer the file trains, and how many not."""
    trained, rest = len(leaf.trainable_weights), len(leaf.non_trainable_weights)
    if dialect.is_keras_1 and trained == 3 and type(leaf).__name__ in _GATES:
        trained *= _GATES[type(leaf).__name__]
    return trained, rest


def _shares(leaves, stored: list, dialect: Dialect, name: str) -> Iterator[list]:
    if len(leaves) == 1:
        yield stored
        return
    counts = [_counts(leaf, dialect) for leaf in leaves]
    trained = sum(c for c, _ in counts)
    if trained + sum(c for _, c in counts) != len(stored):
        raise ConversionError(
            f"{dialect.file} does not hold the weights of the model {name!r}. Expected: "
            f"{trained + sum(c for _, c in counts)} arrays. Received: {len(stored)}."
        )
    first, second = iter(stored[:trained]), iter(stored[trained:])
    for a, b in counts:
        yield [next(first) for _ in range(a)] + [next(second) for _ in range(b)]


def _set(leaf, values: list, dialect: Dialect) -> None:
    targets = [*leaf.trainable_weights, *leaf.non_trainable_weights]
    wanted, found = [tuple(w.shape) for w in targets], [tuple(v.shape) for v in values]
    if wanted != found:
        raise ConversionError(
            f"The weights of layer {leaf.name!r} ({type(leaf).__name__}) in {dialect.file} do not "
            f"fit. Expected: shapes {wanted}. Received: {found}."
        )
    for target, value in zip(targets, values, strict=True):
        target.assign(value)


def _arranged(leaf, values: list, dialect: Dialect) -> list:
    """The weights of a layer as Keras 3 keeps them."""
    kind = type(leaf).__name__
    if kind == "Bidirectional" and values:
        half = len(values) // 2
        ways = (leaf.forward_layer, values[:half]), (leaf.backward_layer, values[half:])
        return [value for way, part in ways for value in _arranged(way, part, dialect)]
    if kind == "TimeDistributed":
        return _arranged(leaf.layer, values, dialect)
    if dialect.is_keras_1:
        values = _of_keras_1(leaf, kind, values)
    if dialect.backend == "theano" and kind in _FLIPPED:
        kernels = 2 if kind == "ConvLSTM2D" else 1
        values = [_flipped(v) if i < kernels else v for i, v in enumerate(values)]
    if kind in ("LSTM", "GRU"):
        return _of_cudnn(leaf, kind, values)
    if isinstance(leaf, LocallyConnected1D | LocallyConnected2D):
        return _of_positions(leaf, values)
    return values


def _flipped(kernel: np.ndarray) -> np.ndarray:
    return np.flip(kernel, tuple(range(kernel.ndim - 2)))


def _of_keras_1(leaf, kind: str, values: list) -> list:
    count = _GATES.get(kind)
    if count and len(values) == 3 * count:
        order = (0, 1, 2) if count == 3 else (0, 2, 1, 3)  # Keras 1 wrote i, c, f, o
        values = [
            np.concatenate([values[3 * gate + part] for gate in order], axis=_gate_axis(leaf, kind))
            if values[part].ndim > 1
            else np.concatenate([values[3 * gate + part] for gate in order])
            for part in range(3)
        ]
    if kind == "Conv1D":
        values = [_of_line(leaf, values[0]), *values[1:]]
    if kind in ("Conv2D", "Conv3D", "Conv2DTranspose", "ConvLSTM2D", "SeparableConv2D"):
        kernels = 2 if kind in ("ConvLSTM2D", "SeparableConv2D") else 1
        moved = [_of_rows(leaf, kind, v) for v in values[:kernels]]
        values = [*moved, *values[kernels:]]
    return values


def _gate_axis(leaf, kind: str) -> int:
    return 0 if kind == "ConvLSTM2D" and leaf.data_format == "channels_first" else -1


def _of_line(leaf, kernel: np.ndarray) -> np.ndarray:
    """Of a Conv1D: (length, 1, channels, filters), until 1.1 (filters, channels, length, 1)."""
    if kernel.shape[:2] != (leaf.kernel_size[0], 1) or kernel.shape[3] != leaf.filters:
        kernel = np.transpose(kernel, (2, 3, 1, 0))
    return kernel[:, 0]


def _of_rows(leaf, kind: str, kernel: np.ndarray) -> np.ndarray:
    """`th` kernels are (filters, channels, rows, columns)."""
    rank = kernel.ndim - 2
    first = leaf.data_format == "channels_first"
    if kind == "Conv2DTranspose":
        return np.transpose(kernel, (2, 3, 0, 1) if first else (0, 1, 3, 2))
    return np.transpose(kernel, (*range(2, 2 + rank), 1, 0)) if first else kernel


def _of_cudnn(leaf, kind: str, values: list) -> list:
    """CuDNN keeps each gate's matrix transposed, and one bias for inputs and one for states."""
    gates = _GATES[kind]
    units = leaf.units
    if len(values) != 3 or values[2].shape != (2 * gates * units,):
        return values
    kernel, recurrent, bias = values
    kernel = np.hstack([g.ravel().reshape(g.shape, order="F") for g in np.hsplit(kernel, gates)])
    recurrent = np.hstack([g.T for g in np.hsplit(recurrent, gates)])
    bias = bias.reshape(2, gates * units)
    return [kernel, recurrent, bias if kind == "GRU" else bias.sum(0)]


def _of_positions(leaf, values: list) -> list:
    """The three kernels of locally connected layers as one patch for each position."""
    kernel, *bias = values
    first = leaf.data_format == "channels_first"
    if first and bias:
        bias = [np.moveaxis(bias[0].reshape(-1, *leaf.reads.shape[:-1]), 0, -1)]
    *positions, size = leaf.reads.shape
    count, channels, filters = int(np.prod(positions)), leaf.channels, leaf.filters
    if kernel.ndim == 3 and kernel.shape[0] == count:
        if first:
            kernel = kernel.reshape(count, channels, size, filters).swapaxes(1, 2)
        return [kernel.reshape(count, size * channels, filters), *bias]
    full = _dense(leaf, kernel, count)
    reads = patches(leaf.image, leaf.kernel_size, leaf.strides, leaf.padding).reshape(count, size)
    full = np.concatenate([full, np.zeros_like(full[:1])])  # padding reads zeros
    found = full[reads, :, np.arange(count)[:, None]]
    return [found.reshape(count, size * channels, filters), *bias]


def _dense(leaf, kernel: np.ndarray, count: int) -> np.ndarray:
    """(pixels, channels, positions, filters), of implementation 2 or 3."""
    pixels, channels, filters = int(np.prod(leaf.image)), leaf.channels, leaf.filters
    first = leaf.data_format == "channels_first"
    if kernel.ndim > 1:
        kernel = kernel.reshape(
            (channels, pixels, filters, count) if first else (pixels, channels, count, filters)
        )
        return kernel.transpose(1, 0, 3, 2) if first else kernel
    reads = leaf.reads.reshape(count, -1)
    position, place = np.nonzero(reads < pixels)
    pixel = reads[position, place]
    c, f = (x.reshape(-1) for x in np.meshgrid(range(channels), range(filters), indexing="ij"))
    pixel, position = pixel[:, None], position[:, None]
    into = c * pixels + pixel if first else pixel * channels + c
    out = f * count + position if first else position * filters + f
    order = np.lexsort((into.reshape(-1), out.reshape(-1)))
    full = np.zeros((pixels, channels, count, filters), kernel.dtype)
    shape = into.shape
    index = [np.broadcast_to(x, shape).reshape(-1)[order] for x in (pixel, c, position, f)]
    full[tuple(index)] = kernel
    return full
