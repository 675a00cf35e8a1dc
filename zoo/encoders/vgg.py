"""VGG networks: blocks of 3 x 3 convolutions, max pooling, two hidden Dense layers of 4,096.

Simonyan and Zisserman, "Very Deep Convolutional Networks for Large-Scale Image Recognition", 2014,
arXiv:1409.1556, table 1 (columns A, B, D, E). For ImageNet weights take `keras.applications.VGG16`.
"""

from keras import layers

from zoo.encoders._parts import Family, conv_relu, unit_range

NAMES = ("vgg11", "vgg13", "vgg16", "vgg19")

_CHANNELS = (64, 128, 256, 512, 512)
_CONVOLUTIONS = {
    "vgg11": (1, 1, 2, 2, 2),
    "vgg13": (2, 2, 2, 2, 2),
    "vgg16": (2, 2, 3, 3, 3),
    "vgg19": (2, 2, 4, 4, 4),
}


def _features(images, name, options):
    x = unit_range(images)
    blocks = zip(_CHANNELS, _CONVOLUTIONS[name], strict=True)
    for block, (filters, convolutions) in enumerate(blocks, 1):
        for number in range(1, convolutions + 1):
            x = conv_relu(x, options.channels(filters), 3, options, f"block{block}_conv{number}")
        x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return x


FAMILY = Family(_features, pooling="flatten", smallest=32, hidden=((4096, "relu"), (4096, "relu")))
