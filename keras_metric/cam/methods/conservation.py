"""Conservation of relevance: what the score is made of, and the layer from which that is true.

The identity holds if every operation behind the mapped layer has a rule. So it tells whether a
model is supported: there is no list of layers that are not.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_metric.cam.methods.fullgrad import bias_hooks
from keras_metric.cam.methods.relevance import mixes_tokens, rules
from keras_metric.cam.network.gradients import backward
from keras_metric.cam.network.hooks import Patch, forward, operations, replacing
from keras_metric.cam.network.layers import MappedLayer, Search, carries_all, find_layer
from keras_metric.cam.targets.logits import class_scores

CONSERVED = 1e-3  # share of all relevance that may be lost where every operation has a rule
CONSERVED_IN_HALF = 5e-2  # the same in 16 bits
TRIED = 2  # layers, from the last before any attention
SUPPORTED = (
    "layers of keras.layers.MultiHeadAttention or GroupQueryAttention, or matmul, einsum and "
    "softmax of keras.ops between the layers of a functional model"
)


class Conserved(NamedTuple):
    """Sums over one image each, `(B,)`: of all shares, and of their magnitudes by tensor."""

    total: Any
    magnitude: Any


def conserved(
    model: keras.Model, patches: list[Patch], mapped: MappedLayer, inputs, score: Callable
) -> Conserved:
    """All that the score is made of behind the mapped layer: it adds up to the score.

        score = relevance of all tokens + biases' shares + what the softmax of attention keeps

    A bias's share is b . d'S/d(output), that of a softmax sum(A . d'S/dA) - sum(x . d'S/dx).
    """
    factors: list[Any] = []

    def run(seize):
        met: list[Any] = []
        factors.clear()

        def seen(tensor, factor):
            met.append(seize(tensor))
            factors.append(factor)
            return met[-1]

        def take(tensor, factor):
            return seen(tensor, factor) if met else tensor

        tokens = replacing(mapped.layer, lambda tensor, _: seen(tensor, 1), mapped.which)
        shares = [*rules(model, patches, take), *bias_hooks(model, take)]
        return forward(model, inputs, [*patches, *shares, *tokens]), met

    found = backward(run, lambda outputs: ops.sum(score(outputs)))
    parts = zip(found.activations, found.gradients, factors, strict=True)
    shares = [_sum_of_share(*part) for part in parts]
    every = ops.stack([_by_image(share, shares[0].shape[0]) for share in shares])
    return Conserved(ops.sum(every, axis=0), ops.sum(ops.abs(every), axis=0))


def _sum_of_share(tensor, gradient, factor):
    """`(B,)`; the factor is a bias, or how much of the tensor itself counts."""
    counted = factor * tensor if isinstance(factor, (int, float)) else factor
    share = ops.cast(gradient, "float32") * ops.cast(counted, "float32")
    return ops.sum(share, axis=tuple(range(1, len(share.shape))))


def _by_image(share, images: int):
    """`(B,)` of `(B, ...)` windows in the batch, one image's after another's."""
    if share.shape[0] % images:
        return ops.broadcast_to(share, (images,))
    return ops.sum(ops.reshape(share, (images, -1)), axis=1)


def first_tokens(found: Search, layer=None) -> MappedLayer:
    """The requested layer, else the last one before any attention that everything passes through.

    Raises:
        ValueError: no attention; no such layer, or one in a branch or that runs several times; an
            operation without a rule, so that what there is does not add up to the score.
    """
    if layer is not None:
        return _conserving(found, [_on_the_way(found, layer)])
    mixes = (i for i, call in enumerate(found.calls) if mixes_tokens(call.layer))
    end = next(mixes, None)
    if end is None:
        raise ValueError(
            f"Model {found.model.name!r} has no attention. Expected: {SUPPORTED}. Received: none "
            "of them; 'hirescam' explains networks without attention."
        )
    return _conserving(found, _last_before(found, end))


def _on_the_way(found: Search, layer) -> MappedLayer:
    chosen = find_layer(found, layer)
    outputs = [call.output for call in found.calls if call.layer is chosen.layer]
    if not carries_all(found, chosen, outputs):
        raise ValueError(
            "Relevance is only part of the score in a branch. Expected: a layer that the whole "
            f"answer is computed from, or none. Received: layer={chosen.layer.name!r}."
        )
    return chosen


def _last_before(found: Search, end: int) -> Iterator[MappedLayer]:
    """The last layers before a call that all of the image passes through, the last one first.

    What does not depend on the image, such as a class token, may still go past the last one.
    """
    for number in range(TRIED):
        try:
            target = find_layer(found._replace(calls=found.calls[:end]))
        except ValueError:
            if number == 0:
                raise
            return
        yield target
        end = next(i for i, call in enumerate(found.calls) if call.layer is target.layer)


def _conserving(found: Search, targets: Iterable[MappedLayer]) -> MappedLayer:
    """The first target behind which the score is made up of what is known to be there."""
    numbers = []
    for target in targets:
        if len(target.which) > 1:
            raise ValueError(
                "attnlrp maps one image at a time. Expected: a layer that runs once. Received: "
                f"{target.layer.name!r}, which runs {len(target.which)} times in one pass."
            )
        numbers.append(_sums(found, target))
        score, total, lost = numbers[-1]
        if lost <= (CONSERVED_IN_HALF if _is_half(found.model) else CONSERVED):
            return target
    score, total, _ = numbers[0]
    raise ValueError(
        f"Model {found.model.name!r} has operations that relevance has no rule for: it adds up to "
        f"{total:.4g} where the score is {score:.4g}. Expected: {SUPPORTED}; between them linear "
        "layers, LayerNormalization or RMSNormalization, activation functions as layers or as "
        "activation=. Received: something else, perhaps in "
        f"{', '.join(_own_layers(found.model)) or 'operations of keras.ops'}."
    )


def _sums(found: Search, target: MappedLayer) -> tuple[float, float, float]:
    """A random sum of scores, what adds up to it, and the share of all that is lost, at worst."""
    classes = class_scores(found.scores).shape[-1]
    weights = np.random.default_rng(0).normal(size=classes).astype("float32")
    weights = ops.convert_to_tensor(weights)

    def score(outputs):
        return ops.sum(class_scores(found.answer(outputs)) * weights, axis=-1)

    outputs = forward(found.model, found.inputs, found.patches)
    sums = conserved(found.model, found.patches, target, found.inputs, score)
    numbers = (ops.convert_to_numpy(x).astype("float64") for x in (score(outputs), *sums))
    expected, total, magnitude = numbers
    lost = np.abs(expected - total) / np.maximum(magnitude + np.abs(expected), 1e-30)
    worst = int(lost.argmax())
    return expected[worst], total[worst], lost[worst]


def _is_half(model: keras.Model) -> bool:
    return any("16" in layer.compute_dtype for layer in model._flatten_layers())


def _own_layers(model: keras.Model) -> list[str]:
    """The classes of layers that are not Keras's, which hide what they compute."""
    kinds = {type(layer) for layer in operations(model) if not isinstance(layer, keras.Model)}
    return sorted(k.__name__ for k in kinds if not k.__module__.startswith("keras."))
