"""The similarities, their values and the shares of positions in them."""

from typing import NamedTuple

from keras import ops

from keras_metric.cam.similarity.shares import points, shares

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
        return one.plan.target.positions[0].maps(flat)


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
    u, v = points(a, b)
    u = u if at is None else u[:, at : at + 1]
    scale = measure.scale(a) * measure.scale(b) / (a.positions.shape[1] * b.positions.shape[1])
    return scale[..., None] * ops.matmul(u, ops.swapaxes(v, 1, 2))
