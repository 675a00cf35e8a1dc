"""The receptive fields of all maps of a network, and the layers that make windows inexact."""

import math
from dataclasses import dataclass, replace
from fractions import Fraction

import keras
import numpy as np
from keras import layers, tree

from keras_metric.convert.errors import ConversionError
from keras_metric.convert.geometry.receptive_field import (
    ReceptiveField,
    each,
    interpolation,
    interpolation_taps,
    kernel_taps,
    overlapping,
    permuted,
    sliced,
    transposed_taps,
    union,
)
from keras_metric.convert.graph import probes
from keras_metric.convert.graph.site import Grid, Plain, Value
from keras_metric.convert.graph.trace import (
    GLOBAL_POOLS,
    REDUCTIONS,
    TRANSPOSED,
    UPSAMPLING,
    Graph,
    Step,
    input_structure,
    step_stride,
    trace,
)
from keras_metric.convert.rules import patches, trunk
from keras_metric.convert.rules.aligned import AddAligned, AlignCells, CropToImage, Stretch
from keras_metric.pooling import SlidingGeM


@dataclass(frozen=True)
class InexactLayer:
    """A layer that can make a cell of a large image differ from the model on the cell's window.

    `kind` is "border", "phase", "upsampling" or "whole image".
    """

    layer: str
    kind: str
    reason: str

    def __str__(self) -> str:
        return f"{self.layer}: {self.reason}"


REASONS = {
    "border": "fills the border with zeros ('same' padding); inside a larger image the neighbors "
    "of a window are real pixels. Train with padding='valid' for exact windows",
    "phase": "has stride and 'same' padding: it fills the border with zeros, on which side depends "
    "on the image size. Use sizes that keep the phase (Geometry.keeps_phase), or train with "
    "padding='valid' for exact windows",
    "upsampling": "computes positions between those of the map it reads: it depends on where a "
    "window starts, or at the border of a window on the neighbors. Train without it, or with a "
    "kernel no larger than its stride and cells no closer than the map it reads",
    "whole image": "reads the whole image (squeeze-excite, global pooling, attention or "
    "normalization over positions); a window alone gives it other values. Crop windows, or train "
    "without it",
}
_ALIKE = (
    *(*trunk.POINTWISE, layers.BatchNormalization, layers.Dense),
    *(AddAligned, CropToImage, patches.BatchToCells),
)


def receptive_fields(fcn: keras.Model, size: tuple[int, ...], *, gates: bool = True):
    """Of every output of `fcn` for images of `size`, and the layers that make windows inexact.

    `gates=False` leaves out what reaches a map only through a pooled vector (squeeze-excite).
    """
    walk = Walk(fcn, size, gates=gates)
    return walk.outputs(), walk.inexact_layers


def channels_first(fcn: keras.Model) -> bool:
    """Whether the free sizes of the image input come after its channels."""
    image = next(x for x in fcn.inputs if len(x.shape) > 2)
    return image.shape[1] is not None and None in image.shape[2:]


def free_sides(image) -> int:
    """How many sides of an image input are free: 2 for `(None, None, C)` and `(None, None)`."""
    return tuple(image.shape[1:]).count(None) or len(image.shape) - 2


def size_of(fcn: keras.Model, shape) -> tuple[int, ...]:
    """Of an image of `shape`, without the batch: its sides that are free, in pixels."""
    image = next(x for x in fcn.inputs if len(x.shape) > 2)
    return tuple(n for n, d in zip(shape, image.shape[1:], strict=True) if d is None)


def _sized(fcn: keras.Model, size) -> keras.Model:
    """The same network on inputs of a fixed size."""

    def fixed(x):
        rest = iter(size)
        shape = tuple(next(rest) if d is None else d for d in x.shape[1:])
        return keras.Input(shape, dtype=x.dtype, name=x.name)

    inputs = tree.map_structure(fixed, input_structure(fcn))
    try:
        return keras.Model(inputs, fcn(inputs, training=False))
    except Exception as error:  # every layer has its own way to refuse a shape
        raise ConversionError(
            f"{fcn.name!r} does not run on images of {' x '.join(map(str, size))} pixels. "
            "Expected: the training size or more, and for a network whose notes say so "
            f"in steps of its stride. Received: {' '.join(str(error).split())[:200]}"
        ) from error


class Walk:
    """One pass over the layers of `fcn` at an image size: the receptive fields of each map."""

    def __init__(self, fcn: keras.Model, size: tuple[int, ...], *, gates: bool = True):
        first = channels_first(fcn)
        self.gates, self.size = gates, tuple(size)
        self.graph: Graph = trace(_sized(fcn, size))
        self.first: dict[int, bool] = {}
        self.inexact_layers: list[InexactLayer] = []
        self.fields: dict[int, tuple[ReceptiveField, ...]] = {}
        self.whole: set[int] = set()
        self._upsampled: dict[int, tuple[Step, tuple[Fraction, ...], bool]] = {}
        inputs = zip(tree.flatten(self.graph.inputs), fcn.inputs, strict=True)
        for x, free in inputs:
            if len(x.shape) > 2:
                sides = [n for n, d in zip(x.shape[1:], free.shape[1:], strict=True) if d is None]
                self.fields[id(x)] = tuple(map(ReceptiveField.of_pixels, sides))
                self.first[id(x)] = first
        for step in self.graph.steps:
            self._follow(step)
        self._report_upsampling()

    def outputs(self) -> list[tuple[ReceptiveField, ...] | None]:
        return [self.fields.get(id(x)) for x in tree.flatten(self.graph.outputs)]

    def cells(self, output: int) -> tuple[int, ...]:
        """Positions of an output."""
        x = tree.flatten(self.graph.outputs)[output]
        return self._sides(x, self.first[id(x)])

    def steps(self) -> tuple[int, ...]:
        """Pixels by which an image may move so that every map moves by whole positions."""
        strides = zip(*([f.stride for f in fields] for fields in self.fields.values()), strict=True)
        return tuple(math.lcm(*(s.numerator for s in axis)) for axis in strides)

    def bytes(self) -> int:
        """What all maps of one image take together, in float32."""
        shapes = [x.shape[1:] for step in self.graph.steps for x in step.outputs]
        return 4 * sum(math.prod(d or 1 for d in shape) for shape in shapes)

    def _sides(self, x, first: bool) -> tuple[int, ...]:
        return tuple(x.shape[2:] if first else x.shape[1:-1])

    def _follow(self, step: Step) -> None:
        maps = [x for x in step.tensors if id(x) in self.fields]
        if isinstance(step.op, patches.CellsToBatch):
            return
        if isinstance(step.op, patches.BatchToCells):
            maps = maps[-1:]
        if isinstance(step.op, AlignCells):
            self._thin(step)
            return
        reads_whole = any(id(x) in self.whole for x in step.tensors)
        if not maps:
            self.whole.update(id(x) for x in step.outputs if reads_whole)
            return
        if self._pools_all(step, maps[0]):
            self._report(step, "whole image")
            self.whole.update(id(x) for x in step.outputs)
            return
        first, fields = self.first[id(maps[0])], self._merged(step, maps)
        if isinstance(step.op, layers.Permute):
            fields, first = permuted(step.op.dims, fields, first)
        else:
            fields = self._through(step, maps[0], fields)
        if reads_whole and self.gates:
            fields = self._whole(fields)
        for x in step.outputs:
            self.fields[id(x)], self.first[id(x)] = fields, first

    def _whole(self, fields) -> tuple[ReceptiveField, ...]:
        return tuple(f.whole(n) for f, n in zip(fields, self.size, strict=True))

    def _thin(self, step: Step) -> None:
        """Each map goes on by itself: every few of its positions are kept."""
        for x, y, factors in zip(step.tensors, step.outputs, step.op.factors, strict=True):
            sizes = self._sides(y, False)
            self.fields[id(y)] = tuple(
                f.through(np.arange(n)[None] * k, k, n)
                for f, k, n in zip(self.fields[id(x)], factors, sizes, strict=True)
            )
            self.first[id(y)] = False
            self.whole.update({id(y)} if id(x) in self.whole else ())

    def _pools_all(self, step: Step, x) -> bool:
        reduces = type(step.op).__name__ in REDUCTIONS and len(step.tensors) == 1
        if not reduces:
            return isinstance(step.op, GLOBAL_POOLS)
        axes = step.op.axis
        channel = {1 if self.first[id(x)] else len(x.shape) - 1}
        return axes is None or not {a % len(x.shape) for a in axes} <= channel

    def _merged(self, step: Step, maps) -> tuple[ReceptiveField, ...]:
        fields = [self.fields[id(x)] for x in maps]
        if isinstance(step.op, (AddAligned, CropToImage)):
            sizes = self._sides(step.outputs[0], False)
            fields = [
                tuple(
                    f.through(np.arange(n)[None] + a, 1, n)
                    for f, a, n in zip(map_fields, start, sizes, strict=True)
                )
                for map_fields, start in zip(fields, step.op.starts, strict=False)
            ]
        merged = fields[0]
        for other in fields[1:]:
            merged = tuple(union(step.op.name, a, b) for a, b in zip(merged, other, strict=True))
        return merged

    def _through(self, step: Step, x, fields) -> tuple[ReceptiveField, ...]:
        op, rank = step.op, len(fields)
        if type(op).__name__ == "ExpandDims" and len(x.shape) == rank + 1:
            return fields
        after = self._sides(step.outputs[0], self.first[id(x)])
        if isinstance(op, (*trunk.CONVOLUTIONS, *trunk.AVERAGE_POOLS, *trunk.MAX_POOLS)):
            return self._kernel(step, fields, self._sides(x, self.first[id(x)]), after)
        if isinstance(op, (*trunk.PADDINGS, *trunk.CROPPINGS)):
            return self._border(step, fields, after)
        if isinstance(op, (*TRANSPOSED, *UPSAMPLING, Stretch)):
            return self._finer(step, fields, after)
        if isinstance(op, (patches.WindowPatches, SlidingGeM)):
            kernels = zip(fields, op.size, op.rate, after, strict=True)
            return tuple(f.through(kernel_taps(n, k, 1, r, 0), 1, n) for f, k, r, n in kernels)
        if type(op).__name__ == "GetItem":
            key = step.args[1] if len(step.args) > 1 else step.kwargs["key"]
            return sliced(key, fields, self.first[id(x)], after)
        if not isinstance(op, _ALIKE) and not self._alike(step, rank):
            self._report(step, "whole image")
            return self._whole(fields)
        return fields

    def _kernel(self, step: Step, fields, sizes, after) -> tuple[ReceptiveField, ...]:
        op, made = step.op, []
        kernel = each(getattr(op, "kernel_size", None) or op.pool_size, len(fields))
        dilation = each(getattr(op, "dilation_rate", 1), len(fields))
        strides = step_stride(op, len(fields))
        bilinear = self._is_bilinear(step)
        for i, (f, k, d, n) in enumerate(zip(fields, kernel, dilation, sizes, strict=True)):
            reach, before, s = (k - 1) * d, 0, int(strides[i])
            if op.padding == "same":
                before = trunk.in_front(n, reach, s)
                if not bilinear and (reach > 0 or (s > 1 and n % s)):
                    self._report(step, "phase" if s > 1 else "border")
            elif op.padding == "causal":
                before = reach
                self._report(step, "border")
            made.append(f.through(kernel_taps(after[i], k, s, d, before), s, after[i]))
        return tuple(made)

    def _is_bilinear(self, step: Step) -> bool:
        """Whether it averages what was repeated: the converter's form of bilinear upsampling."""
        made = self._upsampled.get(id(step.tensors[0]))
        if not made or not isinstance(made[0].op, UPSAMPLING):
            return False
        if not isinstance(step.op, trunk.AVERAGE_POOLS):
            return False
        repeat, coarse, _ = made
        rank = len(coarse)
        same_size = each(repeat.op.size, rank) == each(step.op.pool_size, rank)
        if not same_size or step.op.padding != "same":
            return False
        self._upsampled[id(step.tensors[0])] = (step, coarse, True)
        return True

    def _border(self, step: Step, fields, after) -> tuple[ReceptiveField, ...]:
        adds = isinstance(step.op, trunk.PADDINGS)
        border = step.op.padding if adds else step.op.cropping
        border = (border,) if isinstance(border[0], int) else border
        if adds and any(map(any, border)):
            self._report(step, "border")
        sign = 1 if adds else -1
        axes = zip(fields, border, after, strict=True)
        return tuple(f.through(kernel_taps(n, 1, 1, 1, sign * a), 1, n) for f, (a, _), n in axes)

    def _finer(self, step: Step, fields, after) -> tuple[ReceptiveField, ...]:
        """Transposed convolutions and upsampling: several positions for each of the map."""
        op, made, overlaps = step.op, [], False
        factors = getattr(op, "factors", None) or [int(1 / s) for s in step_stride(op, len(fields))]
        for axis, (f, s, n) in enumerate(zip(fields, factors, after, strict=True)):
            if isinstance(op, TRANSPOSED):
                taps, read = transposed_taps(op, axis, s, n)
            else:
                taps, read = interpolation_taps(max(n, s), s, interpolation(op)), np.True_
            overlaps |= overlapping(op, axis, s)
            made.append(f.through(taps, Fraction(1, s), n, read))
        self._upsampled[id(step.outputs[0])] = (step, tuple(f.stride for f in fields), overlaps)
        return tuple(made)

    def _report_upsampling(self) -> None:
        """Where cells lie between the positions that it read, or its kernels overlap."""
        outputs = [fields for fields in self.outputs() if fields]
        for step, coarse, overlaps in self._upsampled.values():
            between = any(
                (f.stride / c).denominator > 1
                for fields in outputs
                for f, c in zip(fields, coarse, strict=True)
            )
            if overlaps or between:
                self._report(step, "upsampling")

    def _alike(self, step: Step, rank: int) -> bool:
        if type(step.op).__name__ in ("Transpose", "ZerosLike"):
            return True
        values = {}
        for x in step.tensors:
            layout = Plain()
            if id(x) in self.fields:
                shape, first = tuple(x.shape[1:]), self.first[id(x)]
                size, channels = (shape[1:], shape[0]) if first else (shape[:-1], shape[-1])
                layout = Grid(size, channels, first, (1,) * rank)
            values[id(x)] = Value(x, None, layout)
        args, kwargs = tree.map_structure(lambda a: values.get(id(a), a), (step.args, step.kwargs))
        return probes.treats_positions_alike(
            replace(step, args=args, kwargs=kwargs), list(values.values())
        )

    def _report(self, step: Step, kind: str) -> None:
        found = InexactLayer(step.op.name, kind, REASONS[kind])
        if found not in self.inexact_layers:
            self.inexact_layers.append(found)
