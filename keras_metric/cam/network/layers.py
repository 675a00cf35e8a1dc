"""Which layer to look at: the last activation with positions that everything passes through.

A layer is on the path to the answer, and not inside a branch, when the answer no longer depends on
the image once that layer's output is held. That is tried on the model itself, so it needs no graph.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_metric.cam.network.axes import changes, measured
from keras_metric.cam.network.hooks import Call, Patch, forward, is_tensor, record, replacing
from keras_metric.cam.network.places import Elsewhere, placed
from keras_metric.cam.network.positions import (
    Image,
    Positions,
    image_along,
    layouts,
    possible_axes,
    spatial_inputs,
    usual_image,
)


class MappedLayer(NamedTuple):
    """A layer, which of its calls in one pass, the grid of each of those outputs, and its image."""

    layer: Any
    which: tuple[int, ...]
    positions: tuple[Positions, ...]
    images: tuple[Image, ...]


class Search(NamedTuple):
    """One recorded pass over example inputs."""

    model: keras.Model
    inputs: Any
    answer: Callable
    patches: list[Patch]
    calls: list[Call]
    scores: Any


def search(model, inputs, answer: Callable, patches: list[Patch]) -> Search:
    outputs, calls = record(model, inputs, patches)
    return Search(model, inputs, answer, patches, calls, answer(outputs))


def find_layer(found: Search, layer=None) -> MappedLayer:
    """The requested layer (by name or itself), else the one found automatically.

    Raises:
        ValueError: no such layer, an ambiguous name, or no layer with positions.
    """
    candidates = _candidates(found) if layer is None else [_named(found, layer)]
    for candidate in candidates:
        outputs = [call.output for call in found.calls if call.layer is candidate]
        number = len(outputs)
        for which in ((number - 1,), tuple(range(number))):
            target = _target(found, candidate, which, outputs)
            if target is not None and carries_all(found, target, outputs):
                target = _with_measured_axes(found, target, outputs)
                if target is not None:
                    return target
    if layer is not None:
        return _anyway(found, candidates[0], outputs)
    raise ValueError(
        f"Model {found.model.name!r} has no layer to map. Expected: an activation with positions, "
        "(B, H, W, C) or (B, T, C), that the whole answer is computed from. Received: none among "
        f"{len(found.calls)} calls; name one with layer=."
    )


def image_itself(found: Search, layer=None) -> MappedLayer:
    """No layer, but all images, with their axes as the last layer with positions shows them.

    Raises:
        ValueError: a layer was given.
    """
    if layer is not None:
        raise ValueError(
            "This method maps the image itself. Expected: no layer. "
            f"Received: layer={getattr(layer, 'name', layer)!r}."
        )
    try:
        known = {image.number: image for image in find_layer(found).images}
    except ValueError:  # none has positions
        known = {}
    numbers = spatial_inputs(found.inputs)
    images = tuple(known.get(n) or usual_image(found.inputs, n) for n in numbers)
    return MappedLayer(None, (), (), images)


def _candidates(found: Search) -> Iterator[Any]:
    """Layers from the last to the first, each once; of layers that give one tensor, the inner."""
    owner: dict[int, Any] = {}
    for call in found.calls:
        if not isinstance(call.output, (list, tuple, dict)) and call.output is not found.scores:
            owner.setdefault(id(call.output), call.layer)
    order = {id(layer): layer for layer in reversed(list(owner.values()))}
    return iter(order.values())


def _named(found: Search, layer):
    called = {id(call.layer): call.layer for call in found.calls}
    if not isinstance(layer, str):
        if id(layer) in called:
            return layer
        raise ValueError(
            f"Layer {getattr(layer, 'name', layer)!r} does not run in model {found.model.name!r}. "
            f"Expected: one of its layers, or a name. Received: {type(layer).__name__}."
        )
    outputs = {}
    for call in found.calls:
        if call.layer.name == layer:
            outputs.setdefault(id(call.output), call.layer)
    named = {id(owner): owner for owner in outputs.values()}
    if len(named) == 1:
        return next(iter(named.values()))
    names = sorted({owner.name for owner in called.values()})
    raise ValueError(
        f"Model {found.model.name!r} has {len(named) or 'no'} layers of the name {layer!r}. "
        f"Expected: exactly one, or the layer itself. Received: layer={layer!r}; names: {names}."
    )


def _target(found: Search, layer, which, outputs) -> MappedLayer | None:
    """The calls with the first axes that their shapes allow; None when they have no positions."""
    numbers = spatial_inputs(found.inputs)
    if len(numbers) != len(which):
        numbers = numbers[:1] * len(which)
    pairs = [_first_pair(found, outputs[i], n) for i, n in zip(which, numbers, strict=True)]
    if None in pairs:
        return None
    images, positions = zip(*pairs, strict=True)
    return MappedLayer(layer, tuple(which), positions, images)


def _first_pair(found: Search, output, number: int) -> tuple[Image, Positions] | None:
    image = keras.tree.flatten(found.inputs)[number]
    if not is_tensor(output) or output.shape[:1] != image.shape[:1]:
        return None
    every = (image_along(found.inputs, number, axes) for axes in possible_axes(len(image.shape)))
    return next(((image, layout) for image in every for layout in layouts(output, image)), None)


def _with_measured_axes(found: Search, target: MappedLayer, outputs: list) -> MappedLayer | None:
    """The target with the axes of its images and outputs as they are measured.

    None when its only grids are unusual ones that the measurement does not bear out.
    """

    def run(inputs):
        met = []
        watch = replacing(target.layer, lambda x, _: met.append(x) or x, target.which)
        forward(found.model, inputs, [*found.patches, *watch])
        return met

    pairs = []
    moved: dict[int, list] = {}
    for i, (which, image) in enumerate(zip(target.which, target.images, strict=True)):
        number = image.number
        if number not in moved:
            moved[number] = changes(run, found.inputs, number)
        pairs.append(measured(moved[number][i], found.inputs, number, outputs[which]))
    if None in pairs:
        return None
    images, positions = zip(*pairs, strict=True)
    if len(pairs) == 1:
        positions = (_as_placed(found, target, images[0], positions[0], outputs[target.which[0]]),)
    if any(isinstance(layout, Elsewhere) for layout in positions):
        return None
    return target._replace(images=images, positions=positions)


def _as_placed(found: Search, target: MappedLayer, image: Image, layout: Positions, output):
    """The grid with each token at its measured place, where tokens were put into some order."""
    if not layout.is_tokens and not _regroups(found.calls, output):
        return layout
    first = _first_tokens(found.calls, layout, output)
    watched = [*first, (target.layer, target.which[0])]

    def run(inputs):
        met: list = []
        hooks = [
            hook
            for layer, which in watched
            for hook in replacing(layer, lambda x, _: met.append(x) or x, (which,))
        ]
        forward(found.model, inputs, [*found.patches, *hooks])
        return met

    return placed(run, found.inputs, image, layout)


def _regroups(calls: list[Call], output) -> bool:
    """Whether a layer before an output may have put positions into another order."""
    end = next(i for i, call in enumerate(calls) if call.output is output)
    return any(_may_regroup(type(call.layer)) for call in calls[: end + 1])


def _may_regroup(kind: type) -> bool:
    """Keras's Reshape, and layers of one's own that are not a kind of some layer of Keras."""
    if kind.__module__.startswith("keras."):
        return kind.__name__ == "Reshape"
    bases = set(kind.__mro__[1:]) - set(keras.Layer.__mro__) - set(keras.Model.__mro__)
    return not any(base.__module__.startswith("keras.") for base in bases)


def _first_tokens(calls: list[Call], layout: Positions, output) -> list[tuple[Any, int]]:
    """The first layer whose output has the same tokens, if it is another, and which of its calls.

    There they are not mixed by attention yet.
    """
    for i, call in enumerate(calls):
        if call.output is output:
            break
        shape = tuple(getattr(call.output, "shape", ()))
        if shape[:-1] == tuple(output.shape)[:-1] and layout.axes[-1] < len(shape) - 1:
            return [(call.layer, sum(other.layer is call.layer for other in calls[:i]))]
    return []


def _anyway(found: Search, layer, outputs) -> MappedLayer:
    target = _target(found, layer, range(len(outputs)), outputs)
    target = target and _with_measured_axes(found, target, outputs)
    if target is None:
        shapes = [tuple(getattr(output, "shape", ())) for output in outputs]
        raise ValueError(
            f"Layer {layer.name!r} has no positions to map. Expected: an output (B, H, W, C) "
            "with more than one position, or (B, T, C), that lie over the image as a grid does. "
            f"Received: shapes {shapes}."
        )
    return target


def carries_all(found: Search, target: MappedLayer, outputs: list) -> bool:
    """The answer follows from this activation alone, and from its positions."""
    held = [outputs[i] for i in target.which]
    noisy = _with_noise(found.inputs)
    same = _answer_with(found, target, noisy, held)
    if not np.array_equal(same, _answer_with(found, target, found.inputs, held)):
        return False
    moved = []
    for activation, positions in zip(held, target.positions, strict=True):
        flat = positions.flatten(activation)
        noise = np.random.default_rng(0).normal(size=tuple(flat.shape)).astype("float32")
        noise = ops.convert_to_tensor(noise) * (1.0 + ops.max(ops.abs(flat)))
        moved.append(positions.restore(flat + noise, activation))
    return not np.array_equal(same, _answer_with(found, target, found.inputs, moved))


def _answer_with(found: Search, target: MappedLayer, inputs, values: list) -> np.ndarray:
    hold = replacing(target.layer, lambda output, number: values[number], target.which)
    outputs = forward(found.model, inputs, [*found.patches, *hold])
    return ops.convert_to_numpy(ops.cast(found.answer(outputs), "float32"))


def _with_noise(inputs):
    """Other images of the same kind; inputs that are no images stay."""
    rng = np.random.default_rng(1)
    flat = [ops.convert_to_numpy(x) for x in keras.tree.flatten(inputs)]
    kinds = [x.dtype for x in flat]
    for i in spatial_inputs(inputs):
        low, high = flat[i].min(), max(flat[i].max(), flat[i].min() + 1)
        noise = rng.uniform(float(low), float(high), flat[i].shape)
        flat[i] = np.round(noise) if flat[i].dtype.kind in "iu" else noise
        flat[i] = flat[i].astype(kinds[i])
    tensors = [ops.convert_to_tensor(x) for x in flat]
    return keras.tree.pack_sequence_as(inputs, tensors)
