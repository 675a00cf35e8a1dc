"""Run a model and bring back what a map method asks for."""

import warnings
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_metric.cam.methods.table import Evidence
from keras_metric.cam.network import layers
from keras_metric.cam.network.gradients import backward
from keras_metric.cam.network.hooks import Patch, forward, record, replacing
from keras_metric.cam.network.positions import image_size, spatial_inputs
from keras_metric.cam.targets import heads, logits


class Plan(NamedTuple):
    """What was found out about a model from one pass over example inputs; holds no image."""

    model: keras.Model
    output: int | str | None
    target: layers.Target
    patches: list[Patch]
    head: heads.LinearHead | heads.Refusal
    classes: int
    sizes: tuple[tuple[int, ...], ...]

    def answer(self, outputs):
        return pick(outputs, self.output)


def plan(model: keras.Model, inputs, layer, output, find_patches) -> Plan:
    """Find the final activation to look through, the layer to map and the head behind it.

    `find_patches(calls, answer)` says which final layers to look through.
    """
    examples = keras.tree.map_structure(lambda x: ops.convert_to_tensor(x[:2]), inputs)

    def answer(outputs):
        return pick(outputs, output)

    outputs, calls = record(model, examples)
    patches = find_patches(calls, answer(outputs))
    found = layers.search(model, examples, answer, patches)
    if logits.looks_like_probabilities(found.scores):
        warnings.warn(
            f"The answers of {model.name!r} look like probabilities, but no softmax layer or "
            "activation ends the model: maps explain the probabilities, which saturate.",
            stacklevel=4,
        )
    target = layers.find_target(found, layer)
    activations = [call.output for call in found.calls if call.layer is target.layer]
    chosen = [activations[i] for i in target.which]
    if len(chosen) == 1:
        head = heads.linear_head(found.calls, chosen[0], target.positions[0], found.scores, patches)
    else:
        head = heads.Refusal(f"{target.layer.name!r} runs {len(chosen)} times in one pass")
    flat = keras.tree.flatten(inputs)
    sizes = [image_size(flat[i]) for i in spatial_inputs(inputs)]
    sizes = sizes if len(sizes) == len(chosen) else sizes[:1] * len(chosen)
    classes = logits.class_scores(found.scores).shape[-1]
    return Plan(model, output, target, patches, head, classes, tuple(sizes))


def pick(outputs, output: int | str | None):
    """One tensor of a model's answer.

    Raises:
        ValueError: several outputs and none named, or no such output.
    """
    if isinstance(outputs, (list, tuple)):
        outputs = dict(enumerate(outputs))
    if not isinstance(outputs, dict):
        if output is None:
            return outputs
        known = "none, the model has one output"
    elif output in outputs:
        return outputs[output]
    elif output is None and len(outputs) == 1:
        return next(iter(outputs.values()))
    else:
        known = ", ".join(repr(name) for name in outputs)
    raise ValueError(f"Which output to explain? Expected: {known}. Received output={output!r}.")


def answer_of(plan: Plan, inputs):
    """The tensor explained, before softmax, in the model's own precision."""
    return plan.answer(forward(plan.model, inputs, plan.patches))


def scores_of(plan: Plan, inputs):
    """`(B, C)` before softmax, float32."""
    return logits.class_scores(answer_of(plan, inputs))


def activations_and_answer(plan: Plan, inputs, seize=None):
    """Activations `(B, N, K)`, the model's own, and the answer, in one pass.

    `seize` may replace each activation on its way.
    """
    met: list[Any] = []

    def take(activation, number):
        met.append(activation if seize is None else seize(activation, number))
        return met[-1]

    hooks = replacing(plan.target.layer, take, plan.target.which)
    return met, plan.answer(forward(plan.model, inputs, [*plan.patches, *hooks]))


def flattened(plan: Plan, activations: list) -> list:
    return [p.flatten(a) for p, a in zip(plan.target.positions, activations, strict=True)]


def gradient_evidence(plan: Plan, inputs, score, *, curvature: bool = False):
    """The model's answer and one Evidence for each call of the layer; `score(answer) -> (B,)`."""

    def run(seize):
        activations, answer = activations_and_answer(plan, inputs, lambda a, _: seize(a))
        return answer, activations

    found = backward(run, lambda answer: ops.sum(score(answer)), curvature=curvature)
    parts = [flattened(plan, found.activations), flattened(plan, found.gradients)]
    parts.append(flattened(plan, found.curvatures) if curvature else [None] * len(parts[0]))
    explained = score(found.outputs)
    return found.outputs, [
        Evidence(a, explained, gradients=g, curvatures=h) for a, g, h in zip(*parts, strict=True)
    ]
