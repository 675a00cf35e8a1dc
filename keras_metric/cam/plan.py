"""What is known about a model before its maps are drawn, and its passes with a layer watched."""

import warnings
from collections.abc import Callable
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_metric.cam.methods.table import Evidence
from keras_metric.cam.network import layers
from keras_metric.cam.network.axes import changes, layout_over
from keras_metric.cam.network.gradients import backward
from keras_metric.cam.network.hooks import Patch, forward, record, replacing
from keras_metric.cam.network.positions import Positions
from keras_metric.cam.targets import heads, logits


class Plan(NamedTuple):
    """What was found out about a model from a few passes over example inputs; holds no image.

    layout: the grid of the answer over the image, for answers that are maps.
    """

    model: keras.Model
    output: int | str | None
    mapped: layers.MappedLayer
    patches: list[Patch]
    head: heads.LinearHead | heads.Refusal
    classes: int
    layout: Positions | None

    @property
    def sizes(self) -> tuple[tuple[int, ...], ...]:
        return tuple(image.size for image in self.mapped.images)

    def answer(self, outputs):
        """The tensor explained, `(B, C)` or `(B, places..., C)`, in the model's own precision."""
        return logits.channels_last(pick(outputs, self.output), self.layout)


def plan(
    model: keras.Model,
    inputs,
    layer,
    output,
    find_patches: Callable,
    find: Callable = layers.find_layer,
) -> Plan:
    """Find the final activation to look through, the layer to map and the head behind it.

    `find_patches(calls, answer)` says which final layers to look through, `find(search, layer)`
    which layer to map.
    """
    examples = keras.tree.map_structure(example, inputs)

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
    mapped = find(found, layer)
    layout = _layout_of_answer(found, mapped)
    activations = [call.output for call in found.calls if call.layer is mapped.layer]
    chosen = [activations[i] for i in mapped.which]
    if mapped.layer is None:
        head = heads.Refusal("the image itself is mapped")
    elif len(chosen) == 1:
        head = heads.linear_head(
            found.calls, chosen[0], mapped.positions[0], found.scores, patches, layout
        )
    else:
        head = heads.Refusal(f"{mapped.layer.name!r} runs {len(chosen)} times in one pass")
    scores = logits.class_scores(logits.channels_last(found.scores, layout))
    return Plan(model, output, mapped, patches, head, scores.shape[-1], layout)


def example(x):
    """Two of the inputs; what is not finite there becomes noise: examples tell about models."""
    x = ops.convert_to_tensor(x[:2])
    if "float" not in keras.backend.standardize_dtype(x.dtype):
        return x
    noise = np.random.default_rng(0).normal(size=tuple(x.shape)).astype("float32")
    return ops.where(ops.isfinite(x), x, ops.cast(ops.convert_to_tensor(noise), x.dtype))


def _layout_of_answer(found: layers.Search, mapped: layers.MappedLayer) -> Positions | None:
    if len(found.scores.shape) < 3:
        return None

    def run(inputs):
        return [found.answer(forward(found.model, inputs, found.patches))]

    image = mapped.images[0]
    moved = changes(run, found.inputs, image.number)[0]
    same_rank = len(found.scores.shape) == len(image.axes) + 2
    return layout_over(moved, image, found.scores, sure=not same_rank)


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
    raise ValueError(f"Which output to explain? Expected: {known}. Received: output={output!r}.")


def scores_of(plan: Plan, inputs):
    """`(B, C)` before softmax, float32."""
    return logits.class_scores(plan.answer(forward(plan.model, inputs, plan.patches)))


def watched(plan: Plan, inputs, seize: Callable | None = None) -> tuple[list, Any]:
    """The mapped layer's activations and the model's outputs, in one pass.

    `seize(activation, number)` may replace each activation on its way.
    """
    met: list[Any] = []

    def take(activation, number):
        met.append(activation if seize is None else seize(activation, number))
        return met[-1]

    if plan.mapped.layer is None:
        return [], forward(plan.model, inputs, plan.patches)
    hooks = replacing(plan.mapped.layer, take, plan.mapped.which)
    return met, forward(plan.model, inputs, [*plan.patches, *hooks])


def flattened(plan: Plan, activations: list) -> list:
    """`(B, N, K)` each, float32."""
    return [p.flatten(a) for p, a in zip(plan.mapped.positions, activations, strict=True)]


def gradient_evidence(plan: Plan, inputs, score: Callable, *, curvature: bool = False):
    """The model's outputs and one Evidence for each call of the layer; `score(outputs) -> (B,)`."""

    def run(seize):
        activations, outputs = watched(plan, inputs, lambda a, _: seize(a))
        return outputs, activations

    found = backward(run, lambda outputs: ops.sum(score(outputs)), curvature=curvature)
    parts = [flattened(plan, found.activations), flattened(plan, found.gradients)]
    parts.append(flattened(plan, found.curvatures) if curvature else [None] * len(parts[0]))
    explained = score(found.outputs)
    return found.outputs, [
        Evidence(a, explained, gradients=g, curvatures=h) for a, g, h in zip(*parts, strict=True)
    ]
