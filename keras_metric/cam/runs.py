"""One plan, one method: the compiled functions that answer every call, and loops around them."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_metric.cam.methods import attention, attribution, fullgrad, relevance
from keras_metric.cam.methods.many_passes import COLLECT, Options
from keras_metric.cam.methods.table import OF_MANY_PASSES, OF_THE_IMAGE, Evidence, Method
from keras_metric.cam.network.cache import Cache
from keras_metric.cam.network.gradients import backward, compiled
from keras_metric.cam.network.hooks import forward
from keras_metric.cam.plan import Plan, flattened, gradient_evidence, scores_of, watched
from keras_metric.cam.targets import heads
from keras_metric.cam.targets.classes import class_score, resolved, score_against_rivals
from keras_metric.cam.targets.logits import class_scores
from keras_metric.cam.targets.targets import Answer, Function, Target

_FUNCTIONS_HELD = 16


class Result(NamedTuple):
    """Maps `(B, M, ...)`, one array for each call of the layer; scores and classes `(B, M)`.

    None for fields that were not requested.
    """

    raw: list | None = None
    maps: list | None = None
    scores: Any = None
    classes: Any = None


MAPS = ("maps",)
RAW = ("raw", "scores", "classes")
EVERYTHING = Result._fields


class Score(NamedTuple):
    """What is explained: `function(outputs, arrays) -> (B,)`; scores of one key share a graph.

    The function also takes `values=`, an answer to use instead of that in the outputs, and `at=`,
    outputs whose length counts, where one does (`holds_length`).
    """

    key: Any
    function: Callable
    arrays: tuple = ()
    holds_length: bool = False

    def at_other_inputs(self, plan: Plan, inputs, arrays) -> Callable:
        """`outputs of other inputs -> (B,)`, with the length that the answer has at these."""
        if not self.holds_length:
            return lambda outputs: self.function(outputs, arrays)
        here = forward(plan.model, inputs, plan.patches)
        return lambda outputs: self.function(outputs, arrays, at=here)


class Runner:
    """Runs a method by a plan; every function is compiled once and held.

    `inputs` are examples to measure by; none of them is held.
    """

    def __init__(self, plan: Plan, method: Method, render: Callable, options: Options, inputs):
        self.plan = plan
        self.method = method
        self.options = options
        self._render = render
        self._functions = Cache(_FUNCTIONS_HELD)
        if method.needs == "weights" and isinstance(plan.head, heads.Refusal):
            raise ValueError(
                f"The scores of {plan.model.name!r} are not linear over the positions of layer "
                f"{plan.mapped.layer.name!r}: {plan.head.reason}. Expected: global average pooling "
                "and then linear layers. Received: method='cam'; use method='hirescam', which is "
                "exact for every linear head, or 'gradcam'."
            )
        if method.needs == "attention":
            attention.check(plan, inputs)
        if method.needs == "biases":
            fullgrad.check(plan)
            self.layouts = fullgrad.measured_layouts(plan, inputs)

    def compiled(self, key, function: Callable) -> Callable:
        return self._functions.get(key, lambda: compiled(function, self.plan.model))

    def scores(self, inputs):
        return self.compiled("scores", partial(scores_of, self.plan))(inputs)

    def run(self, inputs, classes, *, target: Target | None = None, wanted=EVERYTHING) -> Result:
        """Maps of classes `(B, M)`, or of a target; only what is wanted of them."""
        classes = np.asarray(classes)
        if target is not None:
            score = self.score_of_target(target, len(classes))
            if self.method.needs == "weights":
                return self._linear_target(inputs, classes, target, score, wanted)
            return self._one(inputs, classes, score, wanted)
        if self.method.needs == "weights":
            return self._linear(inputs, classes, wanted)
        columns = [np.ascontiguousarray(c[:, None]) for c in classes.T]
        found = [self._one(inputs, c, self.score_of_class(c), wanted) for c in columns]
        return found[0] if len(found) == 1 else _joined(found)

    def score_of_class(self, column) -> Score:
        of = score_against_rivals if self.method.target == "rivals" else class_score

        def function(outputs, arrays):
            return of(self.plan.answer(outputs), arrays[0])

        return Score("class", function, (column,))

    def score_of_target(self, target: Target, batch: int) -> Score:
        target.check(self.plan.classes, self.plan.sizes[0])

        def function(outputs, arrays, values=None, at=None):
            known = None if at is None else self._answer(at)
            return target.score(self._answer(outputs, values), arrays, known)

        arrays = target.arrays(batch, self.plan.sizes[0])
        return Score(target.key(), function, arrays, target.holds_length)

    def _answer(self, outputs, values=None) -> Answer:
        values = self.plan.answer(outputs) if values is None else values
        return Answer(values, outputs, self.plan.layout, self.plan.sizes[0])

    def tensors(self, inputs, classes) -> list:
        """The maps as tensors, uncompiled: for use inside a graph of the caller's own."""
        if self.method.needs in OF_MANY_PASSES:
            raise ValueError(
                "This method runs the model many times in a loop. Expected: a method of one pass. "
                f"Received: method={self.method.name!r}."
            )
        if self.method.needs == "weights":
            return self.finished(*self.linear_maps(inputs, classes), MAPS)[0]
        score = self.score_of_class(classes)
        return self.finished(*self.one_map(inputs, classes, score, classes), MAPS)[0]

    def finished(self, raws: list, scores, classes, wanted) -> list:
        """The fields of a Result that are wanted: what no field needs is left out of the graph."""
        found = Result(raws, None, scores, classes)
        if "maps" in wanted:
            maps = [self._render(m, s) for m, s in zip(raws, self.plan.sizes, strict=True)]
            found = found._replace(maps=maps)
        return [getattr(found, name) for name in wanted]

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
        activations, outputs = watched(self.plan, inputs)
        flat = flattened(self.plan, activations)[0]
        scores = class_scores(self.plan.answer(outputs))
        return flat, scores, self.plan.head.weights(flat.shape[-1])[0]

    def _weighted(self, activation, weights) -> list:
        raw = self.method.function(Evidence(activation, None, weights=weights))
        return [self.plan.mapped.positions[0].maps(raw)]

    def _linear_target(self, inputs, classes, target: Target, score: Score, wanted) -> Result:
        key = ("linear?", score.key)
        if not self._functions.get(key, lambda: self._is_linear(inputs, target, score)):
            raise ValueError(
                "'cam' explains sums of scores. Expected: a class, or a target that is linear in "
                f"the answer. Received: {target}; use 'gradcam' for it."
            )
        if not target.whole and self.plan.layout is not None and not self._is_local():
            raise ValueError(
                "'cam' cannot tell places of the answer apart here. Expected: a layer on the "
                "answer's own grid, and behind it layers that read one position. "
                f"Received: {target} and layer {self.plan.mapped.layer.name!r}; use 'hirescam', "
                "which is exact for every linear head."
            )
        function = self.compiled(
            ("target", score.key, wanted),
            lambda x, c, *arrays: self.finished(
                *self.linear_target_map(x, c, target.whole, score, arrays), wanted
            ),
        )
        return _numbers(function(inputs, classes, *score.arrays), wanted)

    def _is_linear(self, inputs, target: Target, score: Score) -> bool:
        """A function of the answer says so by its numbers: f(a + r) - f(r) = f(a) - f(0)."""
        if not isinstance(target, Function):
            return target.linear

        def deviation(x, *arrays):
            outputs = forward(self.plan.model, x, self.plan.patches)
            answer = ops.cast(self.plan.answer(outputs), "float32")
            f = partial(score.function, outputs, arrays)
            zero, rng = ops.zeros_like(answer), np.random.default_rng(0)
            sizes, errors = [ops.abs(f(values=answer))], []
            for _ in range(3):
                noise = rng.normal(size=(1, *answer.shape[1:])).astype("float32")
                moved = zero + ops.convert_to_tensor(noise) * (1 + ops.max(ops.abs(answer)))
                whole = f(values=answer + moved)
                errors.append(whole - f(values=moved) - f(values=answer) + f(values=zero))
                sizes.append(ops.abs(whole))
            return ops.max(ops.abs(ops.stack(errors))), ops.max(ops.stack(sizes))

        error, size = self.compiled(("deviation", score.key), deviation)(inputs, *score.arrays)
        return float(error) <= 1e-4 * (float(size) + 1e-6)

    def _is_local(self) -> bool:
        grid = self.plan.mapped.positions[0].grid
        return self.plan.head.local and grid == self.plan.layout.grid

    def linear_target_map(self, inputs, classes, whole: bool, score: Score, arrays):
        """The map of a score that is linear in the answer: its gradient there is its weights."""
        activations, outputs = watched(self.plan, inputs)
        flat = flattened(self.plan, activations)[0]
        explained, gradient = self.answer_gradient(outputs, score, arrays)
        weights = self.plan.head.weights(flat.shape[-1])[0]
        if not whole and self.plan.layout is not None:
            every = ops.matmul(flat, weights)
            raw = ops.sum(every * gradient, axis=-1) * flat.shape[1]
            raws = [self.plan.mapped.positions[0].maps(raw[:, None])]
        else:
            along = ops.matmul(ops.sum(gradient, axis=1), ops.transpose(weights))
            raws = self._weighted(flat, along[..., None])
        found = class_scores(self.plan.answer(outputs))
        return raws, explained[:, None], resolved(found, classes)

    def answer_gradient(self, outputs, score: Score, arrays):
        """The score `(B,)`, and its gradient `(B, places, C)` at the answer."""
        answer = self.plan.answer(outputs)

        def run(seize):
            here = seize(answer)
            return here, [here]

        def value(here):
            return score.function(outputs, arrays, values=here)

        found = backward(run, lambda here: ops.sum(value(here)))
        gradient = ops.cast(found.gradients[0], "float32")
        shape = (ops.shape(gradient)[0], -1, gradient.shape[-1] if len(gradient.shape) > 1 else 1)
        return value(found.outputs), ops.reshape(gradient, shape)

    def _one(self, inputs, classes, score: Score, wanted) -> Result:
        if self.method.needs in OF_MANY_PASSES:
            return self._in_many_passes(inputs, classes, score, wanted)
        function = self.compiled(
            ("one", score.key, wanted),
            lambda x, c, *arrays: self.finished(*self.one_map(x, c, score, *arrays), wanted),
        )
        return _numbers(function(inputs, classes, *score.arrays), wanted)

    def one_map(self, inputs, classes, score: Score, *arrays):
        """Raw maps, the score explained `(B, 1)` and the class `(B, 1)`, in one pass."""

        def bound(outputs):
            return score.function(outputs, arrays)

        if self.method.needs == "biases":
            found = fullgrad.fullgrad(self.plan, self.layouts, inputs, bound)
            outputs, raws = found.outputs, [found.map[:, None]]
        elif self.method.needs == "attention":
            outputs, parts = attention.attention_evidence(self.plan, inputs, bound)
            raws = self._grids([self._places(self.method.function(e)) for e in parts])
        elif self.method.needs == "relevance":
            outputs, parts = relevance.relevance_evidence(self.plan, inputs, bound)
            raws = self._grids([self.method.function(evidence) for evidence in parts])
        elif self.method.needs == "pixels":
            outputs, parts = attribution.pixel_evidence(self.plan, inputs, bound)
            raws = self._grids([self.method.function(evidence) for evidence in parts])
        else:
            curvature = self.method.needs == "curvatures"
            outputs, parts = gradient_evidence(self.plan, inputs, bound, curvature=curvature)
            raws = self._grids([self.method.function(evidence) for evidence in parts])
        return raws, *self._explained(outputs, classes, score, bound)

    def _places(self, relevance):
        """`(B, T)` tokens -> `(B, N)`, those of the grid."""
        return self.plan.mapped.positions[0].flatten(relevance[..., None])[..., 0]

    def _explained(self, outputs, classes, score: Score, bound: Callable):
        answer = self.plan.answer(outputs)
        value = class_score(answer, classes) if score.key == "class" else bound(outputs)
        return value[:, None], resolved(class_scores(answer), classes)

    def _grids(self, flat: list) -> list:
        if self.method.needs in OF_THE_IMAGE:
            return [
                ops.reshape(m, (-1, 1, *size))
                for m, size in zip(flat, self.plan.sizes, strict=True)
            ]
        layouts = self.plan.mapped.positions
        return [p.maps(m[:, None]) for p, m in zip(layouts, flat, strict=True)]

    def _in_many_passes(self, inputs, classes, score: Score, wanted) -> Result:
        def first_pass(x, c, *arrays):
            met, outputs = watched(self.plan, x)
            value, best = self._explained(outputs, c, score, partial(_bound, score, arrays))
            return met, value, best

        first = self.compiled(("first", score.key), first_pass)
        met, value, best = first(inputs, classes, *score.arrays)
        if score.key == "class":
            score = score._replace(arrays=(best,))
        parts = COLLECT[self.method.needs](self, inputs, met, value[:, 0], score)
        maps = self._grids([self.method.function(evidence) for evidence in parts])
        render = self.compiled(("finish", wanted), partial(self.finished, wanted=wanted))
        return _numbers(render(maps, value, best), wanted)


def _bound(score: Score, arrays, outputs):
    return score.function(outputs, arrays)


def _numbers(found: list, wanted) -> Result:
    numbers = keras.tree.map_structure(ops.convert_to_numpy, list(found))
    return Result(**dict(zip(wanted, numbers, strict=True)))


def _joined(columns: list[Result]) -> Result:
    def join(*parts):
        return None if parts[0] is None else np.concatenate(parts, axis=1)

    return keras.tree.map_structure(join, *columns)
