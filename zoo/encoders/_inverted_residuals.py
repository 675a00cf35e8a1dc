"""Networks of inverted residual blocks with ReLU6, as MobileNetV2 and EfficientNet-Lite have them.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, arXiv:1801.04381,
table 1.
"""

from collections.abc import Iterable

from keras import layers

from zoo.encoders.layers import FusedBatchNormalization


def features(x, blocks: Iterable[tuple[int, int, int, int]], *, norm: dict, pad: bool = False):
    """Stem of 32 channels at stride 2, blocks, and a 1 x 1 convolution to 1,280 channels.

    blocks: (expansion, kernel, strides, channels) of each. norm: arguments of every normalization.
    pad: a zero on every side of a strided 3 x 3 kernel, as PyTorch pads; else "same".
    """
    x = _strided(layers.Conv2D, x, 3, 2, "stem", pad, filters=32)
    x = _norm(x, "stem", norm)
    for number, block in enumerate(blocks):
        x = _inverted_residual(x, *block, f"block{number}", norm, pad)
    x = layers.Conv2D(1280, 1, use_bias=False, name="head_conv")(x)
    return _norm(x, "head", norm)


def _inverted_residual(x, expansion, kernel, strides, channels, name, norm, pad):
    """x + project(depthwise(expand(x))); x is added where the shapes agree."""
    inputs = x
    if expansion > 1:
        width = expansion * x.shape[-1]
        x = layers.Conv2D(width, 1, use_bias=False, name=f"{name}_expand_conv")(x)
        x = _norm(x, f"{name}_expand", norm)
    x = _strided(layers.DepthwiseConv2D, x, kernel, strides, f"{name}_depthwise", pad)
    x = _norm(x, f"{name}_depthwise", norm)
    x = layers.Conv2D(channels, 1, use_bias=False, name=f"{name}_project_conv")(x)
    x = _norm(x, f"{name}_project", norm, activation=False)
    if strides == 1 and inputs.shape[-1] == channels:
        x = layers.Add(name=f"{name}_add")([inputs, x])
    return x


def _strided(kind, x, kernel, strides, name, pad, **options):
    padding = "same"
    if pad and strides > 1:
        x, padding = layers.ZeroPadding2D(kernel // 2, name=f"{name}_pad")(x), "valid"
    return kind(
        kernel_size=kernel,
        strides=strides,
        padding=padding,
        use_bias=False,
        name=f"{name}_conv",
        **options,
    )(x)


def _norm(x, name, norm, *, activation=True):
    x = FusedBatchNormalization(**norm, name=f"{name}_norm")(x)
    return layers.ReLU(6, name=f"{name}_relu")(x) if activation else x
