"""From a classifier to a fully convolutional network: trace, rewrite step by step, check."""

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

import keras
from keras import KerasTensor, layers, tree

from keras_metric.convert.errors import ConversionError
from keras_metric.convert.geometry import size_record
from keras_metric.convert.graph import analysis, probes
from keras_metric.convert.graph.site import Builder, Site, array, grid
from keras_metric.convert.graph.layout import Cells, Joint, Plain, Value, View
from keras_metric.convert.graph.trace import Graph, trace
from keras_metric.convert.rules import dense, views
from keras_metric.convert.rules.table import find


@dataclass(frozen=True)
class Conversion:
    """What was done: `rows` (layer, rule, old shape, new shape), notes and the reading.

    `windows` is the original size of each image input, `stride` the pixels between positions of
    the coarsest map of the original.
    """

    rows: tuple[tuple[str, str, tuple, tuple], ...]
    notes: tuple[str, ...]
    pooling: str
    windows: tuple[tuple[int, ...], ...]
    stride: tuple[int, ...]
    densify: int
    tails: tuple[Callable | None, ...]
    channels_first: bool

    def __str__(self) -> str:
        width = max((len(name) for name, *_ in self.rows), default=0)
        lines = [f"{n:{width}}  {r:18}  {o} -> {new}" for n, r, o, new in self.rows]
        return "\n".join([*lines, *(f"note: {n}" for n in self.notes)])


def rewrite(
    model: keras.Model, *, pooling: str, densify: int, allow_global: bool, input_shape, name
) -> tuple[keras.Model, Conversion]:
    """The converted model, not yet checked, and the record of its conversion."""
    graph = trace(model, input_shape)
    images = [x for x in tree.flatten(graph.inputs) if len(x.shape) >= 3]
    if not images:
        raise ConversionError(
            f"{model.name!r} takes no image. Expected an input with positions and channels. "
            f"Received: {[tuple(x.shape) for x in tree.flatten(graph.inputs)]}."
        )
    strides = analysis.strides(graph, images)
    build = Builder(graph, pooling, allow_global, strides, _limit(strides, densify), images)
    inputs, values = _inputs(graph, build, densify)
    for step in graph.steps:
        site = Site(step, build).map(lambda x: values[id(x)], KerasTensor)
        for value in _apply(site):
            values[id(value.reference)] = value
    outputs = tree.map_structure(lambda x: _finished(values[id(x)], build), graph.outputs)
    if pooling == "map" and not build.averaged:
        raise ConversionError(
            f"{model.name!r} has no global average pooling to drop. Expected pooling='window'. "
            "Received: pooling='map'."
        )
    fcn = keras.Model(inputs, outputs, name=name or f"{model.name}_fcn")
    flat = tree.flatten(graph.outputs)
    record = Conversion(
        rows=tuple(build.rows),
        notes=tuple(dict.fromkeys(build.notes)),
        pooling=pooling,
        windows=tuple(tuple(grid(x, build.first(x), ()).size) for x in images),
        stride=tuple(max(1, int(s)) for s in max(strides.values(), key=sum)),
        densify=densify,
        tails=tuple(build.tails.get(id(x)) for x in flat),
        channels_first=build.first(images[0]),
    )
    return fcn, record


def _inputs(graph: Graph, build: Builder, densify: int):
    values = {}

    def make(x):
        if not any(x is image for image in build.images):
            made = keras.Input(batch_shape=x.shape, dtype=x.dtype, name=build.name(x.name))
            values[id(x)] = Value(x, made, Plain())
            return made
        first = build.first(x)
        size = (None,) * (len(x.shape) - 2)
        shape = (x.shape[1], *size) if first else (*size, x.shape[-1])
        made = keras.Input(shape, dtype=x.dtype, name=build.name(x.name))
        layout = grid(x, first, build.rate(x))
        noted = size_record.write(
            made, build.name(size_record.Note(layout.size, build.pooling, densify).name)
        )
        values[id(x)] = Value(x, noted, layout)
        return made

    return tree.map_structure(make, graph.inputs), values


def _apply(site: Site) -> list[Value]:
    """Run the rule of a step; the mean over positions passes only through affine layers."""
    if getattr(site.op, "quantization_mode", None):
        raise site.refuse(
            "is quantized",
            "float weights: convert the model before model.quantize()",
            site.op.quantization_mode,
        )
    averaged = any(isinstance(v.layout, Cells) and v.layout.averaged for v in site.values)
    rule = find(site)
    if averaged and not probes.is_affine(site.step, site.values):
        results, name = _last_activation(site), "left to the reader"
    else:
        results, name = rule(site), rule.__name__
    if averaged or any(getattr(v.layout, "averaged", False) for v in results):
        site.build.averaged = True
        results = [Value(v.reference, v.tensor, Cells(averaged=True)) for v in results]
    for value in results:
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
    if isinstance(op, (layers.Dense, *dense.CONV[1:])):
        build.tails[id(site.reference)] = op.activation
        config = {**op.get_config(), "activation": None}
        config = {k: v for k, v in config.items() if not k.startswith("lora")}
        linear = site.with_op(type(op).from_config(config))
        linear.op.build(tuple(site.value.reference.shape))
        weights = [op.kernel] if op.bias is None else [op.kernel, op.bias]
        linear.op.set_weights([array(w) for w in weights])
        return find(linear)(linear)
    if site.value.inner != tuple(site.reference.shape[1:]) or len(site.values) > 1:
        raise site.refuse("is not linear and changes the shape", "pooling='window'")
    build.tails[id(site.reference)] = op
    return [Value(site.reference, site.value.tensor, site.value.layout)]


def _finished(value: Value, build: Builder):
    if isinstance(value.layout, (View, Joint)):
        value = views.cells(value, build, "the output")
    if not isinstance(value.layout, Cells):
        return value.tensor
    if sum(d > 1 for d in value.inner) > 1:
        build.notes.append(f"an output of shape {value.inner} is flattened along the channels.")
    if not build.first(build.images[0]):
        return value.tensor
    rank = len(value.tensor.shape) - 2
    return layers.Permute((rank + 1, *range(1, rank + 1)))(value.tensor)


def _limit(strides: dict, densify: int) -> tuple[Fraction, ...] | None:
    if densify == 1:
        return None
    total = max(strides.values(), key=sum)
    if any(s % densify for s in total):
        raise ConversionError(
            f"densify={densify} does not divide the stride. Expected a divisor of the stride of "
            f"the network. Received: stride {tuple(map(int, total))}."
        )
    return tuple(s / densify for s in total)
