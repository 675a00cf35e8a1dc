"""The receptive field of every position of every map, followed layer by layer along each axis.

A layer whose position i reads the positions t_0(i), t_1(i), ... of the map before it, which lie
`step` apart for neighbouring i, takes the receptive field [offset + i stride, ... + size) to

    stride' = step stride
    offset' = offset + stride min over i, k of (t_k(i) - step i)
    size'   = size + stride (max - min over i, k of (t_k(i) - step i))

so a kernel of k positions, dilation d, stride s and p zeros in front gives size + (k - 1) d stride,
s stride and offset - p stride. Besides this box of one size for all positions, the pixels that each
position of an image of known size really reads are kept: `first` and `last`.
"""

import math
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from keras_metric.convert.errors import ConversionError

FAR = 2**40  # a pixel that no image has
_AROUND = {"nearest": 0, "bilinear": 1, "bicubic": 2, "lanczos3": 3, "lanczos5": 5}


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """Of all positions of one axis of a map; position i reads pixels `first[i]` to `last[i]` - 1.

    A position that reads no pixel, but zeros of a border alone, has `first` above `last`.
    """

    size: Fraction | float
    stride: Fraction
    offset: Fraction | float
    first: np.ndarray
    last: np.ndarray

    @classmethod
    def of_pixels(cls, count: int) -> "ReceptiveField":
        one, pixels = Fraction(1), np.arange(count)
        return cls(one, one, Fraction(0), pixels, pixels + 1)

    def through(self, taps: np.ndarray, step, count: int, read=True) -> "ReceptiveField":
        """After a layer of `count` positions: position i reads the positions `taps[:, i]`.

        `taps` are `(K, I)` with I at least `count` and one period of the layer; `read` is False
        where there is no such tap.
        """
        step, read = Fraction(step), np.broadcast_to(read, taps.shape)
        moved = (taps * step.denominator - np.arange(taps.shape[1]) * step.numerator)[read]
        low, high = (Fraction(int(n), step.denominator) for n in (moved.min(), moved.max()))
        taps, read = taps[:, :count], read[:, :count]
        inside = read & (taps >= 0) & (taps < len(self.first))
        at = np.where(inside, taps, 0)
        return ReceptiveField(
            self.size + (high - low) * self.stride,
            self.stride * step,
            self.offset + low * self.stride,
            np.where(inside, self.first[at], FAR).min(axis=0),
            np.where(inside, self.last[at], -FAR).max(axis=0),
        )

    def whole(self, pixels: int) -> "ReceptiveField":
        """The same positions, each of which reads the whole image."""
        first, last = np.zeros_like(self.first), np.full_like(self.last, pixels)
        return ReceptiveField(math.inf, self.stride, -math.inf, first, last)


def union(layer: str, a: ReceptiveField, b: ReceptiveField) -> ReceptiveField:
    """Of the sum of two maps."""
    if a.stride != b.stride:
        raise ConversionError(
            f"Layer {layer!r} joins maps whose positions lie {a.stride} and {b.stride} "
            "pixels apart. Expected: one stride. Received: two, so no single box describes a cell."
        )
    start, end = min(a.offset, b.offset), max(a.offset + a.size, b.offset + b.size)
    return ReceptiveField(
        end - start if start > -math.inf else math.inf,
        a.stride,
        start,
        np.minimum(a.first, b.first),
        np.maximum(a.last, b.last),
    )


def kernel_taps(count: int, kernel: int, stride: int, dilation: int, before: int) -> np.ndarray:
    """`(kernel, count)`: the positions that a kernel reads, `before` of them before the map."""
    first = np.arange(count) * stride - before
    return first[None] + np.arange(kernel)[:, None] * dilation


def transposed_taps(op, axis: int, stride: int, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Position o of a transposed convolution reads i where o + crop = i stride + k dilation.

    `(taps, read)`, both `(kernel, count)` or one period more.
    """
    kernel, dilation, _, crop = _transposed(op, axis, stride)
    o = np.arange(max(count, stride))[None] + crop - np.arange(kernel)[:, None] * dilation
    return o // stride, o % stride == 0


def _transposed(op, axis: int, stride: int) -> tuple[int, int, int, int]:
    """Kernel, dilation, reach of the kernel and the positions left out in front: as Keras pads."""
    kernel, dilation = op.kernel_size[axis], each(op.dilation_rate, axis + 1)[axis]
    reach = (kernel - 1) * dilation
    if op.padding != "same" or stride > reach:
        return kernel, dilation, reach, 0
    pad = stride + reach - 1
    if op.output_padding is not None:
        pad = reach + (reach + 1) % 2 - 1 + each(op.output_padding, axis + 1)[axis]
    return kernel, dilation, reach, reach - math.ceil(pad / 2)


def interpolation_taps(count: int, factor: int, way: str) -> np.ndarray:
    """`(K, count)`: the positions whose mean each position of an interpolated map is."""
    position, around = np.arange(count), _AROUND[way]
    if not around:
        return (position // factor)[None]
    middle = 2 * position + 1 - factor  # in parts of a position, 2 factor to each
    below = middle // (2 * factor)
    if around == 1:
        return np.stack([below, below + (middle % (2 * factor) > 0)])
    return below[None] + np.arange(1 - around, around + 1)[:, None]


def interpolation(op) -> str:
    """Of an upsampling layer; ours are bilinear, as those of one axis copy."""
    return getattr(op, "interpolation", "bilinear" if hasattr(op, "factors") else "nearest")


def overlapping(op, axis: int, factor: int) -> bool:
    """Whether positions of the map meet in one that is computed between them."""
    if hasattr(op, "kernel_size"):
        _, _, reach, crop = _transposed(op, axis, factor)
        return reach + 1 > factor or crop > 0
    return interpolation(op) != "nearest" and factor > 1


def permuted(dims, fields, first: bool):
    """Receptive fields and format after a Permute, whose `dims` count from 1."""
    channel = 1 if first else len(dims)
    positions = [d - (2 if first else 1) for d in dims if d != channel]
    return tuple(fields[p] for p in positions), dims.index(channel) == 0


def sliced(key, fields, first: bool, after) -> tuple[ReceptiveField, ...]:
    key = key if isinstance(key, (tuple, list)) else (key,)
    if Ellipsis in key:
        return fields
    spatial = list(key[2 if first else 1 :])[: len(fields)]
    spatial += [slice(None)] * (len(fields) - len(spatial))
    made = []
    for f, s, n in zip(fields, spatial, after, strict=True):
        start, _, step = s.indices(len(f.first))
        made.append(f.through(start + np.arange(n)[None] * step, step, n))
    return tuple(made)


def each(given, rank: int) -> tuple[int, ...]:
    return (given,) * rank if isinstance(given, int) else tuple(given)
