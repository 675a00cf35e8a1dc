"""What every position adds to a linear functional of an embedding.

    e = mean over positions i of  u_i,   u_i = W^T f_i + b
    e . c = sum over i of  (f_i . W c + b . c) / N              exact, one matrix product

Behind a head that is not linear, the gradient of e . c is integrated along the straight path from
zero activation to the activation; what e gives at zero activation is spread evenly.
Stylianou et al., WACV 2019. arXiv:1901.00536; Sundararajan et al. 2017, eq. 2. arXiv:1703.01365
"""

from typing import Any, NamedTuple

from keras import ops

from keras_metric.cam.network.gradients import backward
from keras_metric.cam.plan import Plan, activations_and_answer, flattened
from keras_metric.cam.targets.heads import LinearHead


class Embedded(NamedTuple):
    """Images after one pass: inputs, activations of one layer, embeddings before unit length."""

    plan: Plan
    inputs: Any
    activation: Any
    positions: Any
    embedding: Any


def embedded(plan: Plan, inputs) -> Embedded:
    activations, answer = activations_and_answer(plan, inputs)
    flat = flattened(plan, activations)[0]
    return Embedded(plan, inputs, activations[0], flat, ops.cast(answer, "float32"))


def shares(of: Embedded, direction, steps: int):
    """`(B, N)` shares of `embedding . direction`, `direction (B, D)`."""
    if isinstance(of.plan.head, LinearHead):
        return _linear(of, direction)
    return _integrated(of, direction, steps)


def _linear(of: Embedded, direction):
    weights, bias = of.plan.head.weights(of.positions.shape[-1])
    along = ops.matmul(direction, ops.transpose(weights))
    shift = ops.sum(direction * bias, axis=-1, keepdims=True)
    return (ops.einsum("bk,bnk->bn", along, of.positions) + shift) / of.positions.shape[1]


def _integrated(of: Embedded, direction, steps: int):
    """Midpoint rule over `steps` points of the path."""
    summed = 0.0
    for step in range(steps):
        gradients = _gradients_at(of, direction, (step + 0.5) / steps)
        summed = summed + ops.sum(gradients * of.positions, axis=-1) / steps
    at_zero = activations_and_answer(of.plan, of.inputs, lambda a, _: ops.zeros_like(a))[1]
    rest = ops.sum(ops.cast(at_zero, "float32") * direction, axis=-1, keepdims=True)
    return summed + rest / of.positions.shape[1]


def _gradients_at(of: Embedded, direction, fraction: float):
    point = of.activation * ops.cast(fraction, of.activation.dtype)

    def run(seize):
        met, answer = activations_and_answer(of.plan, of.inputs, lambda a, _: seize(point))
        return answer, met

    def objective(answer):
        return ops.sum(ops.cast(answer, "float32") * direction)

    return flattened(of.plan, backward(run, objective).gradients)[0]


def points(first: Embedded, second: Embedded):
    """Positions of both as vectors of the embedding space: `u (B, N, D)`, `v (B, N', D)`."""
    return tuple(_vectors(one) for one in (first, second))


def _vectors(of: Embedded):
    weights, bias = of.plan.head.weights(of.positions.shape[-1])
    return ops.matmul(of.positions, weights) + bias
