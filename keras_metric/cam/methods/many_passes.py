"""Evidence that takes many passes: compiled once, and called in a loop over channels or masks.

Each collector is a function of a runner, the inputs, the activations and scores of a first pass,
and what is explained; it gives one `Evidence` for each map.
"""

from typing import NamedTuple

import keras
import numpy as np
from keras import ops

from keras_metric.cam.methods import attribution, perturbation
from keras_metric.cam.methods.table import Evidence
from keras_metric.cam.plan import flattened


class Options(NamedTuple):
    """How thoroughly a method of many passes looks; None is the method's own way."""

    steps: int
    samples: int | None
    window: int | None
    seed: int


def _channel_masks(runner, inputs, met, value, score):
    for number, flat in enumerate(flattened(runner.plan, met)):
        function = runner.compiled(
            ("masks", number, score.key),
            perturbation.masked_scores(runner.plan, number, score.function),
        )
        found = perturbation.all_masked(function, inputs, flat, score.arrays)
        yield Evidence(flat, value, masked_scores=ops.convert_to_tensor(found))


def _ablations(runner, inputs, met, value, score):
    for number, flat in enumerate(flattened(runner.plan, met)):
        function = runner.compiled(
            ("ablations", number, score.key),
            perturbation.ablated_scores(runner.plan, number, score.function),
        )
        found = perturbation.all_ablated(function, inputs, met, flat.shape[-1], score.arrays)
        yield Evidence(flat, value, ablated_scores=ops.convert_to_tensor(found))


def _path(runner, inputs, met, value, score):
    def gradients(x, fraction, *arrays):
        bound = score.at_other_inputs(runner.plan, x, arrays)
        parts = attribution.pixel_evidence(runner.plan, x, bound, fraction)[1]
        return [evidence.gradients for evidence in parts]

    function = runner.compiled(("path", score.key), gradients)
    found = attribution.path_gradients(
        lambda fraction: function(inputs, fraction, *score.arrays), runner.options.steps
    )
    tensors = keras.tree.map_structure(ops.convert_to_tensor, inputs)
    for flat, mean in zip(attribution.flat_images(runner.plan, tensors), found, strict=True):
        yield Evidence(flat, value, gradients=ops.convert_to_tensor(mean))


def _masked_images(runner, inputs, met, value, score):
    for number, size in enumerate(runner.plan.sizes):
        masks = _masks(runner, size)
        shown = 1 - masks if runner.method.needs == "occlusions" else masks
        function = runner.compiled(
            ("shown", number, score.key),
            attribution.scores_of_masked(runner.plan, number, score.function),
        )
        found = attribution.all_scores(function, inputs, shown, score.arrays)
        yield Evidence(
            None,
            value,
            masked_scores=ops.convert_to_tensor(found),
            masks=ops.convert_to_tensor(masks),
        )


def _masks(runner, size: tuple[int, ...]) -> np.ndarray:
    if runner.method.needs == "random masks":
        count = runner.options.samples or attribution.SAMPLES
        return attribution.random_masks(size, count, runner.options.seed)
    sides = [runner.options.window or -(-length // 8) for length in size]
    return attribution.windows(size, tuple(sides), tuple(-(-side // 2) for side in sides))


COLLECT = {
    "masks": _channel_masks,
    "ablations": _ablations,
    "path": _path,
    "occlusions": _masked_images,
    "random masks": _masked_images,
}
