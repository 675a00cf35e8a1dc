"""`alexnet`: five convolutions and two hidden Dense layers of 4,096.

Krizhevsky, "One weird trick for parallelizing convolutional neural networks", 2014,
arXiv:1404.5997: the single-tower form of Krizhevsky, Sutskever and Hinton, 2012; 61,100,840 weights
with 1,000 classes at 224 x 224.
"""

from keras import layers

from zoo.encoders._parts import Family, conv_relu, unit_range

NAMES = ("alexnet",)


def _features(images, name, options):
    x = layers.ZeroPadding2D(2, name="block1_pad")(unit_range(images))
    x = conv_relu(x, options.channels(64), 11, options, "block1_conv", strides=4, padding="valid")
    x = layers.MaxPooling2D(3, 2, name="block1_pool")(x)
    x = conv_relu(x, options.channels(192), 5, options, "block2_conv")
    x = layers.MaxPooling2D(3, 2, name="block2_pool")(x)
    x = conv_relu(x, options.channels(384), 3, options, "block3_conv")
    x = conv_relu(x, options.channels(256), 3, options, "block4_conv")
    x = conv_relu(x, options.channels(256), 3, options, "block5_conv")
    return layers.MaxPooling2D(3, 2, name="block5_pool")(x)


FAMILY = Family(_features, pooling="flatten", smallest=63, hidden=((4096, "relu"), (4096, "relu")))
