"""`koch`: the convolution network of the first siamese one-shot classifier.

Koch, Zemel and Salakhutdinov, "Siamese Neural Networks for One-shot Image Recognition", 2015,
figure 4: kernels 10, 7, 4, 4 on images of 105 x 105 and an embedding of 4,096 sigmoids
(`embedding=4096`: 38,947,648 weights). Smaller images get kernels in proportion, at least 3, and
keep their borders ("same" padding).
"""

from keras import layers

from zoo.encoders._parts import Family, conv_relu, unit_range

NAMES = ("koch",)

_SIDE = 105
_BLOCKS = ((64, 10), (128, 7), (128, 4), (256, 4))


def _features(images, name, options):
    side = min((s for s in images.shape[1:3] if s is not None), default=_SIDE)
    padding = "valid" if side >= _SIDE else "same"
    x = unit_range(images)
    for block, (filters, kernel) in enumerate(_BLOCKS, 1):
        if side < _SIDE:
            kernel = max(3, round(kernel * side / _SIDE))
        x = conv_relu(
            x, options.channels(filters), kernel, options, f"block{block}_conv", padding=padding
        )
        if block < len(_BLOCKS):
            x = layers.MaxPooling2D(name=f"block{block}_pool")(x)
    return x


FAMILY = Family(_features, pooling="flatten", smallest=8, activation="sigmoid")
