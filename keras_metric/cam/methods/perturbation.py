"""Scores of changed inputs: the image under each channel's mask, the head without each channel.

Both go through the channels in chunks of one shape, so that one compiled graph serves them all and
memory stays at about `ROWS` images.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_metric.cam.network.hooks import forward, replacing
from keras_metric.cam.plan import Plan
from keras_metric.cam.rendering import EPSILON, resized

ROWS = 32


def repeated(tensors, count: int):
    """Every row `count` times in a row."""
    return keras.tree.map_structure(lambda x: ops.repeat(x, count, axis=0), tensors)


def masked_scores(plan: Plan, number: int, score: Callable) -> Callable:
    """`(inputs, channels (B, N, c), arrays) -> (B, c)`: one mask at a time on the image.

    A mask is a channel at the image's size, min-max scaled; `score(outputs, arrays) -> (B,)`.
    """
    grid, image = plan.mapped.positions[number], plan.mapped.images[number]
    axes = tuple(range(-len(image.size), 0))

    def scores(inputs, channels, *arrays):
        masks = resized(grid.maps(ops.swapaxes(channels, 1, 2)), image.size)
        masks = masks - ops.min(masks, axis=axes, keepdims=True)
        masks = masks / (ops.max(masks, axis=axes, keepdims=True) + EPSILON)
        count = ops.shape(channels)[-1]
        flat = keras.tree.flatten(repeated(inputs, count))
        pixels = flat[image.number]
        flat[image.number] = pixels * ops.cast(image.over(masks, pixels), pixels.dtype)
        outputs = forward(plan.model, keras.tree.pack_sequence_as(inputs, flat), plan.patches)
        return ops.reshape(score(outputs, repeated(list(arrays), count)), (-1, count))

    return scores


def ablated_scores(plan: Plan, number: int, score: Callable) -> Callable:
    """`(inputs, activations, keep (c, K), arrays) -> (B, c)`: c versions of one activation.

    The activations are held, so only the head is computed (on torch, where nothing is pruned, the
    whole model).
    """
    layout = plan.mapped.positions[number]

    def scores(inputs, activations, keep, *arrays):
        count = ops.shape(keep)[0]
        held = repeated(list(activations), count)
        flat = layout.flatten(activations[number])[:, None] * keep[None, :, None, :]
        flat = ops.reshape(flat, (-1, *flat.shape[2:]))
        held[number] = layout.restore(flat, held[number])
        hooks = replacing(plan.mapped.layer, lambda _, i: held[i], plan.mapped.which)
        outputs = forward(plan.model, repeated(inputs, count), [*plan.patches, *hooks])
        return ops.reshape(score(outputs, repeated(list(arrays), count)), (-1, count))

    return scores


def in_chunks(channels: int, batch: int):
    """`(start, stop, width)` triples that cover the channels; every chunk has the same width."""
    width = max(1, min(channels, ROWS // batch))
    return [(i, min(i + width, channels), width) for i in range(0, channels, width)]


def all_masked(scores: Callable, inputs, activations, arrays) -> np.ndarray:
    """`(B, K)` scores under each channel of `(B, N, K)`, by the compiled `scores`."""
    batch, _, channels = activations.shape
    activations = ops.convert_to_numpy(activations)
    found = []
    for start, stop, width in in_chunks(channels, batch):
        part = np.zeros((batch, activations.shape[1], width), "float32")
        part[..., : stop - start] = activations[..., start:stop]
        chunk = scores(inputs, ops.convert_to_tensor(part), *arrays)
        found.append(ops.convert_to_numpy(chunk)[:, : stop - start])
    return np.concatenate(found, axis=1)


def all_ablated(scores: Callable, inputs, activations, channels: int, arrays) -> np.ndarray:
    """`(B, K)` scores without each channel, by the compiled `scores`."""
    found = []
    for start, stop, width in in_chunks(channels, keras.tree.flatten(inputs)[0].shape[0]):
        keep = np.ones((width, channels), "float32")
        keep[np.arange(stop - start), np.arange(start, stop)] = 0
        chunk = scores(inputs, activations, ops.convert_to_tensor(keep), *arrays)
        found.append(ops.convert_to_numpy(chunk)[:, : stop - start])
    return np.concatenate(found, axis=1)
