"""What a rule works with: a step of the original model, and the new graph while it grows.

A tensor of the original has become one of these in the converted model, its layout:

Plain   the same tensor: no image positions in it, or one value for the whole image
Grid    a feature map; its height and width are now free
View    a map seen through an index (Flatten, Permute, a slice): waits for a Dense
Joint   several of these joined along the last axis: waits for a Dense
Cells   one vector per window: a map (B, rows, columns, D), always channels last
"""

import inspect
import math
import re
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, layers, ops, tree

from keras_metric.convert.errors import ConversionError
from keras_metric.convert.graph.trace import Graph, ImageAxes, Step, feeds_back


@dataclass(frozen=True)
class Plain:
    rank = 0


@dataclass(frozen=True)
class Grid:
    """Feature map whose original size was `size`; `rate` > 1 where densify removed strides."""

    size: tuple[int, ...]
    channels: int
    channels_first: bool
    rate: tuple[int, ...]
    rank = 1

    @property
    def shape(self) -> tuple[int, ...]:
        """The original shape in channels-last order, without batch."""
        return (*self.size, self.channels)

    @property
    def axes(self) -> tuple[int, ...]:
        first = 2 if self.channels_first else 1
        return tuple(range(first, first + len(self.size)))


@dataclass(frozen=True)
class Cells:
    """`averaged`: the mean over all positions, not each position, is the original value."""

    averaged: bool = False
    rank = 2


@dataclass(frozen=True, eq=False)
class View:
    """Element e of the original tensor is element `index[e]` of the flattened base map.

    `scale` and `shift` (flat, one per element) hold a batch normalization waiting to be folded.
    """

    base: Any
    index: np.ndarray
    scale: np.ndarray | None = None
    shift: np.ndarray | None = None
    rank = 3


@dataclass(frozen=True, eq=False)
class Joint:
    parts: tuple = field(default=())
    rank = 4


@dataclass(frozen=True, eq=False)
class Value:
    """A tensor of the new graph, the original it stands for, and how the two relate."""

    reference: KerasTensor
    tensor: Any
    layout: Plain | Grid | View | Joint | Cells

    @property
    def inner(self) -> tuple[int, ...]:
        """The original shape without the batch axis."""
        return tuple(self.reference.shape[1:])

    @property
    def width(self) -> int:
        return int(np.prod(self.inner, dtype=int))

    def over(self, tensor) -> "Value":
        return replace(self, tensor=tensor)

    def with_channels_last(self) -> "Value":
        """The same map with its channels behind."""
        if not self.layout.channels_first:
            return self
        rank = len(self.layout.size)
        moved = layers.Permute((*range(2, rank + 2), 1))(self.tensor)
        return replace(self, tensor=moved, layout=replace(self.layout, channels_first=False))


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
    dropped_activations: tuple[Callable | None, ...]
    channels_first: bool

    def __str__(self) -> str:
        width = max((len(name) for name, *_ in self.rows), default=0)
        lines = [f"{n:{width}}  {r:18}  {o} -> {new}" for n, r, o, new in self.rows]
        return "\n".join([*lines, *(f"note: {n}" for n in self.notes)])


@dataclass
class Builder:
    """State of one conversion.

    - `axes`: of each image input, by its id; `images` are these inputs.
    - `strides`: pixels between positions of each map of the original, by its id.
    - `step_limit`: the stride that densify leaves, per axis; None without densify.
    - `cell_strides`: pixels between the cells of each map of vectors of the new model, by the id
      of the original vector.
    """

    graph: Graph
    pooling: str
    allow_global: bool
    strides: dict[int, tuple]
    step_limit: tuple | None
    images: list
    axes: dict[int, ImageAxes]
    averaged: bool = False
    copies: dict = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    rows: list[tuple] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    dropped_activations: dict[int, Callable] = field(default_factory=dict)
    cell_strides: dict[int, tuple] = field(default_factory=dict)

    def name(self, wanted: str) -> str:
        """`wanted`, or with a number where two inlined models use the same name."""
        wanted = wanted.replace("/", "_")
        name, number = wanted, 0
        while name in self.names:
            number += 1
            name = f"{wanted}_{number}"
        self.names.add(name)
        return name

    def shared_copy(self, op, key: tuple, make: Callable):
        """The layer that stands for (part `key[0]` of) `op` in a situation: made once, shared."""
        if (op, key) not in self.copies:
            if getattr(op, "weights", ()) and any(
                o is op and k[0] == key[0] for o, k in self.copies
            ):
                self.notes.append(
                    f"{op.name!r} is shared by inputs of different layouts: the converted model "
                    "has one set of weights for each."
                )
            self.copies[op, key] = make()
        return self.copies[op, key]

    def clone(self, op, **changes):
        """A fresh copy of a layer or operation, weightless until it is called."""
        if isinstance(op, layers.Lambda):
            return layers.Lambda(
                op.function, op._output_shape, op.mask, op.arguments, name=self.name(op.name)
            )
        config = {**op.get_config(), "name": self.name(op.name), **changes}
        made = type(op).from_config(config)
        if getattr(op, "activity_regularizer", None) is not None:
            made.activity_regularizer = op.activity_regularizer  # Dense leaves it out of its config
        return made

    def replay(self, op, args: tuple, kwargs: dict, **changes):
        """Call the copy of `op`; on its first call it takes over the weights."""
        key = (0, "as it is", repr(changes))
        fresh = (op, key) not in self.copies
        copy = self.shared_copy(op, key, lambda: self.clone(op, **changes))
        result = copy(*args, **kwargs)
        if fresh and isinstance(op, layers.Layer):
            copy_weights(op, copy)
        return result

    def stride(self, reference) -> tuple:
        return self.strides[id(reference)]

    def rate(self, reference) -> tuple[int, ...]:
        """How many times finer than the original this map is, on each axis."""
        stride = self.stride(reference)
        if self.step_limit is None:
            return (1,) * len(stride)
        return tuple(
            int(max(s / limit, 1)) for s, limit in zip(stride, self.step_limit, strict=True)
        )

    def cell_stride(self, value: Value) -> tuple[Fraction, ...] | None:
        """Pixels between the positions of the new model that hold `value`; None for a vector."""
        layout = value.layout
        if isinstance(layout, Joint):
            return common_stride([self.cell_stride(part) for part in layout.parts])
        if isinstance(layout, Cells):
            return self.cell_strides.get(id(value.reference))
        reference = layout.base.reference if isinstance(layout, View) else value.reference
        if isinstance(layout, Plain):
            return None
        pairs = zip(self.stride(reference), self.rate(reference), strict=True)
        return tuple(s / r for s, r in pairs)

    def feeds_back(self, step: Step) -> bool:
        return feeds_back(self.graph, self.strides, step)

    def is_last(self, step: Step) -> bool:
        made = {id(x) for x in step.outputs}
        return not any(id(x) in made for other in self.graph.steps for x in other.tensors)


@dataclass(frozen=True, eq=False)
class Site:
    """One step with its tensors replaced by values, and the builder it belongs to."""

    step: Step
    build: Builder

    @property
    def op(self):
        return self.step.op

    @property
    def has_weights(self) -> bool:
        return bool(getattr(self.op, "weights", ()))

    @property
    def values(self) -> list[Value]:
        return [x for x in tree.flatten((self.step.args, self.step.kwargs)) if isinstance(x, Value)]

    @property
    def value(self) -> Value:
        """The only tensor, for layers that take one."""
        return self.values[0]

    @property
    def reference(self):
        return self.step.outputs[0]

    def map(self, change: Callable, kind: type = Value) -> "Site":
        """The same site with every value (or other `kind` of argument) changed."""
        args, kwargs = tree.map_structure(
            lambda x: change(x) if isinstance(x, kind) else x, (self.step.args, self.step.kwargs)
        )
        return Site(replace(self.step, args=args, kwargs=kwargs), self.build)

    def with_op(self, op) -> "Site":
        return Site(replace(self.step, op=op), self.build)

    def replay(self, **changes) -> list:
        """The tensors that a copy of the layer makes of the values' tensors."""
        args, kwargs = tree.map_structure(
            lambda x: x.tensor if isinstance(x, Value) else x, (self.step.args, self.step.kwargs)
        )
        return tree.flatten(self.build.replay(self.op, args, kwargs, **changes))

    def wrap(self, tensors, layout=None) -> list[Value]:
        """The outputs of the step: what replaces each of them, in a layout."""
        layout = layout or Plain()
        tensors = tensors if isinstance(tensors, list) else [tensors]
        pairs = zip(self.step.outputs, tensors, strict=True)
        return [Value(reference, x, layout) for reference, x in pairs]

    def wrap_maps(self, tensors) -> list[Value]:
        """Feature maps whose original size is that of the step's outputs."""
        first = next(v.layout for v in self.values if isinstance(v.layout, Grid)).channels_first
        pairs = zip(self.step.outputs, tree.flatten(tensors), strict=True)
        return [Value(ref, x, grid(ref, first, self.build.rate(ref))) for ref, x in pairs]

    def refuse(self, what: str, expected: str, received: str | None = None) -> ConversionError:
        shape = tuple(self.value.reference.shape) if self.values else ()
        received = received or f"{type(self.op).__name__} on {shape}"
        return ConversionError(
            f"Layer {self.op.name!r} {what}. Expected: {expected}. Received: {received}."
        )


def common_stride(strides: list) -> tuple[Fraction, ...] | None:
    """The smallest stride that all of them divide, axis by axis; None among them are vectors."""
    known = [stride for stride in strides if stride is not None]
    if not known:
        return None
    common = []
    for axis in zip(*known, strict=True):
        parts = math.lcm(*(Fraction(s).denominator for s in axis))
        common.append(Fraction(math.lcm(*(int(s * parts) for s in axis)), parts))
    return tuple(common)


def grid(reference, channels_first: bool, rate: tuple[int, ...]) -> Grid:
    shape = tuple(reference.shape[1:])
    if channels_first:
        return Grid(shape[1:], shape[0], True, rate)
    return Grid(shape[:-1], shape[-1], False, rate)


def copy_weights(source, target) -> None:
    """Through fresh arrays: JAX would share the buffer, and training frees shared buffers."""
    for old, new in zip(source.weights, target.weights, strict=True):
        new.assign(np.array(ops.convert_to_numpy(old.value)))
    if isinstance(target, layers.Normalization):
        target.finalize_state()


def kernel_of(layer) -> np.ndarray:
    """The kernel with its adapters (LoRA) merged, in its own precision."""
    return np.array(ops.convert_to_numpy(layer.kernel))


def array(variable) -> np.ndarray:
    return ops.convert_to_numpy(variable).astype("float64")


_NAME = re.compile(r"trained_on_(\d+(?:x\d+)*)(_map)?(?:_densify_(\d+))?(?:_\d+)?")


@dataclass(frozen=True)
class TrainingSize:
    """What a file of a converted network keeps of its conversion, in the name of a layer.

    Behind each image input stands an `Identity` layer named after the size it was trained on, as in

        trained_on_28x28    trained_on_224x224_map    trained_on_64x64_densify_4

    A standard layer that does nothing, so `save`, `load_model`, `clone_model` and a rename of the
    model keep it, and reading it back needs neither custom objects nor this package.
    """

    window: tuple[int, ...]
    pooling: str = "window"
    densify: int = 1

    @property
    def name(self) -> str:
        size = "x".join(map(str, self.window))
        reading = "_map" if self.pooling == "map" else ""
        finer = f"_densify_{self.densify}" if self.densify > 1 else ""
        return f"trained_on_{size}{reading}{finer}"


def mark_training_size(image, name: str):
    """The same image behind a layer of that name, in the precision it came in."""
    return layers.Identity(dtype=image.dtype if "float" in image.dtype else None, name=name)(image)


def read_training_size(fcn: keras.Model) -> TrainingSize | None:
    """That of the first image input that has one; None for a network without."""
    for layer in getattr(fcn, "layers", ()):
        found = _NAME.fullmatch(layer.name) if isinstance(layer, layers.Identity) else None
        if found:
            window = tuple(map(int, found[1].split("x")))
            return TrainingSize(window, "map" if found[2] else "window", int(found[3] or 1))
    return None


def run_once(step: Step, given: Callable) -> list[np.ndarray]:
    """The original layer, in inference, on `given(value)` in the place of each tensor: arrays."""
    kwargs = dict(step.kwargs)
    if "training" in inspect.signature(step.op.call).parameters:
        kwargs["training"] = False
    args, kwargs = tree.map_structure(
        lambda a: ops.convert_to_tensor(given(a)) if isinstance(a, Value) else a,
        (step.args, kwargs),
    )
    return [ops.convert_to_numpy(y) for y in tree.flatten(step.op(*args, **kwargs))]
