"""Dense prediction from a converted classifier: upsampled scores and fused finer maps.

    FCN-32s  upsample(fcn, 21, features="fc2")
    FCN-16s  upsample(fcn, 21, features="fc2", skips=["block4_pool"])
    FCN-8s   upsample(fcn, 21, features="fc2", skips=["block4_pool", "block3_pool"])

Every map is positioned by the centers of its receptive fields, so labels align with their pixels.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import keras
import numpy as np
from keras import layers

from keras_metric.convert.geometry.geometry import training_size
from keras_metric.convert.geometry.walk import channels_first, receptive_fields
from keras_metric.convert.rules.aligned import AddAligned, CropToImage, Stretch


@dataclass(frozen=True)
class _Placed:
    """A map, the pixel that its position 0 is centred on, and the pixels between positions."""

    tensor: object
    centre: tuple[Fraction, ...]
    stride: tuple[Fraction, ...]


def upsample(
    fcn: keras.Model,
    classes: int,
    *,
    features: str,
    skips: Sequence[str] = (),
    name: str | None = None,
) -> keras.Model:
    """A segmentation network `(B, H, W, C) -> logits (B, H, W, classes)`, trainable end to end.

    A new 1x1 convolution scores `features`; after each learned upsampling (initialized bilinear)
    the score of a finer map, initialized to zero, is added; the last upsampling is bilinear. The
    image is padded so that every pixel has a score. Weights are copied: `fcn` does not change.

    Args:
        fcn: result of `to_fully_convolutional`, two-dimensional, channels last.
        classes: number of labels.
        features: layer of `fcn` to score, usually the last one before the class scores.
        skips: layers of `fcn` to fuse, the coarsest first. FCN-16s has one, FCN-8s two.

    Raises:
        ValueError: `fcn` does not have a layer, or the skips are not ordered from coarse to fine.

    Long, Shelhamer and Darrell, 2015, section 4.2-4.3. arXiv:1411.4038.
    """
    missing = [n for n in (features, *skips) if n not in {layer.name for layer in fcn.layers}]
    if missing:
        raise ValueError(
            f"fcn has no layer {missing[0]!r}. Expected: one of "
            f"{', '.join(layer.name for layer in fcn.layers)}. Received: {missing[0]!r}."
        )
    if channels_first(fcn) or len(fcn.inputs[0].shape) != 4:
        raise ValueError(
            "Upsampling works on images with channels last. Expected: (B, H, W, C). "
            f"Received: input shape {tuple(fcn.inputs[0].shape)}."
        )
    trunk = keras.models.clone_model(fcn)
    trunk.set_weights([np.array(w) for w in fcn.get_weights()])
    taps = keras.Model(
        trunk.inputs[0], [trunk.get_layer(n).output for n in (features, *skips)], name="trunk"
    )
    places = [
        _centred(field) for field in receptive_fields(taps, training_size(fcn), gates=False)[0]
    ]
    image = keras.Input((None, None, fcn.inputs[0].shape[-1]), name="image")
    pad = [math.ceil(c) + int(s) for c, s in zip(*places[0], strict=True)]
    maps = taps(layers.ZeroPadding2D([(p, p) for p in pad], name="cover_the_border")(image))
    maps = maps if isinstance(maps, (list, tuple)) else [maps]
    placed = [
        _Placed(
            _score(x, classes, i), tuple(c - p for c, p in zip(centre, pad, strict=True)), stride
        )
        for i, (x, (centre, stride)) in enumerate(zip(maps, places, strict=True))
    ]
    fused = placed[0]
    for finer, layer in zip(placed[1:], skips, strict=True):
        fused = _fuse(fused, finer, layer)
    return keras.Model(image, _to_pixels(fused, image), name=name or f"{fcn.name}_upsampled")


def bilinear_kernel(factor: int, channels: int) -> np.ndarray:
    """`(k, k, channels, channels)` of a transposed convolution that interpolates linearly."""
    k = 2 * factor - factor % 2
    line = 1 - np.abs(np.arange(k) - (k - 1) / 2) / factor
    return np.einsum("i,j,cd->ijcd", line, line, np.eye(channels)).astype("float32")


def _centred(field):
    return tuple(f.offset + (f.size - 1) / 2 for f in field), tuple(f.stride for f in field)


def _score(x, classes: int, number: int):
    """Zero at first for the finer maps: training starts from the coarse result."""
    start = "zeros" if number else "glorot_uniform"
    name = f"score_skip_{number}" if number else "score"
    return layers.Conv2D(classes, 1, kernel_initializer=start, name=name)(x)


def _fuse(coarse: _Placed, fine: _Placed, layer: str) -> _Placed:
    factors = [c / f for c, f in zip(coarse.stride, fine.stride, strict=True)]
    if factors[0] != factors[1] or factors[0].denominator != 1 or factors[0] <= 1:
        raise ValueError(
            f"skip {layer!r} is not finer than the map before it. Expected: skips ordered from "
            f"coarse to fine. Received: strides {tuple(map(str, coarse.stride))} and then "
            f"{tuple(map(str, fine.stride))}."
        )
    factor, channels = int(factors[0]), coarse.tensor.shape[-1]
    kernel = bilinear_kernel(factor, channels)
    up = layers.Conv2DTranspose(
        channels, kernel.shape[0], strides=factor, use_bias=False, name=f"upsample_to_{layer}"
    )
    up.build(coarse.tensor.shape)
    up.set_weights([kernel])
    peak = Fraction(kernel.shape[0] - 1, 2)
    axes = list(zip(coarse.centre, fine.centre, fine.stride, strict=True))
    shift = [math.floor((f - c) / s + peak + Fraction(1, 2)) for c, f, s in axes]
    total = AddAligned(shift, name=f"fuse_{layer}")([up(coarse.tensor), fine.tensor])
    centre = tuple(f + max(-d, 0) * s for (_, f, s), d in zip(axes, shift, strict=True))
    return _Placed(total, centre, fine.stride)


def _to_pixels(placed: _Placed, image):
    factors = tuple(int(s) for s in placed.stride)
    up = Stretch(factors, name="to_pixels")(placed.tensor)
    start = [
        max(0, math.floor(Fraction(f - 1, 2) - c + Fraction(1, 2)))
        for c, f in zip(placed.centre, factors, strict=True)
    ]
    return CropToImage(start, name="logits")([up, image])
