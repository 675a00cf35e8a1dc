"""`simple`: three convolutions of 32, 64 and 128 channels, max pooling after the first two."""

from keras import layers

from zoo.encoders._parts import Family, conv_relu, unit_range

NAMES = ("simple",)


def _features(images, name, options):
    x = unit_range(images)
    x = conv_relu(x, options.channels(32), 3, options, "block1_conv")
    x = layers.MaxPooling2D(name="block1_pool")(x)
    x = conv_relu(x, options.channels(64), 3, options, "block2_conv")
    x = layers.MaxPooling2D(name="block2_pool")(x)
    return conv_relu(x, options.channels(128), 3, options, "block3_conv")


FAMILY = Family(_features, pooling="flatten", smallest=4)
