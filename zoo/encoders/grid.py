"""`grid`: six 3 x 3 convolutions that keep a quarter of the resolution, for maps of small things.

24, 48, 48, 64, 64 and 64 channels, each with batch normalisation and ReLU; max pooling after the
first and the third. One position sees 38 x 38 pixels.
"""

from keras import layers

from zoo.encoders._parts import Family, conv_norm, unit_range

NAMES = ("grid",)

_BLOCKS = ((24,), (48, 48), (64, 64, 64))


def _features(images, name, options):
    x = unit_range(images)
    for block, widths in enumerate(_BLOCKS, 1):
        for number, filters in enumerate(widths, 1):
            filters = options.channels(filters)
            x = conv_norm(x, filters, 3, options, f"block{block}", number=number)
        if block < len(_BLOCKS):
            x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return x


FAMILY = Family(_features, smallest=4)
