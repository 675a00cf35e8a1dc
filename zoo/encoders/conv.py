"""Small networks of few-shot learning: blocks of 3 x 3 convolutions, each halving the image.

`conv4`: Vinyals et al., "Matching Networks for One Shot Learning", 2016, arXiv:1606.04080, section
4.1: four blocks of 64 channels; 28 x 28 images become one position. `conv6`: three blocks of two
convolutions.
"""

from keras import layers

from zoo.encoders._parts import Family, conv_norm, unit_range

NAMES = ("conv4", "conv6")

_CONVOLUTIONS = {"conv4": (1, 1, 1, 1), "conv6": (2, 2, 2)}


def _features(images, name, options):
    x = unit_range(images)
    for block, convolutions in enumerate(_CONVOLUTIONS[name], 1):
        for number in range(1, convolutions + 1):
            suffix = number if convolutions > 1 else ""
            x = conv_norm(x, options.channels(64), 3, options, f"block{block}", number=suffix)
        x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return x


FAMILY = Family(_features, pooling="flatten", smallest=16)
