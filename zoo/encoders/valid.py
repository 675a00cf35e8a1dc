"""`valid`: three convolutions without padding, so that a window of a scene is seen as if alone.

Kernels of 5, 3 and 3 and channels of 32, 64 and 128, each with batch normalisation and ReLU, max
pooling after the first two: 28 x 28 images become 3 x 3 positions, 4 pixels apart. Made fully
convolutional, every cell is exactly the encoder on the cell's window.
"""

from keras import layers

from zoo.encoders._parts import Family, conv_norm, unit_range

NAMES = ("valid",)

_BLOCKS = ((32, 5), (64, 3), (128, 3))


def _features(images, name, options):
    x = unit_range(images)
    for block, (filters, kernel) in enumerate(_BLOCKS, 1):
        wide = options.channels(filters)
        x = conv_norm(x, wide, kernel, options, f"block{block}", padding="valid")
        if block < len(_BLOCKS):
            x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return x


FAMILY = Family(_features, pooling="flatten", smallest=20)
