"""`CAM`: maps of where a model sees a class, built once and called on batches."""

from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_metric.cam import rendering
from keras_metric.cam.methods import smoothing
from keras_metric.cam.methods import table as methods
from keras_metric.cam.methods.completeness import Completeness, completeness
from keras_metric.cam.network.cache import Cache
from keras_metric.cam.network.examples import check_fits, check_model, example_inputs, signature
from keras_metric.cam.plan import plan
from keras_metric.cam.runs import EVERYTHING, MAPS, RAW, Result, Runner
from keras_metric.cam.targets import classes as class_choice
from keras_metric.cam.targets.logits import look_through_softmax

_SIZES_HELD = 8


class Explanation(NamedTuple):
    """Maps and what they are of.

    maps: `(B, H, W)` in the image's size; with several classes `(B, M, H, W)`.
    raw: `(B, h, w)` or `(B, M, h, w)`: the layer's own resolution, before ReLU and normalisation.
    classes, scores: `(B,)` or `(B, M)`; scores are before softmax.
    layer: the name of the layer mapped.

    When the layer runs several times in one pass (siamese nets), maps and raw are tuples, one for
    each run.
    """

    maps: Any
    raw: Any
    classes: np.ndarray
    scores: np.ndarray
    layer: str


class CAM:
    """Activation maps: where in the image a class's score comes from.

        CAM_c(p) = w_c . f(p)        mean over p of CAM_c + b_c = score_c before softmax

    `method="cam"` is that sum, exact behind global average pooling and as cheap as a forward pass.
    The other methods, `keras_metric.cam.METHODS`, take any differentiable head. Scores are taken
    before a final softmax or sigmoid; the model is never changed. Everything is compiled once for a
    shape of input; calls are thread-safe.

    Args:
        model: any Keras model: functional, sequential, subclassed, nested, siamese.
        method: a name in `METHODS`.
        layer: the layer to map, or its name; else the last activation with positions that the whole
            answer is computed from. `layer_name` tells which.
        output: which of several outputs to explain, by key or number.
        relu: keep only evidence for the class.
        normalize: "minmax" (each map from 0 to 1), "max" (signs kept), or "none" (magnitudes that
            can be compared between images).
        smooth: None, "noise" (mean over `samples` noisy copies) or "flips".
        samples: the number of noisy copies.
        noise: the noise's standard deviation as a share of each image's range.
        seed: of the noise.

    Raises:
        ValueError: unknown option; no layer to map; or the head is not linear over positions and
            the method is "cam" (the message names the layer at fault and another method).

    Zhou et al., "Learning Deep Features for Discriminative Localization", 2016. arXiv:1512.04150
    """

    def __init__(
        self,
        model: keras.Model,
        method: str = "cam",
        layer: str | keras.Layer | None = None,
        *,
        output: int | str | None = None,
        relu: bool = True,
        normalize: str = "minmax",
        smooth: str | None = None,
        samples: int = 8,
        noise: float = 0.1,
        seed: int = 0,
    ):
        check_model(model)
        rendering.check(normalize)
        smoothing.check(smooth, samples, noise)
        self.model = model
        self.method = methods.find(method)
        self._layer = layer
        self._output = output
        self._render = partial(rendering.rendered, relu=relu, normalize=normalize)
        self._smooth = smooth
        self._versions = {"samples": samples, "noise": noise, "seed": seed}
        self._runners = Cache(_SIZES_HELD)
        examples = example_inputs(model)
        if examples is not None:
            self._runner(examples)

    def __call__(self, images, classes=None, *, raw: bool = False):
        """Maps `(B, H, W)` in the image's size, float32.

        Args:
            images: what the model takes: `(B, H, W, C)`, or a list or dict of inputs.
            classes: None (each image's best class), an int, B ints (one an image), `(B, M)` ints,
                "all", "top3" and the like, or a function `answer -> (B,)` of the model's answer
                before softmax. `(B, M)`, "all" and "top" give `(B, M, H, W)`.
            raw: maps of the layer's own resolution, before ReLU and normalisation.
        """
        result, several = self._run(images, classes, RAW if raw else MAPS)
        return _shaped(result.raw if raw else result.maps, several)

    def explain(self, images, classes=None) -> Explanation:
        """Maps with raw maps, classes, scores and the layer's name; arguments as in a call."""
        result, several = self._run(images, classes, EVERYTHING)
        numbers = [result.classes, result.scores]
        return Explanation(
            _shaped(result.maps, several),
            _shaped(result.raw, several),
            *(x if several else x[:, 0] for x in numbers),
            self.layer_name,
        )

    def completeness(self, images, classes=None) -> Completeness:
        """Do the map and the bias add up to the score? Holds for methods that promise a sum.

        Raises:
            ValueError: the method's maps add up to nothing in particular.
        """
        inputs = rendering.standard_inputs(images)
        runner = self._runner(inputs)
        numbers, _ = self._numbers(runner, inputs, classes)
        return completeness(runner, inputs, numbers)

    def tensors(self, images, classes):
        """Maps `(B, M, H, W)` as tensors, for use inside a graph, as in an exported signature.

        Args:
            images: tensors of a shape this object has met, or the model's own static shape.
            classes: int32 `(B, M)`, -1 for each image's best class; M is 1 except for "cam".
        """
        maps = self._runner(images).tensors(images, classes)
        return maps[0] if len(maps) == 1 else tuple(maps)

    @property
    def layer(self) -> keras.Layer:
        """The layer mapped; known from the start when the model's input shape is."""
        runner = self._runners.oldest()
        if runner is None:
            raise ValueError(
                f"Model {self.model.name!r} has no fixed input shape. Expected a call on images "
                "before its layer is asked for. Received none yet."
            )
        return runner.plan.target.layer

    @property
    def layer_name(self) -> str:
        return self.layer.name

    def _runner(self, inputs) -> Runner:
        def build():
            check_fits(self.model, inputs)
            found = plan(self.model, inputs, self._layer, self._output, look_through_softmax)
            return Runner(found, self.method, self._render)

        return self._runners.get(signature(inputs), build)

    def _run(self, images, classes, wanted) -> tuple[Result, bool]:
        inputs = rendering.standard_inputs(images)
        runner = self._runner(inputs)
        target: Callable | None = classes if callable(classes) else None
        if target is not None and self.method.needs == "weights":
            raise ValueError(
                "method='cam' explains classes. Expected class numbers. Received a function; use "
                "'gradcam' for a function of the answer."
            )
        numbers, several = self._numbers(runner, inputs, None if target else classes)
        if self._smooth is None:
            return runner.run(inputs, numbers, target=target, wanted=wanted), several
        return self._smoothed(runner, inputs, numbers, target), several

    def _numbers(self, runner: Runner, inputs, classes):
        batch = keras.tree.flatten(inputs)[0].shape[0]
        scores = partial(runner.scores, inputs)
        return class_choice.wanted(classes, batch, runner.plan.classes, scores)

    def _smoothed(self, runner: Runner, inputs, numbers, target) -> Result:
        clean = runner.run(inputs, numbers, target=target, wanted=RAW)
        mean = smoothing.smoothed(
            lambda x: runner.run(x, clean.classes, target=target, wanted=RAW).raw,
            inputs,
            self._smooth,
            **self._versions,
        )
        maps = [
            ops.convert_to_numpy(self._render(ops.convert_to_tensor(m), size))
            for m, size in zip(mean, runner.sizes, strict=True)
        ]
        return clean._replace(raw=mean, maps=maps)


def _shaped(maps: list, several: bool):
    maps = [m if several else m[:, 0] for m in maps]
    return maps[0] if len(maps) == 1 else tuple(maps)
