"""Evidence at the image itself, for any model: gradients, their path from black, masked images.

The image `(B, H, W, C)` takes the place of the activation: N = H W positions with C channels.
"""

from collections.abc import Callable

import keras
import numpy as np
from keras import ops

from keras_metric.cam.methods.perturbation import ROWS, repeated
from keras_metric.cam.methods.table import Evidence
from keras_metric.cam.network.gradients import backward
from keras_metric.cam.network.hooks import forward
from keras_metric.cam.network.positions import Image, Positions
from keras_metric.cam.plan import Plan
from keras_metric.cam.rendering import interpolation

CELLS = 7  # of a random mask along each axis, as in the paper
SHOWN = 0.5  # the probability that a cell of a random mask is shown
SAMPLES = 512  # random masks


def flat_images(plan: Plan, inputs) -> list:
    """`(B, N, C)` of each image."""
    flat = keras.tree.flatten(inputs)
    return [_positions(i).flatten(flat[i.number]) for i in plan.mapped.images]


def _positions(image: Image) -> Positions:
    return Positions(image.size, image.axes)


def pixel_evidence(plan: Plan, inputs, score: Callable, fraction=None):
    """The outputs, and evidence of each image; with `fraction`, of the images times that."""

    def run(seize):
        flat, met = list(keras.tree.flatten(inputs)), []
        for image in plan.mapped.images:
            pixels = flat[image.number]
            scaled = pixels if fraction is None else pixels * ops.cast(fraction, pixels.dtype)
            met.append(seize(scaled))
            flat[image.number] = met[-1]
        packed = keras.tree.pack_sequence_as(inputs, flat)
        return forward(plan.model, packed, plan.patches), met

    found = backward(run, lambda outputs: ops.sum(score(outputs)))
    explained = score(found.outputs)
    gradients = [
        _positions(image).flatten(gradient)
        for image, gradient in zip(plan.mapped.images, found.gradients, strict=True)
    ]
    parts = zip(flat_images(plan, inputs), gradients, strict=True)
    return found.outputs, [Evidence(x, explained, gradients=g) for x, g in parts]


def path_gradients(function: Callable, steps: int) -> list[np.ndarray]:
    """The mean of `function(fraction)`'s gradients over fractions 0 to 1, by Gauss-Legendre."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    total: list = []
    for point, weight in zip((points + 1) / 2, weights / 2, strict=True):
        found = [
            ops.convert_to_numpy(g).astype("float64") * weight for g in function(np.float32(point))
        ]
        total = [a + b for a, b in zip(total, found, strict=True)] if total else found
    return [g.astype("float32") for g in total]


def windows(size: tuple[int, ...], window: tuple[int, ...], stride: tuple[int, ...]) -> np.ndarray:
    """`(M, N)` masks, 1 inside one window each; the last ones are cut off at the edge."""
    along = []
    for length, wide, step in zip(size, window, stride, strict=True):
        starts = np.arange(0, max(length - wide, 0) + step, step)
        places = np.arange(length)[None] - starts[:, None]
        along.append(((places >= 0) & (places < wide)).astype("float32"))
    return _products(along)


def _products(along: list[np.ndarray]) -> np.ndarray:
    masks = along[0]
    for other in along[1:]:
        masks = masks[:, None, :, None] * other[None, :, None, :]
        masks = masks.reshape(masks.shape[0] * masks.shape[1], -1)
    return masks


def random_masks(size: tuple[int, ...], count: int, seed: int) -> np.ndarray:
    """`(M, N)` shares from 0 to 1: coarse grids of shown and hidden cells, enlarged and shifted.

    Petsiuk et al. 2018, section 3.2. arXiv:1806.07421
    """
    rng = np.random.default_rng(seed)
    cells = [min(CELLS, length) for length in size]
    sides = [-(-length // n) for length, n in zip(size, cells, strict=True)]
    enlarged = [interpolation(n, (n + 1) * s) for n, s in zip(cells, sides, strict=True)]
    masks = np.empty((count, int(np.prod(size))), "float32")
    for i in range(count):
        mask = (rng.random(cells) < SHOWN).astype("float32")
        for weights, side, length in zip(enlarged, sides, size, strict=True):
            first = rng.integers(side)
            mask = np.tensordot(mask, weights[:, first : first + length], axes=(0, 0))
        masks[i] = mask.ravel()
    return masks


def scores_of_masked(plan: Plan, number: int, score: Callable) -> Callable:
    """`(inputs, masks (c, N), arrays) -> (B, c)`: scores of the image times each mask."""
    image = plan.mapped.images[number]

    def scores(inputs, masks, *arrays):
        count = ops.shape(masks)[0]
        batch = ops.shape(keras.tree.flatten(inputs)[image.number])[0]
        flat = keras.tree.flatten(repeated(inputs, count))
        pixels = flat[image.number]
        tiled = ops.reshape(ops.repeat(masks[None], batch, axis=0), (-1, masks.shape[-1]))
        flat[image.number] = pixels * ops.cast(image.over(tiled, pixels), pixels.dtype)
        outputs = forward(plan.model, keras.tree.pack_sequence_as(inputs, flat), plan.patches)
        return ops.reshape(score(outputs, repeated(list(arrays), count)), (-1, count))

    return scores


def all_scores(function: Callable, inputs, masks: np.ndarray, arrays) -> np.ndarray:
    """`(B, M)`, in chunks of one shape."""
    width = max(1, min(len(masks), ROWS // keras.tree.flatten(inputs)[0].shape[0]))
    found = []
    for start in range(0, len(masks), width):
        part = masks[start : start + width]
        padded = np.concatenate([part, np.ones((width - len(part), masks.shape[1]), "float32")])
        found.append(ops.convert_to_numpy(function(inputs, padded, *arrays))[:, : len(part)])
    return np.concatenate(found, axis=1)
