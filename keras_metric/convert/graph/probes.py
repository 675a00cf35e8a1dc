"""Properties of a layer, measured by running it: does it treat all positions equally, is it affine?

What a layer of unknown type does is measured on small random arrays, never guessed from its name.
Every probe runs the original layer in inference mode and leaves it unchanged.
"""

from collections.abc import Callable

import numpy as np
from keras import ops

from keras_metric.convert.graph.site import Cells, Grid, Value, run_once
from keras_metric.convert.graph.trace import Step


def treats_positions_alike(step: Step, values: list[Value]) -> bool:
    """On a feature map: cropping, then the layer, is the layer, then cropping.

    On numbers around 0 and on those of pixels, 0 to 255: some layers do nothing to the one or the
    other.
    """
    try:
        return all(_crops_alike(step, values, scale) for scale in (1, 60))
    except Exception:  # any layer may refuse another size in its own way: then it is not alike
        return False


def _crops_alike(step: Step, values: list[Value], scale: float) -> bool:
    grid = next(v.layout for v in values if isinstance(v.layout, Grid))
    small, large = (3, 4, 2)[: len(grid.size)], (4, 6, 3)[: len(grid.size)]
    images = {id(v): _noise(v, _spatial(v, large), seed, scale) for seed, v in enumerate(values)}

    def cropped(value, start):
        if not isinstance(value.layout, Grid):
            return images[id(value)]
        return _crop(images[id(value)], value.layout.axes, start, small)

    whole = run_once(step, lambda v: images[id(v)])
    for start in ((0, 0, 0), (1, 2, 1)):
        part = run_once(step, lambda v, start=start: cropped(v, start))
        pairs = zip(whole, part, strict=True)
        if not all(
            w.ndim == len(large) + 2 and close(_crop(w, grid.axes, start, small), p)
            for w, p in pairs
        ):
            return False
    return True


def runs_on_cells(step: Step, values: list[Value], rank: int) -> bool:
    """On vectors: running over a map of them is running on each."""
    rows = (1, 2, 2, 3)[-(rank + 1) :]
    count = int(np.prod(rows))
    vectors = {id(v): _noise(v, (count, *v.inner), seed) for seed, v in enumerate(values)}

    def as_map(value):
        return vectors[id(value)].reshape(*rows, value.width)

    try:
        each = run_once(step, lambda v: vectors[id(v)])
        mapped = run_once(step, as_map)
        return all(close(e.reshape(*rows, -1), m) for e, m in zip(each, mapped, strict=True))
    except Exception:  # as above
        return False


def is_elementwise(step: Step, value: Value) -> bool:
    """Reordering the elements, then the layer, is the layer, then reordering; and none looks at
    another, as those of a norm over the vector do.
    """
    x, y = (_noise(value, (2, *value.inner), seed) for seed in (0, 2))
    kept = np.random.default_rng(3).random(x.shape) < 0.5
    order = np.random.default_rng(1).permutation(value.width)

    def reordered(a):
        return a.reshape(2, -1)[:, order].reshape(x.shape)

    try:
        asked = (x, reordered(x), np.where(kept, x, y))
        plain, mixed, other = (run_once(step, lambda _, a=a: a)[0] for a in asked)
        alone = plain.shape == x.shape and close(plain[kept], other[kept])
        return alone and close(reordered(plain), mixed)
    except Exception:  # as above
        return False


def is_affine(step: Step, values: list[Value]) -> bool:
    """f((a + b) / 2) = (f(a) + f(b)) / 2, so the mean over positions may be taken afterwards."""

    def run(pick: Callable) -> list[np.ndarray]:
        noise = {
            id(v): [_noise(v, (4, *v.inner), (i, k)) for k in (0, 1)] for i, v in enumerate(values)
        }
        moving = {id(v) for v in values if isinstance(v.layout, Cells)}
        return run_once(step, lambda v: pick(*noise[id(v)]) if id(v) in moving else noise[id(v)][0])

    middle = run(lambda a, b: (a + b) / 2)
    ends = zip(run(lambda a, b: a), run(lambda a, b: b), strict=True)
    return all(close(m, (a + b) / 2) for m, (a, b) in zip(middle, ends, strict=True))


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal where they are finite, which is at the same places: a logarithm has no others."""
    if a.shape != b.shape:
        return False
    loose = a.dtype.itemsize < 4 or a.dtype.name == "bfloat16"
    a, b = a.astype("float64"), b.astype("float64")
    known = np.isfinite(a)
    if not known.any() or not np.array_equal(known, np.isfinite(b)):
        return False
    a, b = a[known], b[known]
    return bool(np.abs(a - b).max() <= (3e-2 if loose else 1e-4) * (1 + np.abs(b).max()))


def _noise(value: Value, shape, seed, scale: float = 1) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal(shape)
    noise = noise if scale == 1 else np.abs(noise) * scale
    kind = value.reference.dtype
    if kind == "bool":
        return noise > 0
    return (
        (noise * 9).astype("int32")
        if "int" in kind
        else ops.convert_to_numpy(ops.cast(noise, kind))
    )


def _spatial(value: Value, size) -> tuple[int, ...]:
    if not isinstance(value.layout, Grid):
        return (1, *value.inner)
    channels = (value.layout.channels,)
    return (1, *channels, *size) if value.layout.channels_first else (1, *size, *channels)


def _crop(x: np.ndarray, axes, start, size) -> np.ndarray:
    window = [slice(None)] * x.ndim
    for axis, first, length in zip(axes, start, size, strict=False):
        window[axis] = slice(first, first + length)
    return x[tuple(window)]
