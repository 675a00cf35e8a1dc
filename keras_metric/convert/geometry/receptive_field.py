"""What every map of a network has read of the image, and the layers that blur the answer."""

import math
from dataclasses import dataclass, replace

import keras
from keras import layers, tree

from keras_metric.convert.errors import ConversionError
from keras_metric.convert.geometry.field import WHOLE, Field, between, each, finer, sliced, union
from keras_metric.convert.graph import analysis, probes
from keras_metric.convert.graph.layout import Grid, Plain, Value
from keras_metric.convert.graph.trace import Graph, Step, trace
from keras_metric.convert.rules import patches, trunk, zeros
from keras_metric.convert.rules.aligned import AddAligned, CropToImage, Stretch


@dataclass(frozen=True)
class Fault:
    """A layer for which a cell of a large image differs from the model on the cell's window."""

    layer: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.reason}"


REASONS = {
    "border": "fills the border with zeros ('same' padding); inside a larger image the neighbours "
    "of a window are real pixels. Train with padding='valid' for exact windows",
    "phase": "has stride and 'same' padding: it fills the border with zeros, on which side depends "
    "on the image size. Use sizes that keep the phase (Geometry.keeps_phase), or train with "
    "padding='valid' for exact windows",
    "whole image": "looks at the whole image (squeeze-excite, global pooling or normalization); a "
    "window alone gives it other values. Crop windows, or train without it",
}
_ALIKE = (*trunk.POINTWISE, layers.BatchNormalization, layers.Dense, AddAligned, CropToImage)


def follow(fcn: keras.Model, size: tuple[int, ...], *, gates: bool = True):
    """The fields of every output of `fcn` for images of `size`, and the faults on the way.

    `gates=False` leaves out what reaches a map only through a pooled vector (squeeze-excite).
    """
    walk = Walk(fcn, size, gates=gates)
    return walk.outputs(), walk.faults


def channels_first(fcn: keras.Model) -> bool:
    """Whether the free sizes of the image input come after its channels."""
    image = next(x for x in fcn.inputs if len(x.shape) > 2)
    return image.shape[1] is not None and None in image.shape[2:]


def _sized(fcn: keras.Model, size) -> keras.Model:
    """The same network on inputs of a fixed size."""

    def fixed(x):
        rest = iter(size)
        shape = tuple(next(rest) if d is None else d for d in x.shape[1:])
        return keras.Input(shape, dtype=x.dtype, name=x.name)

    inputs = tree.map_structure(fixed, fcn._inputs_struct)
    try:
        return keras.Model(inputs, fcn(inputs))
    except Exception as error:  # every layer has its own way to refuse a shape
        raise ConversionError(
            f"{fcn.name!r} does not run on images of {' x '.join(map(str, size))} pixels. Expected "
            "the training size or more, and for a network whose notes say so in steps of its "
            f"stride. Received: {' '.join(str(error).split())[:200]}"
        ) from error


class Walk:
    """One pass over the layers of `fcn` at an image size: the field of each map, the faults."""

    def __init__(self, fcn: keras.Model, size: tuple[int, ...], *, gates: bool = True):
        first = channels_first(fcn)
        self.gates = gates
        self.graph: Graph = trace(_sized(fcn, size))
        self.first: dict[int, bool] = {}
        self.faults: list[Fault] = []
        self.fields: dict[int, tuple[Field, ...]] = {}
        self.whole: set[int] = set()
        for x in tree.flatten(self.graph.inputs):
            if len(x.shape) > 2:
                self.fields[id(x)] = (Field(),) * (len(x.shape) - 2)
                self.first[id(x)] = first
        for step in self.graph.steps:
            self._follow(step)

    def outputs(self) -> list[tuple[Field, ...] | None]:
        return [self.fields.get(id(x)) for x in tree.flatten(self.graph.outputs)]

    def cells(self, output: int) -> tuple[int, ...]:
        """Positions of an output."""
        x = tree.flatten(self.graph.outputs)[output]
        return tuple(x.shape[2:] if self.first[id(x)] else x.shape[1:-1])

    def steps(self) -> tuple[int, ...]:
        """Pixels by which an image may move so that every map moves by whole positions."""
        strides = zip(*([f.stride for f in fields] for fields in self.fields.values()), strict=True)
        return tuple(math.lcm(*(s.numerator for s in axis)) for axis in strides)

    def bytes(self) -> int:
        """What all maps of one image take together, in float32."""
        shapes = [x.shape[1:] for step in self.graph.steps for x in step.outputs]
        return 4 * sum(math.prod(d or 1 for d in shape) for shape in shapes)

    def _follow(self, step: Step) -> None:
        maps = [x for x in step.tensors if id(x) in self.fields]
        if isinstance(step.op, patches.BatchToCells):
            maps = maps[-1:]
        if isinstance(step.op, patches.CellsToBatch):
            return
        looks_around = any(id(x) in self.whole for x in step.tensors)
        if not maps:
            self.whole.update(id(x) for x in step.outputs if looks_around)
            return
        if self._pools_all(step, maps[0]):
            self._blame(step, "whole image")
            self.whole.update(id(x) for x in step.outputs)
            return
        fields = self._merge(step, maps)
        fields = self._through(step, maps[0], fields)
        if looks_around and self.gates:
            fields = tuple(replace(WHOLE, stride=f.stride) for f in fields)
        first = self._format_after(step, maps[0])
        for x in step.outputs:
            self.fields[id(x)], self.first[id(x)] = fields, first

    def _format_after(self, step: Step, x) -> bool:
        first = self.first[id(x)]
        if not isinstance(step.op, layers.Permute):
            return first
        return step.op.dims[-1] != 1 if first else step.op.dims[0] == len(step.op.dims)

    def _pools_all(self, step: Step, x) -> bool:
        reduces = type(step.op).__name__ in analysis.REDUCTIONS and len(step.tensors) == 1
        if not reduces:
            return isinstance(step.op, analysis.GLOBAL_POOLS)
        axes = step.op.axis
        channel = {1 if self.first[id(x)] else len(x.shape) - 1}
        return axes is None or not {a % len(x.shape) for a in axes} <= channel

    def _merge(self, step: Step, maps) -> tuple[Field, ...]:
        fields = [self.fields[id(x)] for x in maps]
        if isinstance(step.op, (AddAligned, CropToImage)):
            fields = [
                tuple(f.through(0, 1, -n) for f, n in zip(map_fields, start, strict=True))
                for map_fields, start in zip(fields, step.op.starts, strict=False)
            ]
        merged = fields[0]
        for other in fields[1:]:
            merged = tuple(union(step.op.name, a, b) for a, b in zip(merged, other, strict=True))
        return merged

    def _through(self, step: Step, x, fields) -> tuple[Field, ...]:
        op, rank = step.op, len(fields)
        sizes = x.shape[2:] if self.first[id(x)] else x.shape[1:-1]
        if isinstance(op, (*trunk.CONVOLUTIONS, *trunk.AVERAGE_POOLS, *trunk.MAX_POOLS)):
            return self._kernel(step, fields, sizes)
        if isinstance(op, patches.WindowPatches):
            reach = [(k - 1) * r for k, r in zip(op.size, op.rate, strict=True)]
            return tuple(f.through(n, 1, 0) for f, n in zip(fields, reach, strict=True))
        if isinstance(op, (*trunk.PADDINGS, *trunk.CROPPINGS)):
            return self._border(step, fields)
        if isinstance(op, (*analysis.TRANSPOSED, *analysis.UPSAMPLING)):
            return finer(op, fields)
        if isinstance(op, Stretch):
            return tuple(between(f, n) for f, n in zip(fields, op.factors, strict=True))
        if type(op).__name__ == "GetItem":
            key = step.args[1] if len(step.args) > 1 else step.kwargs["key"]
            return sliced(key, fields, self.first[id(x)])
        if not isinstance(op, _ALIKE) and not self._alike(step, rank):
            self._blame(step, "whole image")
            return tuple(replace(WHOLE, stride=f.stride) for f in fields)
        return fields

    def _kernel(self, step: Step, fields, sizes) -> tuple[Field, ...]:
        op, after = step.op, []
        kernel = each(getattr(op, "kernel_size", None) or op.pool_size, len(fields))
        dilation = each(getattr(op, "dilation_rate", 1), len(fields))
        strides = analysis.step_stride(op, len(fields))
        for f, k, d, s, n in zip(fields, kernel, dilation, strides, sizes, strict=True):
            reach, before = (k - 1) * d, 0
            if op.padding == "same":
                before = zeros.in_front(n, reach, s)
                if reach > 0 or (s > 1 and n % s):
                    self._blame(step, "phase" if s > 1 else "border")
            elif op.padding == "causal":
                before = reach
                self._blame(step, "border")
            after.append(f.through(reach, s, before))
        return tuple(after)

    def _border(self, step: Step, fields) -> tuple[Field, ...]:
        adds = isinstance(step.op, trunk.PADDINGS)
        border = step.op.padding if adds else step.op.cropping
        border = (border,) if isinstance(border[0], int) else border
        if adds and any(map(any, border)):
            self._blame(step, "border")
        sign = 1 if adds else -1
        return tuple(f.through(0, 1, sign * a) for f, (a, _) in zip(fields, border, strict=True))

    def _alike(self, step: Step, rank: int) -> bool:
        values = {}
        for x in step.tensors:
            layout = Plain()
            if id(x) in self.fields:
                shape, first = tuple(x.shape[1:]), self.first[id(x)]
                size, channels = (shape[1:], shape[0]) if first else (shape[:-1], shape[-1])
                layout = Grid(size, channels, first, (1,) * rank)
            values[id(x)] = Value(x, None, layout)
        args, kwargs = tree.map_structure(lambda a: values.get(id(a), a), (step.args, step.kwargs))
        if type(step.op).__name__ in ("Permute", "Transpose", "ZerosLike"):
            return True
        return probes.treats_positions_alike(
            replace(step, args=args, kwargs=kwargs), list(values.values())
        )

    def _blame(self, step: Step, kind: str) -> None:
        fault = Fault(step.op.name, kind, REASONS[kind])
        if fault not in self.faults:
            self.faults.append(fault)
