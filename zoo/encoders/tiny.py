"""`tiny`: two convolutions for images of a few pixels, such as 8 x 8 digits.

The image is doubled in size, then 5 x 5 and 3 x 3 convolutions of 32 and 64 channels follow, each
with batch normalization, ReLU and average pooling, which tolerates shifts but keeps the position of
the ink.
"""

from keras import layers

from zoo.encoders._parts import Family, conv_norm, unit_range

NAMES = ("tiny",)

_BLOCKS = ((32, 5), (64, 3))


def _features(images, name, options):
    x = unit_range(images)
    x = layers.UpSampling2D(2, interpolation="bilinear", name="doubled")(x)
    for block, (filters, kernel) in enumerate(_BLOCKS, 1):
        x = conv_norm(x, options.channels(filters), kernel, options, f"block{block}")
        x = layers.AveragePooling2D(2, name=f"block{block}_pool")(x)
    return x


FAMILY = Family(_features, pooling="flatten", smallest=2)
