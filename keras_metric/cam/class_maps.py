"""`CAM`: class activation maps; built once for a model, called on batches."""

from functools import partial
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_metric.arguments import whole
from keras_metric.cam import rendering
from keras_metric.cam.methods import smoothing
from keras_metric.cam.methods import table as methods
from keras_metric.cam.methods.completeness import Completeness, completeness
from keras_metric.cam.methods.conservation import first_tokens
from keras_metric.cam.network.cache import Cache
from keras_metric.cam.network.examples import check_fits, check_model, example_inputs, signature
from keras_metric.cam.network.layers import find_layer, image_itself
from keras_metric.cam.plan import plan
from keras_metric.cam.runs import EVERYTHING, MAPS, RAW, Options, Result, Runner
from keras_metric.cam.targets import classes as class_choice
from keras_metric.cam.targets.logits import kind_of_scores, look_through
from keras_metric.cam.targets.targets import Target, as_target

_SIZES_HELD = 8
SAMPLES = 8  # noisy copies
_FIND = dict.fromkeys(methods.OF_THE_IMAGE, image_itself) | {"relevance": first_tokens}


class Explanation(NamedTuple):
    """Maps with the classes and scores that they explain.

    maps: `(B, H, W)` in the image's size; with several classes `(B, M, H, W)`.
    raw: `(B, h, w)` or `(B, M, h, w)`: in the layer's resolution, before ReLU and normalization.
    classes, scores: `(B,)` or `(B, M)`; scores are before softmax. With a target, the scores are
        those of the target and the classes each image's best.
    layer: the name of the mapped layer; "input" for methods that map the image itself.

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
    before a final softmax, sigmoid or scaling to unit length; the model is never changed. The axes
    of height and width are measured. Everything is compiled once per input shape; calls are
    thread-safe. An image with NaN has a map of NaN; the other images of the batch are unaffected.

    Args:
        model: any Keras model: functional, sequential, subclassed, nested, siamese.
        method: a name in `METHODS`.
        layer: the layer to map, or its name; by default the last spatial activation from which the
            whole output is computed ("attnlrp": the last before any attention). `layer_name` is
            its name.
        output: which of several outputs to explain, by key or number.
        relu: keep only evidence for the class.
        normalize: "minmax" (each map from 0 to 1), "max" (signs kept), or "none" (magnitudes that
            can be compared between images).
        smooth: None (the method's default), "noise" (mean over `samples` noisy copies) or "flips".
        samples: the number of noisy copies (default: 8), or of random masks (512).
        noise: the noise's standard deviation as a share of each image's range.
        steps: number of points on the path of integrated gradients.
        window: side of the windows of occlusion in pixels; an eighth of each side of the image by
            default. Windows overlap by half.
        seed: of noise and random masks.

    Raises:
        ValueError: unknown option; no layer to map; or the head is not linear over positions and
            the method is "cam" (the message names the layer and another method).

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
        samples: int | None = None,
        noise: float = 0.1,
        steps: int = 32,
        window: int | None = None,
        seed: int = 0,
    ):
        check_model(model)
        rendering.check(normalize)
        smoothing.check(smooth, 1 if samples is None else samples, noise)
        whole("steps", steps)
        whole("window", 1 if window is None else window)
        self.model = model
        self.method = methods.find(method)
        self._layer = layer
        self._output = output
        self._render = partial(rendering.rendered, relu=relu, normalize=normalize)
        self._smooth = smooth or self.method.smooth
        self._versions = {"samples": samples or SAMPLES, "noise": noise, "seed": seed}
        self._options = Options(steps, samples, window, seed)
        self._runners = Cache(_SIZES_HELD)
        examples = example_inputs(model)
        if examples is not None:
            self._runner(examples)

    def __call__(self, images, classes=None, *, raw: bool = False):
        """Maps `(B, H, W)` in the image's size, float32.

        Args:
            images: what the model takes: `(B, H, W, C)`, or a list or dict of inputs.
            classes: None (each image's best class), an int, B ints (one an image), `(B, M)` ints,
                "all", "top3" and the like, an object of `keras_metric.cam.targets`, or a function
                `output -> (B,)` of the model's output before softmax. `(B, M)`, "all" and "top"
                give `(B, M, H, W)`.
            raw: maps in the layer's resolution, before ReLU and normalization.
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
        """Score, sum of the map, and their difference, for methods whose maps have a defined sum.

        Raises:
            ValueError: the method's maps have no defined sum.
        """
        inputs = rendering.standard_inputs(images)
        runner = self._runner(inputs)
        target = as_target(classes)
        numbers, _ = self._numbers(runner, inputs, None if target else classes)
        return completeness(runner, inputs, numbers, target)

    def tensors(self, images, classes):
        """Maps `(B, M, H, W)` as tensors, for use inside a graph, as in an exported signature.

        Args:
            images: tensors of a shape with which this object was called, or the model's static
                shape.
            classes: int32 `(B, M)`, -1 for each image's best class; M is 1 except for "cam".
        """
        maps = self._runner(images).tensors(images, classes)
        return maps[0] if len(maps) == 1 else tuple(maps)

    @property
    def layer(self) -> keras.Layer | None:
        """The mapped layer, None for methods that map the image itself.

        Known before the first call if the model has a fixed input shape.
        """
        return self._known().plan.mapped.layer

    @property
    def layer_name(self) -> str:
        return self.layer.name if self.layer is not None else "input"

    @property
    def kind(self) -> str:
        """What the outputs are: "class" after softmax or sigmoid, "dimension" of an embedding
        scaled to unit length, else "output".
        """
        return kind_of_scores(self._known().plan.patches)

    def _known(self) -> Runner:
        runner = self._runners.oldest()
        if runner is None:
            raise ValueError(
                f"Model {self.model.name!r} has no fixed input shape. Expected: a call on images "
                "before its layer is asked for. Received: none yet."
            )
        return runner

    def _runner(self, inputs) -> Runner:
        def build():
            check_fits(self.model, inputs)
            find = _FIND.get(self.method.needs, find_layer)
            found = plan(self.model, inputs, self._layer, self._output, look_through, find)
            return Runner(found, self.method, self._render, self._options, inputs)

        return self._runners.get(signature(inputs), build)

    def _run(self, images, classes, wanted) -> tuple[Result, bool]:
        inputs = rendering.standard_inputs(images)
        runner = self._runner(inputs)
        target = as_target(classes)
        numbers, several = self._numbers(runner, inputs, None if target else classes)
        if self._smooth is None:
            result = runner.run(inputs, numbers, target=target, wanted=wanted)
        else:
            result = self._smoothed(runner, inputs, numbers, target)
        return _undefined_where_inputs_are(result, inputs), several

    def _numbers(self, runner: Runner, inputs, classes):
        batch = keras.tree.flatten(inputs)[0].shape[0]
        scores = partial(runner.scores, inputs)
        return class_choice.wanted(classes, batch, runner.plan.classes, scores)

    def _smoothed(self, runner: Runner, inputs, numbers, target: Target | None) -> Result:
        clean = runner.run(inputs, numbers, target=target, wanted=RAW)
        mean = smoothing.smoothed(
            lambda x: runner.run(x, clean.classes, target=target, wanted=RAW).raw,
            inputs,
            runner.plan.mapped.images,
            self._smooth,
            **self._versions,
        )
        maps = [
            ops.convert_to_numpy(self._render(ops.convert_to_tensor(m), size))
            for m, size in zip(mean, runner.plan.sizes, strict=True)
        ]
        return clean._replace(raw=mean, maps=maps)


def _undefined_where_inputs_are(result: Result, inputs) -> Result:
    """NaN for maps and scores of images that are not finite: TensorFlow's ReLU makes 0 of NaN."""
    undefined = ~np.logical_and.reduce([_are_finite(x) for x in keras.tree.flatten(inputs)])
    if not undefined.any():
        return result

    def marked(values):
        values = np.array(values)
        values[undefined] = np.nan
        return values

    maps = {name: getattr(result, name) for name in ("raw", "maps")}
    maps = {name: None if of is None else list(map(marked, of)) for name, of in maps.items()}
    scores = None if result.scores is None else marked(result.scores)
    return result._replace(**maps, scores=scores)


def _are_finite(x) -> np.ndarray:
    """(B,) bool: whether every number of a sample is finite."""
    x = ops.convert_to_numpy(x)
    return np.isfinite(x).reshape(len(x), -1).all(1)


def _shaped(maps: list, several: bool):
    maps = [m if several else m[:, 0] for m in maps]
    return maps[0] if len(maps) == 1 else tuple(maps)
