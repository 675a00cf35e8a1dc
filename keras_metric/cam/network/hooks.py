"""Hooks on layers: one thread, one forward pass, nothing left behind.

Wrapping `layer.call` while the model runs reaches every kind of model (nested, subclassed, siamese)
without rebuilding it. Other threads that use the model meanwhile run the original.
"""

import functools
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any, NamedTuple

import keras

_LOCK = threading.RLock()
_ABSENT = object()


class Call(NamedTuple):
    """One call of one layer: the tensor that went in (a list when several) and what came out."""

    layer: Any
    input: Any
    output: Any


class Patch(NamedTuple):
    """`owner.name` becomes `replacement(original, *args)` for the length of one pass."""

    owner: Any
    name: str
    replacement: Callable


def is_tensor(value) -> bool:
    return hasattr(value, "shape") and hasattr(value, "dtype")


def producer(calls: list[Call], tensor) -> Call | None:
    """The innermost call that made a tensor; calls that only pass it on do not count."""
    for call in calls:
        if call.output is tensor and call.input is not tensor:
            return call
    return None


def operations(model: keras.Model) -> list:
    """Every layer and every graph operation inside a model, at any depth, each once."""
    found = {}
    for layer in model._flatten_layers(include_self=True):
        found.setdefault(id(layer), layer)
        for operation in getattr(layer, "_operations", ()):
            found.setdefault(id(operation), operation)
    del found[id(model)]
    return list(found.values())


@contextmanager
def patched(patches: list[Patch]) -> Iterator[None]:
    """Apply patches for this thread only; take them off again whatever happens."""
    with _LOCK, ExitStack() as stack:
        for patch in patches:
            stack.enter_context(_one(patch))
        yield


@contextmanager
def _one(patch: Patch) -> Iterator[None]:
    attributes = vars(patch.owner)
    before = attributes.get(patch.name, _ABSENT)
    attributes[patch.name] = _in_this_thread(getattr(patch.owner, patch.name), patch.replacement)
    try:
        yield
    finally:
        if before is _ABSENT:
            del attributes[patch.name]
        else:
            attributes[patch.name] = before


def _in_this_thread(original: Callable, replacement: Callable) -> Callable:
    owner = threading.get_ident()

    @functools.wraps(original)
    def call(*args, **kwargs):
        if threading.get_ident() != owner:
            return original(*args, **kwargs)
        return replacement(original, *args, **kwargs)

    return call


def call_names(layer) -> list[str]:
    """The methods a layer may run as: quantized layers have a second one."""
    return ["call", "quantized_call"] if getattr(layer, "quantization_mode", None) else ["call"]


def on_call(layer, replacement: Callable) -> list[Patch]:
    return [Patch(layer, name, replacement) for name in call_names(layer)]


def forward(model: keras.Model, inputs, patches: Sequence[Patch] = ()):
    """The model's answer at inference, with patches applied while it runs."""
    with patched(list(patches)):
        return model(_as_the_model_expects(model, inputs), training=False)


def _as_the_model_expects(model, inputs):
    expected = getattr(model, "_inputs_struct", None)
    single = isinstance(expected, (list, tuple)) and len(expected) == 1
    return [inputs] if single and not isinstance(inputs, (list, tuple)) else inputs


def record(model: keras.Model, inputs, patches: Sequence[Patch] = ()) -> tuple[Any, list[Call]]:
    """The model's answer and all calls inside it, in the order in which they ended."""
    calls = []

    def listener(layer):
        def replacement(original, *args, **kwargs):
            output = original(*args, **kwargs)
            tensors = [x for x in keras.tree.flatten((args, kwargs)) if is_tensor(x)]
            calls.append(Call(layer, tensors[0] if len(tensors) == 1 else tensors, output))
            return output

        return replacement

    taken = {(id(patch.owner), patch.name) for patch in patches}
    listeners = [
        patch
        for layer in operations(model)
        for patch in on_call(layer, listener(layer))
        if (id(patch.owner), patch.name) not in taken
    ]
    return forward(model, inputs, [*patches, *listeners]), calls


def replacing(layer, function: Callable, which: tuple[int, ...] | None = None) -> list[Patch]:
    """Patches that replace each chosen output of a layer by `function(output, number)`.

    `which` counts the layer's calls within one pass; None means all. `number` counts the chosen.
    """
    count = {"calls": 0, "chosen": 0}

    def replacement(original, *args, **kwargs):
        output = original(*args, **kwargs)
        number = count["calls"]
        count["calls"] += 1
        if which is not None and number not in which:
            return output
        count["chosen"] += 1
        return function(output, count["chosen"] - 1)

    return on_call(layer, replacement)
