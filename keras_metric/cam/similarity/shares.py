"""Similarities of two embeddings, and what every position adds to them.

    e = mean over positions i of  u_i,   u_i = W^T f_i + b
    e . c = sum over i of  (f_i . W c + b . c) / N              exact, one matrix product

Behind a head that is not linear, the gradient of e . c is integrated along the straight path from
zero activation to the activation; what e gives at zero activation is spread evenly.
Stylianou et al., WACV 2019. arXiv:1901.00536; Sundararajan et al. 2017, eq. 2. arXiv:1703.01365
"""

from typing import Any, NamedTuple

from keras import ops

from keras_metric.cam.network.gradients import backward
from keras_metric.cam.plan import Plan, flattened, watched
from keras_metric.cam.targets.heads import LinearHead

SIMILARITIES = ("cosine", "dot", "squared_l2")
TINY = 1e-12


class Measure(NamedTuple):
    """A similarity, whether the encoder ends in unit length, and the points of an integration."""

    similarity: str
    unit_length: bool
    steps: int

    def scale(self, of):
        """1 / |e| where lengths do not count, else 1."""
        if self.similarity == "cosine" or self.unit_length:
            return 1.0 / ops.maximum(ops.norm(of.embedding, axis=-1, keepdims=True), TINY)
        return ops.ones_like(of.embedding[:, :1])

    def scaled(self, of):
        """The embedding as it is compared."""
        return self.scale(of) * of.embedding

    def value(self, one, other):
        """`(B,)`."""
        a, b = self.scaled(one), self.scaled(other)
        if self.similarity == "squared_l2":
            return ops.sum(ops.square(a - b), axis=-1)
        return ops.sum(a * b, axis=-1)

    def shares(self, one, other):
        """`(B, h, w)` shares of `one` in its similarity to `other`."""
        a, b = self.scaled(one), self.scaled(other)
        if self.similarity == "squared_l2":
            direction = a - b
            rest = ops.sum(b * direction, axis=-1, keepdims=True) / one.positions.shape[1]
        else:
            direction, rest = b, 0.0
        flat = shares(one, self.scale(one) * direction, self.steps) - rest
        return one.plan.mapped.positions[0].maps(flat)


def pair(measure: Measure, a, b):
    """Shares in `a`, shares in `b`, the similarity."""
    return measure.shares(a, b), measure.shares(b, a), measure.value(a, b)


def triplet(measure: Measure, anchor, positive, negative):
    """Shares of the gap in the anchor, of both similarities in the others, the gap."""
    sign = -1.0 if measure.similarity == "squared_l2" else 1.0
    why = sign * (measure.shares(anchor, positive) - measure.shares(anchor, negative))
    gap = sign * (measure.value(anchor, positive) - measure.value(anchor, negative))
    return why, measure.shares(positive, anchor), measure.shares(negative, anchor), gap


def pairs_of_positions(measure: Measure, a, b, at: int | None):
    """u_i . v_j / (N N'), times 1 / (|e| |e'|) for the cosine: `(B, N, N')`; `at` keeps one i."""
    u, v = _vectors(a), _vectors(b)
    u = u if at is None else u[:, at : at + 1]
    scale = measure.scale(a) * measure.scale(b) / (a.positions.shape[1] * b.positions.shape[1])
    return scale[..., None] * ops.matmul(u, ops.swapaxes(v, 1, 2))


class Embedded(NamedTuple):
    """Images after one pass: inputs, activations of one layer, embeddings before unit length."""

    plan: Plan
    inputs: Any
    activation: Any
    positions: Any
    embedding: Any


def embedded(plan: Plan, inputs) -> Embedded:
    activations, outputs = watched(plan, inputs)
    flat = flattened(plan, activations)[0]
    return Embedded(plan, inputs, activations[0], flat, ops.cast(plan.answer(outputs), "float32"))


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
    at_zero = of.plan.answer(watched(of.plan, of.inputs, lambda a, _: ops.zeros_like(a))[1])
    rest = ops.sum(ops.cast(at_zero, "float32") * direction, axis=-1, keepdims=True)
    return summed + rest / of.positions.shape[1]


def _gradients_at(of: Embedded, direction, fraction: float):
    point = of.activation * ops.cast(fraction, of.activation.dtype)

    def run(seize):
        met, outputs = watched(of.plan, of.inputs, lambda a, _: seize(point))
        return of.plan.answer(outputs), met

    def objective(answer):
        return ops.sum(ops.cast(answer, "float32") * direction)

    return flattened(of.plan, backward(run, objective).gradients)[0]


def _vectors(of: Embedded):
    weights, bias = of.plan.head.weights(of.positions.shape[-1])
    return ops.matmul(of.positions, weights) + bias
