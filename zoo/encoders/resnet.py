"""Residual networks, with optional squeeze-and-excitation.

He et al., "Deep Residual Learning for Image Recognition", 2015, arXiv:1512.03385, table 1; the
bottleneck's stride is in its 3 x 3 convolution, and the last normalisation of a block starts at
zero (Goyal et al., 2017, arXiv:1706.02677, section 5.1). Hu, Shen and Sun, "Squeeze-and-Excitation
Networks", 2017, arXiv:1709.01507, equations 2 to 4, reduction 16.

Images smaller than 64 get the stem of He's section 4.2: one 3 x 3 convolution, stride 1, no
pooling.
"""

from keras import layers

from zoo.encoders._parts import Family, conv_norm, unit_range

NAMES = ("resnet18", "resnet34", "resnet50")

_BLOCKS = {"resnet18": (2, 2, 2, 2), "resnet34": (3, 4, 6, 3), "resnet50": (3, 4, 6, 3)}
_REDUCTION = 16
_SMALL = 64


def _features(images, name, options):
    x = _stem(unit_range(images), options)
    block = _bottleneck if name == "resnet50" else _basic
    for stage, blocks in enumerate(_BLOCKS[name], 1):
        for number in range(1, blocks + 1):
            strides = 2 if stage > 1 and number == 1 else 1
            filters = options.channels(64 * 2 ** (stage - 1))
            x = _residual(x, block, filters, strides, options, f"stage{stage}_block{number}")
    return x


def _stem(x, options):
    if any(side is not None and side < _SMALL for side in x.shape[1:3]):
        return conv_norm(x, options.channels(64), 3, options, "stem")
    x = conv_norm(x, options.channels(64), 7, options, "stem", strides=2)
    return layers.MaxPooling2D(3, 2, padding="same", name="stem_pool")(x)


def _residual(x, block, filters, strides, options, name):
    """relu(shortcut + branch); the shortcut is x, or a 1 x 1 convolution when shapes differ."""
    branch = block(x, filters, strides, options, name)
    channels = branch.shape[-1]
    if options.squeeze_excite:
        branch = _squeeze_excite(branch, channels, options, f"{name}_se")
    if strides > 1 or x.shape[-1] != channels:
        x = conv_norm(x, channels, 1, options, f"{name}_project", strides=strides, activation=False)
    return layers.ReLU(name=f"{name}_relu")(layers.Add(name=f"{name}_add")([x, branch]))


def _basic(x, filters, strides, options, name):
    x = conv_norm(x, filters, 3, options, name, strides=strides, number=1)
    return _last(x, filters, 3, options, name, number=2)


def _bottleneck(x, filters, strides, options, name):
    x = conv_norm(x, filters, 1, options, name, number=1)
    x = conv_norm(x, filters, 3, options, name, strides=strides, number=2)
    return _last(x, 4 * filters, 1, options, name, number=3)


def _last(x, filters, kernel, options, name, *, number):
    """The branch's last convolution, normalised to zero at first: a new block is the identity."""
    return conv_norm(
        x, filters, kernel, options, name, number=number, activation=False, gamma="zeros"
    )


def _squeeze_excite(x, channels, options, name):
    """x times sigmoid(W2 relu(W1 mean over positions of x)), channel by channel."""
    gate = layers.GlobalAveragePooling2D(keepdims=True, name=f"{name}_squeeze")(x)
    for units, activation, part in (
        (max(1, channels // _REDUCTION), "relu", "reduce"),
        (channels, "sigmoid", "excite"),
    ):
        gate = layers.Conv2D(
            units, 1, activation=activation, name=f"{name}_{part}", **options.kernel()
        )(gate)
    return layers.Multiply(name=f"{name}_scale")([x, gate])


FAMILY = Family(_features, accepts=frozenset({"width", "weight_decay", "squeeze_excite"}))
