"""Does a map add up to the score it explains? Checked on the numbers of a call."""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_metric.cam.methods import fullgrad
from keras_metric.cam.methods.conservation import conserved
from keras_metric.cam.methods.table import METHODS
from keras_metric.cam.network.hooks import forward
from keras_metric.cam.plan import watched
from keras_metric.cam.runs import RAW, Runner, Score
from keras_metric.cam.targets.targets import Target


class Completeness(NamedTuple):
    """`(B, M)` each: the score, what map and bias add up to, and score minus that."""

    score: np.ndarray
    explained: np.ndarray
    residual: np.ndarray


def completeness(runner: Runner, inputs, classes, target: Target | None = None) -> Completeness:
    """The identity of the runner's method on these inputs.

        cam                          score = bias + mean over positions of the map
        hirescam, gradcam, xgradcam  score = score at zero activation + sum of the map
        integrated-gradients         score = score of an image of zeros + sum of the map
        fullgrad                     score = sum of the input's and all biases' shares
        attnlrp                      score = sum of the map + relevance of tokens without a place
                                             + what biases and the softmax of attention keep

    The second is exact for affine heads (Grad-CAM: behind global average pooling), the third up to
    the error of the integration, the fourth for nets of ReLU and max, the last up to rounding;
    elsewhere the residual says how far the map is from telling everything.
    """
    kind = runner.method.complete
    if kind is None:
        known = ", ".join(name for name, method in METHODS.items() if method.complete)
        raise ValueError(
            f"This method's maps have no sum to compare. Expected: one of {known}. "
            f"Received: method={runner.method.name!r}."
        )
    result = runner.run(inputs, classes, target=target, wanted=RAW)
    columns = [np.ascontiguousarray(c[:, None]) for c in np.asarray(result.classes).T]
    if target is None:
        scores = [runner.score_of_class(column) for column in columns]
    else:
        scores = [runner.score_of_target(target, len(columns[0]))]
    total = sum(maps.sum(axis=tuple(range(2, maps.ndim))) for maps in result.raw)
    if kind in ("shares", "relevance"):
        shares = _sum_of_shares if kind == "shares" else _sum_of_relevance
        explained = _each(runner, inputs, scores, shares)
    elif kind == "mean":
        count = np.prod(result.raw[0].shape[2:])
        explained = total / count + _biases(runner, inputs, result.classes, target, scores[0])
    else:
        at_zero = _score_of_zeros if kind == "path" else _score_at_zero
        explained = total + _each(runner, inputs, scores, at_zero)
    return Completeness(result.scores, explained, result.scores - explained)


def _each(runner: Runner, inputs, scores: list[Score], function) -> np.ndarray:
    def bound(x, *arrays):
        return function(runner, x, scores[0], arrays)

    run = runner.compiled((function.__name__, scores[0].key), bound)
    return np.stack([ops.convert_to_numpy(run(inputs, *s.arrays)) for s in scores], axis=1)


def _score_at_zero(runner: Runner, x, score: Score, arrays):
    zero = watched(runner.plan, x, lambda a, _: ops.zeros_like(a))[1]
    return score.at_other_inputs(runner.plan, x, arrays)(zero)


def _score_of_zeros(runner: Runner, x, score: Score, arrays):
    flat = list(keras.tree.flatten(x))
    for image in runner.plan.mapped.images:
        flat[image.number] = ops.zeros_like(flat[image.number])
    black = keras.tree.pack_sequence_as(x, flat)
    outputs = forward(runner.plan.model, black, runner.plan.patches)
    return score.at_other_inputs(runner.plan, x, arrays)(outputs)


def _sum_of_shares(runner: Runner, x, score: Score, arrays):
    bound = lambda outputs: score.function(outputs, arrays)  # noqa: E731
    return fullgrad.fullgrad(runner.plan, runner.layouts, x, bound).total


def _sum_of_relevance(runner: Runner, x, score: Score, arrays):
    plan, bound = runner.plan, lambda outputs: score.function(outputs, arrays)
    return conserved(plan.model, plan.patches, plan.mapped, x, bound).total


def _biases(runner: Runner, inputs, classes, target: Target | None, score: Score) -> np.ndarray:
    """`(B, M)`: what the head adds to each score whatever the activation."""
    head = runner.plan.head
    bias = ops.convert_to_numpy(head.weights(head.channels)[1])
    if target is None:
        return bias[classes]

    def summed_gradient(x, *arrays):
        outputs = forward(runner.plan.model, x, runner.plan.patches)
        return ops.sum(runner.answer_gradient(outputs, score, arrays)[1], axis=1)

    run = runner.compiled(("summed gradient", score.key), summed_gradient)
    return (ops.convert_to_numpy(run(inputs, *score.arrays)) @ bias)[:, None]
