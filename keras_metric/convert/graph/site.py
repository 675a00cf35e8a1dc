"""The new graph while it grows: copies of layers, their names and weights, and the record kept."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np
from keras import layers, ops, tree

from keras_metric.convert.errors import ConversionError
from keras_metric.convert.graph import analysis
from keras_metric.convert.graph.layout import Grid, Plain, Value
from keras_metric.convert.graph.trace import Graph, Step


@dataclass
class Builder:
    """State of one conversion; `step_limit` is the stride that densify leaves, per axis."""

    graph: Graph
    pooling: str
    allow_global: bool
    strides: dict[int, tuple]
    step_limit: tuple | None
    images: list
    averaged: bool = False
    twins: dict = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    rows: list[tuple] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    tails: dict[int, Callable] = field(default_factory=dict)

    def name(self, wanted: str) -> str:
        """`wanted`, or with a number where two inlined models use the same name."""
        wanted = wanted.replace("/", "_")
        name, number = wanted, 0
        while name in self.names:
            number += 1
            name = f"{wanted}_{number}"
        self.names.add(name)
        return name

    def twin(self, op, key: tuple, make: Callable):
        """The layer that stands for (part `key[0]` of) `op` in a situation: made once, shared."""
        if (op, key) not in self.twins:
            if getattr(op, "weights", ()) and any(
                o is op and k[0] == key[0] for o, k in self.twins
            ):
                self.notes.append(
                    f"{op.name!r} is shared by inputs of different layouts: the converted model "
                    "has one set of weights for each."
                )
            self.twins[op, key] = make()
        return self.twins[op, key]

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
        fresh = (op, key) not in self.twins
        twin = self.twin(op, key, lambda: self.clone(op, **changes))
        result = twin(*args, **kwargs)
        if fresh and isinstance(op, layers.Layer):
            copy_weights(op, twin)
        return result

    def first(self, image) -> bool:
        """Whether an input is channels_first."""
        return analysis.is_channels_first(self.graph, image)

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

    def feeds_back(self, step: Step) -> bool:
        return analysis.feeds_back(self.graph, self.strides, step)

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

    def give(self, tensors, layout=None) -> list[Value]:
        layout = layout or Plain()
        tensors = tensors if isinstance(tensors, list) else [tensors]
        pairs = zip(self.step.outputs, tensors, strict=True)
        return [Value(reference, x, layout) for reference, x in pairs]

    def give_maps(self, tensors) -> list[Value]:
        """Feature maps whose original size is that of the step's outputs."""
        first = next(v.layout for v in self.values if isinstance(v.layout, Grid)).channels_first
        pairs = zip(self.step.outputs, tree.flatten(tensors), strict=True)
        return [Value(ref, x, grid(ref, first, self.build.rate(ref))) for ref, x in pairs]

    def refuse(self, what: str, expected: str, received: str | None = None) -> ConversionError:
        shape = tuple(self.value.reference.shape) if self.values else ()
        received = received or f"{type(self.op).__name__} on {shape}"
        return ConversionError(
            f"Layer {self.op.name!r} {what}. Expected {expected}. Received: {received}."
        )


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
