"""One plan, one method: the compiled functions that answer every call, and loops around them."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_metric.cam.methods import fullgrad, perturbation
from keras_metric.cam.methods.table import Evidence, Method
from keras_metric.cam.network.cache import Cache
from keras_metric.cam.network.gradients import compiled
from keras_metric.cam.plan import (
    Plan,
    activations_and_answer,
    flattened,
    gradient_evidence,
    scores_of,
)
from keras_metric.cam.targets import heads
from keras_metric.cam.targets.classes import class_score, resolved, score_against_rivals
from keras_metric.cam.targets.logits import class_scores

_FUNCTIONS_HELD = 16


class Result(NamedTuple):
    """Maps `(B, M, ...)`, one array for each call of the layer; scores and classes `(B, M)`.

    None stands for what was not asked for.
    """

    raw: list | None = None
    maps: list | None = None
    scores: Any = None
    classes: Any = None


MAPS = ("maps",)
RAW = ("raw", "scores", "classes")
EVERYTHING = Result._fields


class Runner:
    """Runs a method by a plan; every function is compiled once and kept."""

    def __init__(self, plan: Plan, method: Method, render: Callable):
        self.plan = plan
        self.method = method
        self._render = render
        self._functions = Cache(_FUNCTIONS_HELD)
        if method.needs == "weights" and isinstance(plan.head, heads.Refusal):
            raise ValueError(
                f"The scores of {plan.model.name!r} are not linear over the positions of layer "
                f"{plan.target.layer.name!r}: {plan.head.reason}. Expected global average pooling "
                "and then linear layers. Received method='cam'; use method='hirescam', which is "
                "exact for every linear head, or 'gradcam'."
            )
        if method.needs == "biases":
            fullgrad.check(plan)

    def compiled(self, key, function: Callable) -> Callable:
        return self._functions.get(key, lambda: compiled(function, self.plan.model))

    def scores(self, inputs):
        return self.compiled("scores", partial(scores_of, self.plan))(inputs)

    def run(self, inputs, classes, *, target: Callable | None = None, wanted=EVERYTHING) -> Result:
        """Maps of classes `(B, M)`, or of `target(answer) -> (B,)`; only what is wanted of them."""
        if self.method.needs == "weights":
            return self._linear(inputs, classes, wanted)
        columns = [self._one(inputs, c[:, None], target, wanted) for c in np.asarray(classes).T]
        if len(columns) == 1:
            return columns[0]
        return _joined(columns)

    def _linear(self, inputs, classes, wanted) -> Result:
        every = classes.shape[1] == self.plan.classes > 1
        every = every and bool((classes == np.arange(self.plan.classes)).all())
        if every:
            function = self.compiled(
                ("all", wanted), lambda x: self.finished(*self.all_maps(x), wanted)
            )
            return _numbers(function(inputs), wanted)
        function = self.compiled(
            ("linear", wanted), lambda x, c: self.finished(*self.linear_maps(x, c), wanted)
        )
        return _numbers(function(inputs, classes), wanted)

    def _one(self, inputs, classes, target, wanted) -> Result:
        if self.method.needs in ("masks", "ablations"):
            return self._perturbed(inputs, classes, target, wanted)
        function = self.compiled(
            ("one", target, wanted),
            lambda x, c: self.finished(*self.one_map(x, c, target), wanted),
        )
        return _numbers(function(inputs, classes), wanted)

    def tensors(self, inputs, classes) -> list:
        """The maps as tensors, uncompiled: for use inside a graph of the caller's own."""
        if self.method.needs in ("masks", "ablations"):
            raise ValueError(
                "This method runs the model many times in a loop. Expected a method of one pass. "
                f"Received method={self.method.name!r}."
            )
        if self.method.needs == "weights":
            return self.finished(*self.linear_maps(inputs, classes), MAPS)[0]
        return self.finished(*self.one_map(inputs, classes, None), MAPS)[0]

    def finished(self, raws: list, scores, classes, wanted) -> list:
        """The fields of a Result that are wanted: what no field needs is left out of the graph."""
        found = Result(raws, None, scores, classes)
        if "maps" in wanted:
            maps = [self._render(m, s) for m, s in zip(raws, self.sizes, strict=True)]
            found = found._replace(maps=maps)
        return [getattr(found, name) for name in wanted]

    @property
    def sizes(self):
        return self.plan.sizes

    def linear_maps(self, inputs, classes):
        activation, scores, weights = self._linear_parts(inputs)
        classes = resolved(scores, classes)
        weights = ops.moveaxis(ops.take(weights, classes, axis=1), 0, 1)
        scores = ops.take_along_axis(scores, classes, axis=-1)
        return self._weighted(activation, weights), scores, classes

    def all_maps(self, inputs):
        """All classes in one matrix product."""
        activation, scores, weights = self._linear_parts(inputs)
        classes = ops.broadcast_to(ops.arange(self.plan.classes, dtype="int32"), ops.shape(scores))
        return self._weighted(activation, weights), scores, classes

    def _linear_parts(self, inputs):
        """Activations `(B, N, K)`, scores `(B, C)` and the head's weights `(K, C)`."""
        activations, answer = activations_and_answer(self.plan, inputs)
        flat = flattened(self.plan, activations)[0]
        return flat, class_scores(answer), self.plan.head.weights(flat.shape[-1])[0]

    def _weighted(self, activation, weights) -> list:
        raw = self.method.function(Evidence(activation, None, weights=weights))
        return [self.plan.target.positions[0].maps(raw)]

    def one_map(self, inputs, classes, target: Callable | None):
        score = self.score(classes, target)
        if self.method.needs == "biases":
            found = fullgrad.fullgrad(self.plan, inputs, score)
            answer, raws = found.answer, [found.map[:, None]]
        else:
            curvature = self.method.needs == "curvatures"
            answer, parts = gradient_evidence(self.plan, inputs, score, curvature=curvature)
            flat = [self.method.function(evidence) for evidence in parts]
            raws = self._grids(flat)
        explained = score(answer) if target else class_score(answer, classes)
        return raws, explained[:, None], resolved(class_scores(answer), classes)

    def score(self, classes, target: Callable | None) -> Callable:
        if target is not None:
            return partial(_targeted, target)
        rivals = self.method.target == "rivals"
        return lambda answer: (score_against_rivals if rivals else class_score)(answer, classes)

    def _grids(self, flat: list) -> list:
        layouts = self.plan.target.positions
        return [p.maps(m[:, None]) for p, m in zip(layouts, flat, strict=True)]

    def _perturbed(self, inputs, classes, target, wanted) -> Result:
        if target is not None:
            raise ValueError(
                f"method={self.method.name!r} explains classes. Expected class numbers. Received "
                f"classes={target!r}; use 'gradcam' for a function of the answer."
            )
        one_pass = self.compiled("activations", partial(activations_and_answer, self.plan))
        activations, answer = one_pass(inputs)
        classes = resolved(class_scores(answer), ops.convert_to_tensor(classes))
        flat = flattened(self.plan, activations)
        score = class_score(answer, classes)
        maps = [
            self.method.function(self._evidence(number, inputs, activations, flat, score, classes))
            for number in range(len(flat))
        ]
        render = self.compiled(("finish", wanted), partial(self.finished, wanted=wanted))
        return _numbers(render(self._grids(maps), score[:, None], classes), wanted)

    def _evidence(self, number: int, inputs, activations, flat, score, classes) -> Evidence:
        if self.method.needs == "masks":
            masked = perturbation.masked_scores(self.plan, number)
            function = self.compiled(("masks", number), masked)
            found = perturbation.all_masked(function, inputs, flat[number], classes)
            return Evidence(flat[number], score, masked_scores=ops.convert_to_tensor(found))
        ablated = perturbation.ablated_scores(self.plan, number)
        function = self.compiled(("ablations", number), ablated)
        channels = flat[number].shape[-1]
        found = perturbation.all_ablated(function, inputs, activations, channels, classes)
        return Evidence(flat[number], score, ablated_scores=ops.convert_to_tensor(found))


def _targeted(target: Callable, answer):
    scores = ops.cast(target(answer), "float32")
    if len(scores.shape) != 1:
        raise ValueError(
            "The function explains no score. Expected one number for each image, (B,). "
            f"Received: {tuple(scores.shape)} of an answer {tuple(answer.shape)}."
        )
    return scores


def _numbers(found: list, wanted) -> Result:
    numbers = keras.tree.map_structure(ops.convert_to_numpy, list(found))
    return Result(**dict(zip(wanted, numbers, strict=True)))


def _joined(columns: list[Result]) -> Result:
    def join(*parts):
        return None if parts[0] is None else np.concatenate(parts, axis=1)

    return keras.tree.map_structure(join, *columns)
