"""From a classifier to a fully convolutional network: trace, rewrite step by step, check."""

import math
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import keras
import numpy as np
from keras import KerasTensor, layers, ops, tree

from keras_metric.convert.errors import ConversionError
from keras_metric.convert.graph import probes
from keras_metric.convert.graph.site import (
    Builder,
    Cells,
    Conversion,
    Grid,
    Joint,
    Plain,
    Site,
    TrainingSize,
    Value,
    View,
    array,
    common_stride,
    grid,
    mark_training_size,
)
from keras_metric.convert.graph.trace import Graph, ImageAxes, image_axes, trace
from keras_metric.convert.graph.trace import strides as find_strides
from keras_metric.convert.loading.old_files import load
from keras_metric.convert.rules import head, views
from keras_metric.convert.rules.table import find
from keras_metric.convert.rules.views import align_cells
from keras_metric.convert.verify.equality import runs_larger, same_at_original_size
from keras_metric.preprocessing import attach, attached


def to_fully_convolutional(
    model: keras.Model | str | Path,
    *,
    pooling: str = "window",
    densify: int = 1,
    input_shape: tuple[int, ...] | None = None,
    allow_global: bool = False,
    tolerance: float | None = None,
    safe_mode: bool = True,
    custom_objects: dict | None = None,
    name: str | None = None,
) -> keras.Model:
    """The same network for images of any size: one output for every window.

        Dense(flatten(x))  =  Conv(kernel reshaped to (h, w, c, units))(x)        (Long 2015, 3.1)
        Dense(mean(x))     =  Conv1x1(mean over h x w at stride 1)(x)             pooling="window"
                           =  mean of Conv1x1(x)                                  pooling="map"

    Input `(B, height, width, C)` with free height and width; output `(B, rows, columns, D)`, or
    channels first if the model is. At the training size there is one cell, equal to the model.
    With convolutions of padding 'valid' every cell of a larger image equals the model on its
    window; `verify` measures that and names the layers that prevent it.

    Args:
        model: a built keras.Model of any kind, or the path of a saved one (see `load`).
        pooling: with "window" each cell classifies its window. "map" removes a global average
            pooling, which gives class activation maps whose mean over positions is the
            classifier's logit. The last activation is then removed as well.
        densify: how many times finer the cells lie, a divisor of the stride: the last strides
            become dilations.
        input_shape: size of the training images `(height, width, channels)`, for models that were
            never built or built with free sizes.
        allow_global: keep layers that read the whole image (attention, normalization over space)
            instead of raising an error.
        tolerance: largest difference in standard deviations of the output before the conversion
            is refused; None means 1e-5, more for half precision and for networks whose output
            changes more by rounding alone.
        safe_mode: False allows Python code in the file (Lambda layers).
        custom_objects: classes that a saved file names.
        name: name of the new model.

    Returns:
        A functional model with its own weights. `fcn.conversion` lists what was rewritten.

    Raises:
        ConversionError: a layer cannot be rewritten exactly (it is named), the model cannot be
            traced, or the result differs from the original.

    Long, Shelhamer and Darrell, "Fully convolutional networks for semantic segmentation", 2015.
    arXiv:1411.4038. Sermanet et al., "OverFeat", 2013. arXiv:1312.6229.
    """
    if pooling not in ("window", "map"):
        raise ValueError(f"pooling is unknown. Expected: 'window' or 'map'. Received: {pooling!r}.")
    if not isinstance(densify, int) or densify < 1:
        raise ValueError(f"densify is invalid. Expected: an integer >= 1. Received: {densify!r}.")
    if isinstance(model, (str, Path)):
        model = load(model, safe_mode=safe_mode, custom_objects=custom_objects)
    if not isinstance(model, keras.Model):
        raise ValueError(
            "model is not a Keras model. Expected: a keras.Model or the path of a saved one. "
            f"Received: {model!r} ({type(model).__name__})."
        )
    fcn, record = rewrite(
        model,
        pooling=pooling,
        densify=densify,
        allow_global=allow_global,
        input_shape=input_shape,
        name=name,
    )
    notes = same_at_original_size(model, fcn, record, limit=tolerance) + runs_larger(fcn, record)
    fcn.conversion = replace(record, notes=record.notes + notes)
    made = attached(model)
    return fcn if made is None else attach(fcn, replace(made, size=None))


def rewrite(
    model: keras.Model, *, pooling: str, densify: int, allow_global: bool, input_shape, name
) -> tuple[keras.Model, Conversion]:
    """The converted model, not yet checked, and the record of its conversion."""
    graph = trace(model, input_shape)
    images = [x for x in tree.flatten(graph.inputs) if len(x.shape) >= 3]
    if not images:
        raise ConversionError(
            f"{model.name!r} does not take an image. Expected: an input with positions and "
            f"channels. Received: {[tuple(x.shape) for x in tree.flatten(graph.inputs)]}."
        )
    axes = {id(x): _image_axes(graph, x) for x in images}
    strides = find_strides(graph, axes)
    build = Builder(graph, pooling, allow_global, strides, _limit(strides, densify), images, axes)
    inputs, values = _inputs(graph, build, densify)
    for step in graph.steps:
        site = Site(step, build).map(lambda x: values[id(x)], KerasTensor)
        for value in _apply(site):
            values[id(value.reference)] = value
    outputs = tree.map_structure(lambda x: _finished(values[id(x)], build), graph.outputs)
    if pooling == "map" and not build.averaged:
        raise ConversionError(
            f"{model.name!r} has no global average pooling. Expected: pooling='window'. "
            "Received: pooling='map'."
        )
    fcn = keras.Model(inputs, outputs, name=name or f"{model.name}_fcn")
    flat = tree.flatten(graph.outputs)
    record = Conversion(
        rows=tuple(build.rows),
        notes=tuple(dict.fromkeys(build.notes)),
        pooling=pooling,
        windows=tuple(_size(x, axes[id(x)]) for x in images),
        stride=tuple(max(1, int(s)) for s in max(strides.values(), key=sum)),
        densify=densify,
        dropped_activations=tuple(build.dropped_activations.get(id(x)) for x in flat),
        channels_first=axes[id(images[0])].channels_first,
    )
    return fcn, record


def _inputs(graph: Graph, build: Builder, densify: int):
    values = {}

    def make(x):
        if not any(x is image for image in build.images):
            made = keras.Input(batch_shape=x.shape, dtype=x.dtype, name=build.name(x.name))
            values[id(x)] = Value(x, made, Plain())
            return made
        axes = build.axes[id(x)]
        shape = [None if i in axes.positions else d for i, d in enumerate(x.shape)][1:]
        made = keras.Input(shape, dtype=x.dtype, name=build.name(x.name))
        size = TrainingSize(_size(x, axes), build.pooling, densify)
        marked = mark_training_size(made, build.name(size.name))
        values[id(x)] = _image(x, marked, axes, build)
        return made

    return tree.map_structure(make, graph.inputs), values


def _image_axes(graph: Graph, image) -> ImageAxes:
    axes = image_axes(graph, image)
    between = axes.channels is not None and axes.channels not in (1, len(image.shape) - 1)
    if between:
        raise ConversionError(
            f"Input {image.name!r} has its channels between its positions. Expected: channels "
            f"first or last. Received: shape {tuple(image.shape)}, positions {axes.positions}."
        )
    return axes


def _size(image, axes: ImageAxes) -> tuple[int, ...]:
    return tuple(image.shape[i] for i in axes.positions)


def _image(reference, tensor, axes: ImageAxes, build: Builder) -> Value:
    """An input as a map; one without channels is a view of a map of one channel."""
    rate = build.rate(reference)
    if not axes.proved and len(reference.shape) == 3:
        steps, channels = reference.shape[1:]
        build.notes.append(
            f"input {reference.name!r} is read as {steps} steps of {channels} channels, since no "
            f"layer says which of its axes are positions. For images of {steps} x {channels} "
            f"pixels put Reshape(({steps}, {channels}, 1)) in front of the model."
        )
    if axes.channels is not None:
        return Value(reference, tensor, grid(reference, axes.channels_first, rate))
    base = Value(
        reference, ops.expand_dims(tensor, -1), Grid(_size(reference, axes), 1, False, rate)
    )
    index = np.arange(math.prod(base.layout.size)).reshape(base.layout.size)
    return Value(reference, None, View(base, index))


def _apply(site: Site) -> list[Value]:
    """Run the rule of a step; the mean over positions passes only through affine layers."""
    if getattr(site.op, "quantization_mode", None):
        raise site.refuse(
            "is quantized",
            "float weights: convert the model before model.quantize()",
            site.op.quantization_mode,
        )
    averaged = any(isinstance(v.layout, Cells) and v.layout.averaged for v in site.values)
    strides = [site.build.cell_stride(v) for v in site.values]
    stride = common_stride(strides)
    if any(one not in (None, stride) for one in strides):
        site = align_cells(site)
    rule = find(site)
    if averaged and not probes.is_affine(site.step, site.values):
        results, name = _last_activation(site), "dropped activation"
    else:
        results, name = rule(site), rule.__name__
    if averaged or any(getattr(v.layout, "averaged", False) for v in results):
        site.build.averaged = True
        results = [Value(v.reference, v.tensor, Cells(averaged=True)) for v in results]
    for value in results:
        site.build.cell_strides[id(value.reference)] = stride
        shape = () if value.tensor is None else tuple(value.tensor.shape[1:])
        row = (site.op.name, name, tuple(value.reference.shape[1:]), shape)
        site.build.rows.append(row)
    return results


def _last_activation(site: Site) -> list[Value]:
    """The final nonlinearity is left out of a map reading: the map holds logits."""
    op, build = site.op, site.build
    if not build.is_last(site.step):
        raise site.refuse(
            "is not linear and lies between the average pooling and the output, so that the mean "
            "over the map is not the classifier",
            "pooling='window', or a linear head",
        )
    build.notes.append(f"the activation of {op.name!r} was left out: the map holds logits.")
    if isinstance(op, (layers.Dense, *head.CONV[1:])):
        build.dropped_activations[id(site.reference)] = op.activation
        config = {**op.get_config(), "activation": None}
        config = {k: v for k, v in config.items() if not k.startswith("lora")}
        linear = site.with_op(type(op).from_config(config))
        linear.op.build(tuple(site.value.reference.shape))
        weights = [op.kernel] if op.bias is None else [op.kernel, op.bias]
        linear.op.set_weights([array(w) for w in weights])
        return find(linear)(linear)
    if site.value.inner != tuple(site.reference.shape[1:]) or len(site.values) > 1:
        raise site.refuse("is not linear and changes the shape", "pooling='window'")
    build.dropped_activations[id(site.reference)] = op
    return [Value(site.reference, site.value.tensor, site.value.layout)]


def _finished(value: Value, build: Builder):
    if isinstance(value.layout, (View, Joint)):
        value = views.cells(value, build, "the output")
    if not isinstance(value.layout, Cells):
        return value.tensor
    if sum(d > 1 for d in value.inner) > 1:
        build.notes.append(f"an output of shape {value.inner} is flattened along the channels.")
    if not build.axes[id(build.images[0])].channels_first:
        return value.tensor
    rank = len(value.tensor.shape) - 2
    return layers.Permute((rank + 1, *range(1, rank + 1)))(value.tensor)


def _limit(strides: dict, densify: int) -> tuple[Fraction, ...] | None:
    if densify == 1:
        return None
    total = max(strides.values(), key=sum)
    if any(s % densify for s in total):
        raise ConversionError(
            f"densify={densify} does not divide the stride. Expected: a divisor of the stride of "
            f"the network. Received: stride {tuple(map(int, total))}."
        )
    return tuple(s / densify for s in total)
