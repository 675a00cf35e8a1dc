"""Evidence of transformers: what every attention layer looks at, and how the score depends on it.

Layers are `keras.layers.MultiHeadAttention` and `GroupQueryAttention` in which all tokens attend to
all tokens. A map is the row of the token that is read out: the first one without a place (a class
token) if there is one, else the mean over the tokens of the grid.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_metric.cam.methods.table import Evidence
from keras_metric.cam.network.gradients import backward
from keras_metric.cam.network.hooks import Patch, forward, on_call, operations
from keras_metric.cam.network.positions import Positions
from keras_metric.cam.plan import Plan, example

ATTENTION = (keras.layers.MultiHeadAttention, keras.layers.GroupQueryAttention)


def attention_evidence(plan: Plan, inputs, score: Callable):
    """The outputs, and evidence whose attentions and gradients are `(B, heads, T, T)` a layer."""

    def run(seize):
        return _pass(plan, inputs, seize)

    found = backward(run, lambda outputs: ops.sum(score(outputs)))
    keep = [i for i, a in enumerate(found.activations) if a.shape[-2:] == (tokens(plan),) * 2]
    attentions, gradients = (
        [ops.cast(group[i], "float32") for i in keep]
        for group in (found.activations, found.gradients)
    )
    evidence = Evidence(
        None,
        score(found.outputs),
        attentions=attentions,
        attention_gradients=gradients,
        readout=ops.convert_to_tensor(readout(plan)),
    )
    return found.outputs, [evidence]


def check(plan: Plan, inputs) -> None:
    """Refuse models whose attention is not seen, or is not over the tokens of the mapped layer."""
    positions = plan.mapped.positions
    sides = []
    if len(positions) == 1 and positions[0].is_tokens:
        examples = keras.tree.map_structure(example, inputs)
        met = _pass(plan, examples, lambda a: a)[1]
        sides = [tuple(a.shape[-2:]) for a in met]
        _check_whole(plan, met, keras.tree.flatten(examples)[0].shape[0])
    if not positions or (tokens(plan),) * 2 not in sides:
        raise ValueError(
            f"Model {plan.model.name!r} has no attention to show. Expected: layers of "
            "keras.layers.MultiHeadAttention or GroupQueryAttention over the tokens of one image "
            f"(B, T, C), each token to every other. Received: layer {plan.mapped.layer.name!r}, "
            f"attention of {sides or 'no'} tokens."
        )


def _check_whole(plan: Plan, attentions: list, images: int) -> None:
    windows = max((a.shape[0] for a in attentions), default=images)
    if windows != images:
        raise ValueError(
            f"Model {plan.model.name!r} has attention within windows, which these maps would leave "
            "out. Expected: each token attends to every other. Received: attention of "
            f"{windows // images} windows of an image; 'attnlrp' explains such models."
        )


def tokens(plan: Plan) -> int:
    layout: Positions = plan.mapped.positions[0]
    return layout.count + layout.skip


def readout(plan: Plan) -> np.ndarray:
    """`(T,)` weights of the tokens that the answer is read from; they add up to 1."""
    layout = plan.mapped.positions[0]
    weights = np.full(tokens(plan), 1 / layout.count, "float32")
    if layout.skip:
        weights = np.zeros(tokens(plan), "float32")
        weights[_first_without_place(layout)] = 1
    return weights


def _first_without_place(layout: Positions) -> int:
    return min(set(range(layout.count + layout.skip)) - set(layout.places)) if layout.places else 0


def _pass(plan: Plan, inputs, seize: Callable):
    met: list = []

    def softmax(original, *args, **kwargs):
        met.append(seize(original(*args, **kwargs)))
        return met[-1]

    hooks = []
    for layer in operations(plan.model):
        if isinstance(layer, ATTENTION):
            hooks += [*on_call(layer, _with_scores), Patch(layer, "_masked_softmax", softmax)]
    return forward(plan.model, inputs, [*plan.patches, *hooks]), met


def _with_scores(original, *args, return_attention_scores: bool = False, **kwargs):
    """The scores asked for are computed one by one, not inside a fused operation."""
    output, scores = original(*args, return_attention_scores=True, **kwargs)
    return (output, scores) if return_attention_scores else output
