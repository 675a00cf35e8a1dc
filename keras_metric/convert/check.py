"""Does the converted model compute what the original computes, at the original size?"""

import keras
import numpy as np
from keras import ops, tree

from keras_metric.convert.convert import Conversion
from keras_metric.convert.errors import ConversionError

TOLERANCE = {"float64": 1e-5, "float32": 1e-5, "float16": 2e-2, "bfloat16": 1e-1}


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

    return tree.map_structure(make, model._inputs_struct)


def outputs(model: keras.Model, images) -> list[np.ndarray]:
    return [ops.convert_to_numpy(y).astype("float64") for y in tree.flatten(model(images))]


def difference(found: np.ndarray, expected: np.ndarray) -> float:
    """max |found - expected| in standard deviations of `expected`.

    A standard deviation below a tenth of the largest value counts as that tenth: below it, the
    rounding of float32 alone is larger.
    """
    return float(np.abs(found - expected).max(initial=0)) / unit(expected)


def unit(expected: np.ndarray) -> float:
    """The standard deviation that differences are measured in."""
    return max(float(expected.std()), 0.1 * float(np.abs(expected).max(initial=0)), 1e-30)


def first_cell(y: np.ndarray, expected: np.ndarray, record: Conversion, index: int, first: bool):
    """What the converted output says of the original image, in the original's shape."""
    if y.shape == expected.shape:
        return y
    axes = tuple(range(2, y.ndim)) if first else tuple(range(1, y.ndim - 1))
    if record.pooling == "map":
        y = y.mean(axis=axes)
        tail = record.tails[index]
        y = y.reshape(len(y), *expected.shape[1:]).astype("float32")
        return y if tail is None else ops.convert_to_numpy(tail(ops.convert_to_tensor(y)))
    window = [slice(None)] * y.ndim
    for axis in axes:
        window[axis] = 0
    return y[tuple(window)].reshape(expected.shape)


def same_at_original_size(
    model: keras.Model, fcn: keras.Model, record: Conversion, *, limit: float | None = None
) -> float:
    """The largest difference over all outputs; raises ConversionError above `limit`.

    On noise around 0 or of 0 to 255, whichever the model tells apart better. The other one is in a
    range it was not made for, where rounding weighs more: it may differ by a hundred limits.
    """
    limit = tolerance(model) if limit is None else limit
    answers = [_answers(model, fcn, record, scale) for scale in (1.0, 255.0)]
    worst = 0.0
    for i, pairs in enumerate(zip(*answers, strict=True)):
        finite = [(found, expected) for found, expected in pairs if np.isfinite(expected).all()]
        if not finite:
            raise ConversionError(
                f"{model.name!r} cannot be checked. Expected finite outputs on random images. "
                "Received: NaN or infinity."
            )
        finite.sort(key=lambda pair: -spread(pair[1]))
        differences = [difference(found, expected) for found, expected in finite]
        for here, most in zip(differences, (limit, 100 * limit), strict=False):
            if not here <= most:
                raise ConversionError(
                    f"Output {i} of {model.name!r} changed in the conversion, at the original "
                    f"size. Expected a difference of at most {most:.1g} of the output's standard "
                    f"deviation. Received: {here:.3g}. The rewrite was:\n{record}"
                )
        worst = max(worst, differences[0])
    return worst


def _answers(model, fcn, record: Conversion, scale: float) -> list[tuple[np.ndarray, np.ndarray]]:
    """What the network and the model say of random images, output by output."""
    images = random_images(fcn, list(record.windows), scale=scale)
    pairs = zip(outputs(fcn, images), outputs(model, images), strict=True)
    first = record.channels_first
    return [(first_cell(f, e, record, i, first), e) for i, (f, e) in enumerate(pairs)]


def spread(expected: np.ndarray) -> float:
    """How far the outputs of different images lie apart, as a share of the largest."""
    if not np.isfinite(expected).all():
        return -1.0
    apart = np.asarray(expected).std(axis=0).max(initial=0)
    return float(apart / max(np.abs(expected).max(initial=0), 1e-30))


def runs_larger(fcn: keras.Model, record: Conversion) -> None:
    """One pass over a larger image: what only shows there is found before the model is used."""
    sizes = [
        tuple(n + 2 * s - 1 for n, s in zip(window, record.stride, strict=True))
        for window in record.windows
    ]
    try:
        outputs(fcn, random_images(fcn, sizes))
    except Exception as error:  # every layer has its own way to refuse a shape
        raise ConversionError(
            f"{fcn.name!r} does not run on an image larger than at training. Expected layers that "
            f"read maps of one stride and of free size. Received: {_core(error)}"
        ) from error


def _core(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2])
