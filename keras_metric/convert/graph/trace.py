"""Any Keras model as one flat list of steps: nested and subclassed models are inlined."""

import inspect
from dataclasses import dataclass
from numbers import Integral
from typing import Any

import keras
from keras import KerasTensor, layers, tree

from keras_metric.convert.errors import ConversionError


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
                f"Operation {op.name!r} uses a variable that belongs to no layer. Expected every "
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
            f"{type(model).__name__} {model.name!r} cannot be traced. Expected a call() made of "
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
            f"The shape of the images of {model.name!r} is unknown. Expected a model that was "
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
            f"Input {x.name!r} has no size. Expected sides of 1 or more. Received: shape "
            f"{tuple(x.shape)}, input_shape={input_shape!r}."
        )
    if None not in x.shape[1:]:
        return (None, *x.shape[1:])
    if input_shape is None or len(input_shape) != len(x.shape) - 1:
        raise ConversionError(
            f"Input {x.name!r} has no fixed size. Expected input_shape=, the size of the training "
            f"images (all dimensions, no batch). Received: shape {tuple(x.shape)}, "
            f"input_shape={input_shape}."
        )
    return (None, *(i if d is None else d for d, i in zip(x.shape[1:], input_shape, strict=True)))
