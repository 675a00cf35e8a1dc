"""What each position of a feature map has read of the image: followed layer by layer.

One axis of one map is described by three numbers: position i reads the pixels

    [offset + i * stride,  offset + i * stride + size)

A kernel of k positions, dilation d, stride s and p zeros in front of the map gives

    size + (k - 1) d stride,     stride * s,     offset - p * stride
"""

import math
from dataclasses import dataclass, replace
from fractions import Fraction

from keras_metric.convert.errors import ConversionError
from keras_metric.convert.graph import analysis


@dataclass(frozen=True)
class Field:
    size: Fraction | float = Fraction(1)
    stride: Fraction = Fraction(1)
    offset: Fraction | float = Fraction(0)

    def through(self, reach: int, stride, before: int) -> "Field":
        """After a kernel that reaches over `reach` more positions, `before` zeros in front."""
        return Field(
            self.size + reach * self.stride,
            self.stride * stride,
            self.offset - before * self.stride,
        )


WHOLE = Field(math.inf, Fraction(1), -math.inf)


def union(layer: str, a: Field, b: Field) -> Field:
    if a.stride != b.stride:
        raise ConversionError(
            f"Layer {layer!r} joins maps whose positions lie {a.stride} and {b.stride} "
            "pixels apart. Expected one stride. Received: two, so no single box describes a cell."
        )
    start, end = min(a.offset, b.offset), max(a.offset + a.size, b.offset + b.size)
    return Field(end - start if start > -math.inf else math.inf, a.stride, start)


def finer(op, fields) -> tuple[Field, ...]:
    """Positions between those of the map: the smallest box that holds what any of them reads."""
    after = []
    factors = analysis.step_stride(op, len(fields))
    kernels = each(getattr(op, "kernel_size", 1), len(fields))
    for f, factor, k in zip(fields, factors, kernels, strict=True):
        step = f.stride * factor
        if isinstance(op, analysis.UPSAMPLING):
            bilinear = getattr(op, "interpolation", "nearest") != "nearest"
            after.append(between(f, int(1 / factor)) if bilinear else repeated(f, step))
        else:
            crop = int((k - 1 / factor) // 2) if op.padding == "same" and k > 1 / factor else 0
            after.append(Field(f.size + (k - 1) * step, step, f.offset + (crop - k + 1) * step))
    return tuple(after)


def repeated(f: Field, step) -> Field:
    return Field(f.size + f.stride - step, step, f.offset - f.stride + step)


def between(f: Field, factor: int) -> Field:
    """Bilinear: the first half of a position's copies reads the one before, the second the next."""
    if factor == 1:
        return f
    step, last, first = f.stride / factor, factor // 2 - 1, (factor + 1) // 2
    return Field(
        f.size + 2 * f.stride + (last - first) * step, step, f.offset - f.stride - last * step
    )


def sliced(key, fields, first: bool) -> tuple[Field, ...]:
    key = key if isinstance(key, (tuple, list)) else (key,)
    if Ellipsis in key:
        return fields
    spatial = list(key[2 if first else 1 :])[: len(fields)]
    spatial += [slice(None)] * (len(fields) - len(spatial))
    return tuple(
        replace(f, stride=f.stride * (s.step or 1), offset=f.offset + (s.start or 0) * f.stride)
        for f, s in zip(fields, spatial, strict=True)
    )


def each(given, rank: int) -> tuple[int, ...]:
    return (given,) * rank if isinstance(given, int) else tuple(given)
