"""Is the converted model equal to the original at the training size?"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np
from keras import ops, tree

from keras_metric.convert.errors import ConversionError
from keras_metric.convert.graph.site import Conversion
from keras_metric.convert.graph.trace import input_structure

TOLERANCE = {"float64": 1e-5, "float32": 1e-5, "float16": 2e-2, "bfloat16": 1e-1}
DULL = 1e-7  # spread of an output that does not depend on the image


def tolerance(model: keras.Model) -> float:
    """Largest difference allowed, in standard deviations of the output.

    1e-5 in float32, more in half precision; and never less than this machine's own matrix
    products need (some GPUs shorten float32 inside a convolution).
    """
    kinds = {layer.compute_dtype for layer in model._flatten_layers()} - {None}
    wanted = max((TOLERANCE.get(kind, 1e-5) for kind in kinds), default=1e-5)
    a, b = np.random.default_rng(0).standard_normal((2, 64, 64))
    product = ops.convert_to_numpy(ops.matmul(a.astype("float32"), b.astype("float32")))
    return max(wanted, 20 * float(np.abs(product - a @ b).max() / (a @ b).std()))


def random_images(model: keras.Model, sizes: list[tuple], *, seed: int = 0, scale=1.0):
    """A batch of two for every input: `sizes` for image inputs in turn, noise for the others."""
    rng, sizes = np.random.default_rng(seed), iter(sizes)

    def make(x):
        shape = tuple(x.shape[1:])
        if len(shape) >= 2 and None in shape:
            size = iter(next(sizes))
            shape = tuple(next(size) if d is None else d for d in shape)
        noise = rng.standard_normal((2, *shape)) if scale == 1 else rng.random((2, *shape)) * scale
        if "int" in x.dtype:
            noise = np.abs(noise * (100 if scale == 1 else 1)).clip(0, 255)
        return noise.astype("float32" if "float" in x.dtype else x.dtype)

    return tree.map_structure(make, input_structure(model))


def outputs(model: keras.Model, images) -> list[np.ndarray]:
    return [
        ops.convert_to_numpy(y).astype("float64")
        for y in tree.flatten(model(images, training=False))
    ]


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """max |found - expected| in standard deviations of `expected`.

    A standard deviation below a tenth of the largest value counts as that tenth: below it, the
    rounding of float32 alone is larger.
    """
    return float(np.abs(found - expected).max(initial=0)) / unit(expected)


def unit(expected: np.ndarray) -> float:
    """The standard deviation that differences are measured in."""
    if not expected.size:
        return 1e-30
    return max(float(expected.std()), 0.1 * float(np.abs(expected).max(initial=0)), 1e-30)


def first_cell(y: np.ndarray, expected: np.ndarray, record: Conversion, index: int, first: bool):
    """What the converted output says of the original image, in the original's shape."""
    if y.shape == expected.shape:
        return y
    axes = tuple(range(2, y.ndim)) if first else tuple(range(1, y.ndim - 1))
    if record.pooling == "map":
        y = y.mean(axis=axes)
        tail = record.dropped_activations[index]
        y = y.reshape(len(y), *expected.shape[1:]).astype("float32")
        return y if tail is None else ops.convert_to_numpy(tail(ops.convert_to_tensor(y)))
    window = [slice(None)] * y.ndim
    for axis in axes:
        window[axis] = 0
    return y[tuple(window)].reshape(expected.shape)


def same_at_original_size(
    model: keras.Model, fcn: keras.Model, record: Conversion, *, limit: float | None = None
) -> tuple[str, ...]:
    """Notes on the check; raises ConversionError if `at_original_size` finds more than allowed."""
    found, allowed, dull = at_original_size(model, fcn, record, limit=limit)
    if not found <= allowed:
        raise ConversionError(
            f"The outputs of {model.name!r} changed in the conversion, at the original size. "
            f"Expected: a difference of at most {allowed:.1g} of the output's standard deviation. "
            f"Received: {found:.3g}. The rewrite was:\n{record}"
        )
    if not dull:
        return ()
    return (
        f"output {', '.join(map(str, dull))} is the same for all random images, so the check says "
        "little: compare on images of your own.",
    )


def at_original_size(
    model: keras.Model, fcn: keras.Model, record: Conversion, *, limit: float | None = None
) -> tuple[float, float, list[int]]:
    """The largest difference of an output, in its standard deviations, and what is allowed.

    The third are the outputs that are the same for all images, which no check tells from a wrong
    one.

    On noise around 0 or of 0 to 255, whichever the model tells apart better. The other one is in a
    range it was not made for, where rounding weighs more: it may differ by a hundred limits.
    Without a `limit` it is `tolerance(model)`, or what rounding alone moves this network by.
    """
    answers = [_answers(model, fcn, record, scale) for scale in (1.0, 255.0)]
    most = tolerance(model) if limit is None else limit
    judged, dull = [], []
    for pair in zip(*answers, strict=True):
        finite = [answer for answer in pair if np.isfinite(answer.expected).all()]
        if not finite:
            raise ConversionError(
                f"{model.name!r} cannot be checked. Expected: finite outputs on random images. "
                "Received: NaN or infinity."
            )
        finite.sort(key=lambda answer: -spread(answer.expected))
        if spread(finite[0].expected) < DULL:
            dull.append(finite[0].index)
        steps = zip(finite, (most, 100 * most), strict=False)
        judged.append([(a.difference, _allowed(fcn, a, bar, limit is None)) for a, bar in steps])
    wrong = [one for results in judged for one in results if not one[0] <= one[1]]
    return (*(wrong[0] if wrong else max(results[0] for results in judged)), dull)


def _allowed(fcn, answer: "_Answer", limit: float, rounding: bool) -> float:
    if not rounding or answer.difference <= limit:
        return limit
    return with_rounding(limit, fcn, answer.images, answer.read, answer.expected)


def with_rounding(limit: float, fcn: keras.Model, images, read, expected: np.ndarray) -> float:
    """The limit, or what rounding moves this network by if that is more, up to 100 limits."""
    return min(max(limit, rounding(fcn, images, read) / unit(expected)), 100 * limit)


@dataclass(frozen=True)
class _Answer:
    """One output on random images, and `read`, which takes it from all outputs of the network."""

    images: Any
    index: int
    read: Callable[[list], np.ndarray]
    found: np.ndarray
    expected: np.ndarray

    @property
    def difference(self) -> float:
        return difference(self.found, self.expected)


def _answers(model, fcn, record: Conversion, scale: float) -> list[_Answer]:
    """What the network and the model say of random images, output by output."""
    images = random_images(fcn, list(record.windows), scale=scale)
    found, answers = outputs(fcn, images), []
    for i, expected in enumerate(_of_original(model, images)):

        def read(ys, i=i, expected=expected):
            return first_cell(ys[i], expected, record, i, record.channels_first)

        answers.append(_Answer(images, i, read, read(found), expected))
    return answers


def _of_original(model, images) -> list[np.ndarray]:
    try:
        return outputs(model, images)
    except Exception as error:  # whatever its layers raise
        raise ConversionError(
            f"{model.name!r} does not run on random images of its training size. Expected: a model "
            f"that runs in inference. Received: {_core(error)}"
        ) from error


def spread(expected: np.ndarray) -> float:
    """How far the outputs of different images lie apart, as a share of the largest."""
    if not np.isfinite(expected).all():
        return -1.0
    apart = np.asarray(expected).std(axis=0).max(initial=0)
    return float(apart / max(np.abs(expected).max(initial=0), 1e-30))


def runs_larger(fcn: keras.Model, record: Conversion) -> tuple[str, ...]:
    """One pass over a larger image: what only shows there is found before the model is used.

    A network whose branches are padded by the parity of their maps runs on sizes that keep it:
    that is a note.
    """
    error = _failure(fcn, [_larger(w, [2 * s - 1 for s in record.stride]) for w in record.windows])
    if error is None:
        return ()
    if max(record.stride) > 1:
        sizes = [_larger(window, record.stride) for window in record.windows]
        if _failure(fcn, sizes) is None:
            steps = " x ".join(map(str, record.stride))
            return (f"runs on images of the training size and multiples of {steps} more only.",)
    raise ConversionError(
        f"{fcn.name!r} does not run on an image larger than at training. Expected: layers that "
        f"read maps of one stride and of free size. Received: {_core(error)}"
    ) from error


def _larger(window, by) -> tuple[int, ...]:
    return tuple(n + more for n, more in zip(window, by, strict=True))


def _failure(fcn: keras.Model, sizes) -> Exception | None:
    try:
        outputs(fcn, random_images(fcn, sizes))
    except Exception as error:  # every layer has its own way to refuse a shape
        return error
    return None


def _core(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])


DRAWS = 4
SAFETY = 10.0
LONGEST = 2**15


def rounding(fcn: keras.Model, images, read: Callable[[list], np.ndarray]) -> float:
    """Largest change of `read(outputs)` that may be rounding, in the unit of the outputs.

    Ten times the largest of four draws: of 800 measurements on 400 networks none differed by nine
    times one draw from its conversion.
    """
    rng, error = np.random.default_rng(0), _error_of_sums(_longest_sum(fcn))
    exact = read(_outputs(fcn, images, lambda w: w))
    moved = [
        np.abs(read(_outputs(fcn, images, lambda w: _off(w, error, rng))) - exact).max(initial=0)
        for _ in range(DRAWS)
    ]
    return SAFETY * float(max(moved))


def _outputs(fcn: keras.Model, images, change: Callable) -> list[np.ndarray]:
    """With every variable changed on the way: the network itself is left alone."""
    variables = [
        [change(v.value) for v in group]
        for group in (fcn.trainable_variables, fcn.non_trainable_variables)
    ]
    found, _ = fcn.stateless_call(*variables, images, training=False)
    return [ops.convert_to_numpy(y).astype("float64") for y in tree.flatten(found)]


def _off(weight, error: float, rng):
    kind = keras.backend.standardize_dtype(weight.dtype)
    if "float" not in kind:
        return weight
    factor = 1 + error * rng.standard_normal(tuple(weight.shape))
    return weight * ops.convert_to_tensor(factor, kind)


def _longest_sum(fcn: keras.Model) -> int:
    sums = [int(np.prod(w.shape[:-1])) for w in fcn.weights if len(w.shape) > 1]
    return min(max(sums, default=1), LONGEST)


def _error_of_sums(terms: int) -> float:
    """Of random products on this machine, as a share of the standard deviation of the sums."""
    rng = np.random.default_rng(0)
    a, b = rng.standard_normal((2, 64, terms)).astype("float32")
    found = ops.convert_to_numpy(ops.matmul(a, b.T)).astype("float64")
    exact = a.astype("float64") @ b.T.astype("float64")
    return float((found - exact).std() / exact.std())
