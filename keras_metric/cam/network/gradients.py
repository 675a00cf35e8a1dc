"""The one file that meets a backend: gradients at an activation, and compiling once.

The backward pass ends at the activation: nothing below it is differentiated, and no gradient of a
weight is formed.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_metric.cam.network.cache import Cache

_SHAPES_HELD = 64


class Backward(NamedTuple):
    """What one forward and backward pass brought."""

    outputs: Any
    activations: list
    gradients: list
    curvatures: list | None


def compiled(function: Callable, model: keras.Model) -> Callable:
    """`function(*tensors)` as one graph a shape, to be called on arrays or tensors.

    The model's weights are read on every call.

    TensorFlow: the concrete functions of a `tf.function`, called past its dispatch. JAX: `jax.jit`,
    the variables an argument. torch: run as it is.
    """
    return _of_this_backend(compiled)(function, model)


def backward(run: Callable, objective: Callable, *, curvature: bool = False) -> Backward:
    """Gradients of a number with respect to activations that are met on the way.

    Args:
        run: `run(seize) -> outputs, activations`; it must put each activation through `seize`,
            go on with what that returns, and list what it returned.
        objective: `objective(outputs)` -> a number (the sum over the batch).
        curvature: also give Hessian x activation, by a second backward pass.
    """
    return _of_this_backend(backward)(run, objective, curvature)


def _of_this_backend(function: Callable) -> Callable:
    name = f"_{function.__name__}_{keras.backend.backend()}"
    if name not in globals():
        raise ValueError(
            "Activation maps do not support this backend. Expected: one of tensorflow, jax, "
            f"torch. Received: {keras.backend.backend()!r}."
        )
    return globals()[name]


def _product(gradients: list, activations: list, stop: Callable):
    return sum(ops.sum(g * stop(a)) for g, a in zip(gradients, activations, strict=True))


def _compiled_tensorflow(function, model):
    import tensorflow as tf

    def on_tensors(*tensors):
        return function(*tensors)

    graph = tf.function(on_tensors, autograph=False, reduce_retracing=True)
    graph._omit_frequent_tracing_warning = True  # it counts by id(function), which Python reuses
    concrete = Cache(_SHAPES_HELD)

    def call(*inputs):
        shapes = tuple((tuple(x.shape), x.dtype) for x in keras.tree.flatten(inputs))
        tensors = keras.tree.map_structure(tf.convert_to_tensor, inputs)
        return concrete.get(shapes, lambda: graph.get_concrete_function(*tensors))(*tensors)

    return call


def _backward_tensorflow(run, objective, curvature):
    import tensorflow as tf

    def tape():
        return tf.GradientTape(watch_accessed_variables=False)

    with tape() as outer:
        with tape() as inner:

            def seize(activation):
                inner.watch(activation)
                if curvature:
                    outer.watch(activation)
                return activation

            outputs, activations = run(seize)
            value = objective(outputs)
        gradients = inner.gradient(value, activations, unconnected_gradients="zero")
        if not curvature:
            return Backward(outputs, activations, gradients, None)
        product = _product(gradients, activations, tf.stop_gradient)
    curvatures = outer.gradient(product, activations, unconnected_gradients="zero")
    return Backward(outputs, activations, gradients, curvatures)


def _compiled_jax(function, model):
    import jax

    variables = list(model.variables)

    @jax.jit
    def with_weights(values, *tensors):
        with keras.StatelessScope(state_mapping=list(zip(variables, values, strict=True))):
            return function(*tensors)

    def call(*tensors):
        return with_weights([variable.value for variable in variables], *tensors)

    return call


def _backward_jax(run, objective, curvature):
    import jax

    def value(offsets):
        remaining = iter(offsets)
        outputs, activations = run(lambda activation: activation + next(remaining))
        return objective(outputs), (outputs, activations)

    shapes = jax.eval_shape(lambda: run(lambda activation: activation)[1])
    zeros = [jax.numpy.zeros(s.shape, s.dtype) for s in shapes]

    def gradient(offsets):
        return jax.grad(value, has_aux=True)(offsets)

    def product(offsets):
        gradients, (outputs, activations) = gradient(offsets)
        total = _product(gradients, activations, jax.lax.stop_gradient)
        return total, (outputs, activations, gradients)

    if not curvature:
        gradients, (outputs, activations) = gradient(zeros)
        return Backward(outputs, activations, gradients, None)
    curvatures, (outputs, activations, gradients) = jax.grad(product, has_aux=True)(zeros)
    return Backward(outputs, activations, gradients, curvatures)


def _compiled_torch(function, model):
    import torch

    def call(*inputs):
        with torch.no_grad():
            return function(*keras.tree.map_structure(ops.convert_to_tensor, inputs))

    return call


def _backward_torch(run, objective, curvature):
    import torch

    def seize(activation):
        torch.set_grad_enabled(True)
        return activation if activation.requires_grad else activation.detach().requires_grad_()

    def gradient(value, activations, again):
        if not value.requires_grad:
            return [torch.zeros_like(a) for a in activations]
        found = torch.autograd.grad(value, activations, create_graph=again, allow_unused=True)
        return [
            torch.zeros_like(a) if g is None else g for g, a in zip(found, activations, strict=True)
        ]

    with torch.no_grad():
        outputs, activations = run(seize)
        gradients = gradient(objective(outputs), activations, curvature)
        curvatures = None
        if curvature:
            product = _product(gradients, activations, torch.Tensor.detach)
            curvatures = [c.detach() for c in gradient(product, activations, False)]
    outputs = keras.tree.map_structure(torch.Tensor.detach, outputs)
    free = [[t.detach() for t in group] for group in (activations, gradients)]
    return Backward(outputs, *free, curvatures)
