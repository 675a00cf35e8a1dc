"""Does a map add up to the score it explains? Checked on the numbers of a call."""

from typing import NamedTuple

import numpy as np
from keras import ops

from keras_metric.cam.methods import fullgrad
from keras_metric.cam.plan import activations_and_answer
from keras_metric.cam.runs import RAW, Runner
from keras_metric.cam.targets.classes import class_score


class Completeness(NamedTuple):
    """`(B, M)` each: the score, what map and bias add up to, and score minus that."""

    score: np.ndarray
    explained: np.ndarray
    residual: np.ndarray


def completeness(runner: Runner, inputs, classes) -> Completeness:
    """The identity of the runner's method on these inputs.

        cam                          score = bias + mean over positions of the map
        hirescam, gradcam, xgradcam  score = score at zero activation + sum of the map
        fullgrad                     score = sum of the input's and all biases' shares

    The second is exact for affine heads (Grad-CAM: behind global average pooling), the third for
    nets of ReLU and max; elsewhere the residual says how far the map is from telling everything.
    """
    if runner.method.needs == "biases":
        return _of_shares(runner, inputs, classes)
    if runner.method.complete is None:
        raise ValueError(
            "This method's maps have no sum to compare. Expected one of: cam, gradcam, hirescam, "
            f"xgradcam, fullgrad. Received method={runner.method.name!r}."
        )
    result = runner.run(inputs, classes, wanted=RAW)
    if runner.method.complete == "mean":
        mean = result.raw[0].mean(axis=tuple(range(2, result.raw[0].ndim)))
        channels = runner.plan.head.pooled_shape[-1]
        bias = ops.convert_to_numpy(runner.plan.head.weights(channels)[1])
        explained = mean + bias[result.classes]
    else:
        total = sum(maps.sum(axis=tuple(range(2, maps.ndim))) for maps in result.raw)
        explained = total + _scores_at_zero(runner, inputs, result.classes)
    return Completeness(result.scores, explained, result.scores - explained)


def _scores_at_zero(runner: Runner, inputs, classes) -> np.ndarray:
    def at_zero(x, column):
        answer = activations_and_answer(runner.plan, x, lambda a, _: ops.zeros_like(a))[1]
        return class_score(answer, column)

    function = runner.compiled("at zero", at_zero)
    return _by_column(function, inputs, classes)


def _of_shares(runner: Runner, inputs, classes) -> Completeness:
    def shares(x, column):
        found = fullgrad.fullgrad(runner.plan, x, runner.score(column, None))
        return found.total, class_score(found.answer, column)

    function = runner.compiled("shares", shares)
    explained = _by_column(lambda *a: function(*a)[0], inputs, classes)
    score = _by_column(lambda *a: function(*a)[1], inputs, classes)
    return Completeness(score, explained, score - explained)


def _by_column(function, inputs, classes) -> np.ndarray:
    columns = [ops.convert_to_tensor(np.ascontiguousarray(c[:, None])) for c in classes.T]
    return np.stack([ops.convert_to_numpy(function(inputs, c)) for c in columns], axis=1)
