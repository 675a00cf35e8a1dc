"""Scores of changed inputs: the image under each channel's mask, the head without each channel.

Both go through the channels in chunks of one shape, so that one compiled graph serves them all and
memory stays at about `ROWS` images.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_metric.cam.network.hooks import forward, replacing
from keras_metric.cam.network.positions import spatial_inputs
from keras_metric.cam.plan import Plan, answer_of
from keras_metric.cam.rendering import EPSILON, resized
from keras_metric.cam.targets.classes import class_score

ROWS = 32


def masked_scores(plan: Plan, number: int) -> Callable:
    """`(inputs, channels (B, N, c), classes (B, 1)) -> (B, c)`: one mask at a time on the image.

    A mask is a channel at the image's size, min-max scaled.
    """
    grid, size = plan.target.positions[number], plan.sizes[number]
    axes = tuple(range(-len(size), 0))

    def scores(inputs, channels, classes):
        masks = resized(grid.maps(ops.swapaxes(channels, 1, 2)), size)
        masks = masks - ops.min(masks, axis=axes, keepdims=True)
        masks = masks / (ops.max(masks, axis=axes, keepdims=True) + EPSILON)
        count = ops.shape(channels)[-1]
        flat = [ops.repeat(x, count, axis=0) for x in keras.tree.flatten(inputs)]
        place = spatial_inputs(inputs)[number]
        axis = 1 if grid.channels_first else -1
        masks = ops.expand_dims(ops.reshape(masks, (-1, *size)), axis)
        flat[place] = flat[place] * ops.cast(masks, flat[place].dtype)
        answer = answer_of(plan, keras.tree.pack_sequence_as(inputs, flat))
        return ops.reshape(class_score(answer, ops.repeat(classes, count, axis=0)), (-1, count))

    return scores


def ablated_scores(plan: Plan, number: int) -> Callable:
    """`(inputs, activations, keep (c, K), classes) -> (B, c)`: c versions of one activation.

    The activations are held, so only the head is computed (on torch, where nothing is pruned, the
    whole model).
    """
    layout = plan.target.positions[number]

    def scores(inputs, activations, keep, classes):
        count = ops.shape(keep)[0]

        def tiled(x):
            return ops.repeat(x, count, axis=0)

        held = [tiled(a) for a in activations]
        flat = layout.flatten(activations[number])[:, None] * keep[None, :, None, :]
        flat = ops.reshape(flat, (-1, *flat.shape[2:]))
        held[number] = layout.restore(flat, held[number])
        hooks = replacing(plan.target.layer, lambda _, i: held[i], plan.target.which)
        outputs = forward(
            plan.model, keras.tree.map_structure(tiled, inputs), [*plan.patches, *hooks]
        )
        return ops.reshape(class_score(plan.answer(outputs), tiled(classes)), (-1, count))

    return scores


def in_chunks(channels: int, batch: int):
    """`(start, stop, width)` triples that cover the channels; every chunk has the same width."""
    width = max(1, min(channels, ROWS // batch))
    return [(i, min(i + width, channels), width) for i in range(0, channels, width)]


def all_masked(scores: Callable, inputs, activations, classes) -> np.ndarray:
    """`(B, K)` scores under each channel of `(B, N, K)`, by the compiled `scores`."""
    batch, _, channels = activations.shape
    activations = ops.convert_to_numpy(activations)
    found = []
    for start, stop, width in in_chunks(channels, batch):
        part = np.zeros((batch, activations.shape[1], width), "float32")
        part[..., : stop - start] = activations[..., start:stop]
        chunk = scores(inputs, ops.convert_to_tensor(part), classes)
        found.append(ops.convert_to_numpy(chunk)[:, : stop - start])
    return np.concatenate(found, axis=1)


def all_ablated(scores: Callable, inputs, activations, channels: int, classes) -> np.ndarray:
    """`(B, K)` scores without each channel, by the compiled `scores`."""
    found = []
    for start, stop, width in in_chunks(channels, classes.shape[0]):
        keep = np.ones((width, channels), "float32")
        keep[np.arange(stop - start), np.arange(start, stop)] = 0
        chunk = scores(inputs, activations, ops.convert_to_tensor(keep), classes)
        found.append(ops.convert_to_numpy(chunk)[:, : stop - start])
    return np.concatenate(found, axis=1)
