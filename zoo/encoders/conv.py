"""Small networks of few-shot learning: blocks of 3 x 3 convolutions, each halving the image.

`conv4`: Vinyals et al., "Matching Networks for One Shot Learning", 2016, arXiv:1606.04080, section
4.1: four blocks of 64 channels; 28 x 28 images become one position. `conv6`: three blocks of two
convolutions. `conv5`: 32 channels, twice 64, twice 96, halved after each number of channels; few
channels where there are many positions make it cheaper than both.
"""

from keras import layers

from zoo.encoders._parts import Family, conv_norm, unit_range

NAMES = ("conv4", "conv5", "conv6")

_BLOCKS = {
    "conv4": ((64,), (64,), (64,), (64,)),
    "conv5": ((32,), (64, 64), (96, 96)),
    "conv6": ((64, 64), (64, 64), (64, 64)),
}


def _features(images, name, options):
    x = unit_range(images)
    for block, widths in enumerate(_BLOCKS[name], 1):
        for number, filters in enumerate(widths, 1):
            suffix = number if len(widths) > 1 else ""
            x = conv_norm(x, options.channels(filters), 3, options, f"block{block}", number=suffix)
        x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return x


FAMILY = Family(_features, pooling="flatten", smallest=16)
