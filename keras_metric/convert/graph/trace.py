"""Any Keras model as one flat list of steps: nested and subclassed models are inlined."""

import inspect
import math
from dataclasses import dataclass
from fractions import Fraction
from numbers import Integral
from typing import Any

import keras
import numpy as np
from keras import KerasTensor, layers, ops, tree

from keras_metric.convert.errors import ConversionError
from keras_metric.pooling import GeM


@dataclass(frozen=True)
class Step:
    """One call of one layer or raw operation, with the shapes it had in the original model."""

    op: Any
    args: tuple
    kwargs: dict
    result: Any

    @property
    def tensors(self) -> list[KerasTensor]:
        flat = tree.flatten((self.args, self.kwargs))
        return [x for x in flat if isinstance(x, KerasTensor)]

    @property
    def outputs(self) -> list[KerasTensor]:
        return tree.flatten(self.result)

    @property
    def label(self) -> str:
        return f"{self.op.name!r} ({type(self.op).__name__})"


@dataclass(frozen=True)
class Graph:
    """The steps of a model in the order they run; `inputs` and `outputs` keep their structure."""

    inputs: Any
    outputs: Any
    steps: tuple[Step, ...]


def trace(model: keras.Model, input_shape: tuple | None = None) -> Graph:
    """The graph of `model` at `input_shape` (height, width, channels; no batch).

    The shape is needed only where the model does not say it (never built, or built with None).
    Raises ConversionError for a `call()` that does not trace.
    """
    function = _as_function(model, _declared_inputs(model, input_shape))
    inputs = tree.map_structure(
        lambda x: KerasTensor(_sized(x, input_shape), x.dtype, name=x.name),
        function._inputs_struct,
    )
    steps: list[Step] = []
    outputs = _walk(function, inputs, None, steps)
    return Graph(inputs, outputs, tuple(steps))


def _walk(function, inputs, training, steps: list[Step]):
    def record(op, *args, **kwargs):
        if training is not None and "training" in inspect.signature(op.call).parameters:
            kwargs["training"] = training
        if _is_composite(op):
            inner = _inline(op, args)
            if inner is not None:
                return _walk(inner, args[0], kwargs.get("training"), steps)
        variables = [x for x in tree.flatten((args, kwargs)) if isinstance(x, keras.Variable)]
        if variables:
            raise ConversionError(
                f"Operation {op.name!r} uses a variable that belongs to no layer. Expected: every "
                f"variable inside a keras.layers.Layer. Received: {variables[0].path!r}."
            )
        spec = op.compute_output_spec(*args, **kwargs)
        result = tree.map_structure(lambda x: KerasTensor(x.shape, x.dtype, name=x.name), spec)
        steps.append(Step(op, args, kwargs, result))
        return result

    return function._run_through_graph(tree.flatten(inputs), call_fn=record)


def _is_composite(op) -> bool:
    if isinstance(op, (keras.Model, keras.Function)):
        return True
    own = isinstance(op, layers.Layer) and not type(op).__module__.startswith("keras.src.layers")
    return own and any(True for _ in op._flatten_layers(include_self=False, recursive=False))


def _inline(op, args):
    """The inner graph of a nested model; None for a custom layer that can only run whole."""
    try:
        function = _as_function(op, args[0])
    except ConversionError:
        if isinstance(op, keras.Model):
            raise
        return None
    uses_variables = any(
        isinstance(x, keras.Variable)
        for node in _nodes(function)
        for x in tree.flatten((node.arguments.args, node.arguments.kwargs))
    )
    return None if uses_variables and not isinstance(op, keras.Model) else function


def _nodes(function):
    return [node for level in function._nodes_by_depth.values() for node in level]


def input_structure(model: keras.Model):
    """The inputs of a built model in the form in which a call takes them; one of a Sequential."""
    if hasattr(model, "_inputs_struct"):
        return model._inputs_struct
    return model.inputs[0] if len(model.inputs) == 1 else model.inputs


def _as_function(model, inputs) -> keras.Function:
    if isinstance(model, keras.Function):
        return model
    symbolic = tree.map_structure(
        lambda x: keras.Input(batch_shape=x.shape, dtype=x.dtype, name=_input_name(x)), inputs
    )
    if isinstance(model, keras.Sequential):
        if not model.built:
            model(symbolic)
        return keras.Model(model.inputs[0], model.outputs[0])
    try:
        return keras.Model(symbolic, model.call(symbolic))
    except Exception as error:  # whatever a user's call() may raise on symbolic tensors
        raise ConversionError(
            f"{type(model).__name__} {model.name!r} cannot be traced. Expected: a call() made of "
            "layers and keras.ops, without branches on values and without functions of one "
            f"backend. Received: {str(error).splitlines()[0]}"
        ) from error


def _input_name(x) -> str | None:
    name = getattr(x, "name", None)
    return name if name and "/" not in name else None


def _declared_inputs(model, input_shape):
    if isinstance(model, keras.Function) or (isinstance(model, keras.Sequential) and model.built):
        return None if isinstance(model, keras.Function) else model.inputs[0]
    if input_shape is not None:
        return KerasTensor((None, *input_shape), "float32", name="image")
    shape = (model.get_build_config() or {}).get("input_shape") if model.built else None
    if shape is None:
        raise ConversionError(
            f"The shape of the images of {model.name!r} is unknown. Expected: a model that was "
            "built, or input_shape=(height, width, channels). Received: neither."
        )
    is_shape = all(d is None or isinstance(d, int) for d in shape) if shape else False
    if isinstance(shape, dict):
        return {k: KerasTensor((None, *s[1:]), "float32", name=k) for k, s in shape.items()}
    if is_shape:
        return KerasTensor((None, *shape[1:]), "float32", name="image")
    return [KerasTensor((None, *s[1:]), "float32", name=f"input_{i}") for i, s in enumerate(shape)]


def _sized(x, input_shape) -> tuple:
    sides = (*x.shape[1:], *(input_shape or ()))
    if not all(d is None or (isinstance(d, Integral) and d > 0) for d in sides):
        raise ConversionError(
            f"Input {x.name!r} has no size. Expected: sides of 1 or more. Received: shape "
            f"{tuple(x.shape)}, input_shape={input_shape!r}."
        )
    if None not in x.shape[1:]:
        return (None, *x.shape[1:])
    if input_shape is None or len(input_shape) != len(x.shape) - 1:
        raise ConversionError(
            f"Input {x.name!r} has no fixed size. Expected: input_shape=, the size of the training "
            f"images (all dimensions, no batch). Received: shape {tuple(x.shape)}, "
            f"input_shape={input_shape}."
        )
    return (None, *(i if d is None else d for d, i in zip(x.shape[1:], input_shape, strict=True)))


GLOBAL_POOLS = (
    *(layers.GlobalAveragePooling1D, layers.GlobalAveragePooling2D, layers.GlobalAveragePooling3D),
    *(layers.GlobalMaxPooling1D, layers.GlobalMaxPooling2D, layers.GlobalMaxPooling3D),
    GeM,
)
REDUCTIONS = ("Mean", "Max", "Amax", "Sum", "Min", "Amin", "Var", "Std")
TRANSPOSED = (layers.Conv1DTranspose, layers.Conv2DTranspose, layers.Conv3DTranspose)
UPSAMPLING = (layers.UpSampling1D, layers.UpSampling2D, layers.UpSampling3D)
SPATIAL = (
    *(layers.Conv1D, layers.Conv2D, layers.Conv3D, layers.DepthwiseConv1D, layers.DepthwiseConv2D),
    *(layers.SeparableConv1D, layers.SeparableConv2D, *TRANSPOSED, *UPSAMPLING, *GLOBAL_POOLS),
    *(layers.AveragePooling1D, layers.AveragePooling2D, layers.AveragePooling3D),
    *(layers.MaxPooling1D, layers.MaxPooling2D, layers.MaxPooling3D),
    *(layers.AdaptiveAveragePooling1D, layers.AdaptiveAveragePooling2D),
    *(layers.AdaptiveAveragePooling3D, layers.AdaptiveMaxPooling1D),
    *(layers.AdaptiveMaxPooling2D, layers.AdaptiveMaxPooling3D),
    *(layers.ZeroPadding1D, layers.ZeroPadding2D, layers.ZeroPadding3D),
    *(layers.Cropping1D, layers.Cropping2D, layers.Cropping3D),
)
MOVERS = (
    *("Flatten", "Reshape", "Permute", "RepeatVector", "Transpose", "Moveaxis", "Swapaxes"),
    *("GetItem", "Squeeze", "ExpandDims", "Split", "Flip", "Roll", "Repeat", "ArraySplit", "Rot90"),
)


@dataclass(frozen=True)
class ImageAxes:
    """The axes of an image input that are positions, and the one of its channels, if it has one."""

    positions: tuple[int, ...]
    channels: int | None
    proved: bool = True

    @property
    def channels_first(self) -> bool:
        return self.channels is not None and self.channels < min(self.positions)


def image_axes(graph: Graph, image) -> ImageAxes:
    """The axes that the first convolution, pooling or other layer of positions reads as positions.

    What lies before it may reorder them: its axes are followed back to those of the input. A
    network without such a layer has its channels last.
    """
    rank = len(image.shape)
    origin = {id(image): tuple(range(1, rank))}  # for each axis of a tensor, that of the image
    for step in graph.steps:
        x = next((x for x in step.tensors if id(x) in origin), None)
        if x is None:
            continue
        read = _positions_read(step, len(x.shape))
        if not read:
            origin.update((id(y), _moved(step, x, y, origin[id(x)])) for y in step.outputs)
            continue
        found = tuple(origin[id(x)][a - 1] for a in read)
        others = sorted(set(range(1, rank)) - set(found))
        if None not in found and len(set(found)) == len(found) and len(others) < 2:
            return ImageAxes(tuple(sorted(found)), others[0] if others else None)
    return ImageAxes(tuple(range(1, rank - 1)), rank - 1, proved=False)


def _positions_read(step: Step, rank: int) -> tuple[int, ...]:
    """The axes that a layer treats as positions; none for a layer that says nothing of it."""
    op = step.op
    if isinstance(op, SPATIAL):
        first = getattr(op, "data_format", "channels_last") == "channels_first"
        return tuple(range(2, rank) if first else range(1, rank - 1))
    if type(op).__name__ in REDUCTIONS and getattr(op, "axis", None) is not None:
        axes = {a % rank for a in np.atleast_1d(op.axis)}
        return tuple(sorted(axes)) if 0 not in axes and len(axes) == rank - 2 > 1 else ()
    return ()


def _moved(step: Step, x, y, origin) -> tuple[int | None, ...]:
    """For each axis of `y`, the axis of the image that it is; None for one that is not whole."""
    if type(step.op).__name__ not in MOVERS:
        return origin if len(y.shape) == len(x.shape) else (None,) * (len(y.shape) - 1)
    shape = x.shape[1:]
    index = np.arange(int(np.prod(shape)), dtype="int32").reshape(1, *shape)
    args, kwargs = tree.map_structure(
        lambda a: ops.convert_to_tensor(index) if a is x else a, (step.args, step.kwargs)
    )
    moved = tree.flatten(step.op(*args, **kwargs))[[id(o) for o in step.outputs].index(id(y))]
    moved = ops.convert_to_numpy(moved)
    apart = [math.prod(shape[a + 1 :]) for a in range(len(shape))]
    return tuple(
        _same_axis(np.moveaxis(moved, a, 0), shape, apart, origin) for a in range(1, moved.ndim)
    )


def _same_axis(moved: np.ndarray, shape, apart, origin) -> int | None:
    """The axis whose neighbors lie as far apart as those of the first axis of `moved`."""
    steps = np.unique(np.abs(np.diff(moved, axis=0)))
    if len(steps) != 1:
        return None
    for n, step, source in zip(shape, apart, origin, strict=True):
        if step == steps[0] and 1 < len(moved) <= n:
            return source
    return None


def strides(graph: Graph, axes: dict[int, ImageAxes]) -> dict[int, tuple[Fraction, ...]]:
    """Input pixels between neighboring positions of each feature map, by id of its tensor."""
    found = {image: (Fraction(1),) * len(of.positions) for image, of in axes.items()}
    for step in graph.steps:
        maps = [x for x in step.tensors if id(x) in found]
        if not maps or _leaves_the_grid(step):
            continue
        coarsest = max((found[id(x)] for x in maps), key=sum)
        factor = step_stride(step.op, len(coarsest))
        ranks = {len(coarsest) + 2, *(len(x.shape) for x in maps)}  # some inputs have no channels
        for y in step.outputs:
            if len(y.shape) in ranks:
                found[id(y)] = tuple(s * f for s, f in zip(coarsest, factor, strict=True))
    return found


def step_stride(op, rank: int) -> tuple[Fraction, ...]:
    if isinstance(op, UPSAMPLING):
        size = op.size if isinstance(op.size, tuple) else (op.size,) * rank
        return tuple(Fraction(1, s) for s in size)
    if isinstance(op, TRANSPOSED):
        return tuple(Fraction(1, s) for s in op.strides)
    given = getattr(op, "strides", None)
    if isinstance(given, int):
        given = (given,) * rank
    return tuple(map(Fraction, given)) if given else (Fraction(1),) * rank


def feeds_back(graph: Graph, maps: dict[int, tuple], pooled: Step) -> bool:
    """Whether what `pooled` computes meets a feature map again (squeeze-excite): not a head."""
    below = {id(x) for x in pooled.outputs}
    for step in graph.steps:
        ids = [id(x) for x in step.tensors]
        if not any(i in below for i in ids):
            continue
        if any(i in maps and i not in below for i in ids):
            return True
        below.update(id(x) for x in step.outputs)
    return False


def _leaves_the_grid(step: Step) -> bool:
    """Pooled away; a reduction over the channels alone keeps its positions."""
    if isinstance(step.op, (*GLOBAL_POOLS, layers.Flatten)):
        return True
    if type(step.op).__name__ not in REDUCTIONS or len(step.tensors) != 1:
        return False
    rank = len(step.tensors[0].shape)
    return step.op.axis is None or {a % rank for a in step.op.axis} not in ({1}, {rank - 1})
