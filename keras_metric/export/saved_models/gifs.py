"""GIF files decoded in the graph, with the opacity of their pixels.

TensorFlow's own operation draws transparent pixels black. Decoded once more with the complement of
every color, an opaque pixel and its complement add up to white, a transparent one to black.
"""

import tensorflow as tf

from keras_metric.export.saved_models.image_headers import as_text, numbers, starts_with

_BLOCKS = 4096  # that are looked at before the first frame


def decode_gif(data, fill: int):
    """`(H, W, 3)` uint8 of the first frame on black, or `(H, W, 4)` where `fill` is not black."""
    image = _first_frame(data)
    if fill == 0:
        return image
    both = tf.cast(image, tf.int32) + tf.cast(_first_frame(_complemented(data)), tf.int32)
    opaque = tf.reduce_all(tf.equal(both, 255), axis=-1, keepdims=True)
    return tf.concat([image, 255 * tf.cast(opaque, tf.uint8)], -1)


def _first_frame(data):
    """TensorFlow takes the size of the first frame for that of the picture: they must agree."""
    image = tf.io.decode_image(data, channels=3, expand_animations=False)
    size = numbers(data, 6, 2, 2)[::-1]
    fills = tf.reduce_all(tf.equal(tf.shape(image, tf.int64)[:2], size))
    with tf.control_dependencies([tf.debugging.Assert(fills, ["A frame in a part of its GIF."])]):
        return tf.ensure_shape(image, [None, None, 3])


def _complemented(data):
    """The file with the complement of each color of its first frame."""
    start, size = _color_table(data)
    colors = tf.io.decode_raw(tf.strings.substr(data, start, size), tf.uint8)
    rest = tf.cast(tf.strings.length(data), tf.int64) - start - size
    after = tf.strings.substr(data, start + size, rest)
    before = tf.strings.substr(data, tf.constant(0, tf.int64), start)
    return tf.strings.join([before, as_text(255 - colors), after])


def _color_table(data):
    """Where the colors of the first frame begin, and how many bytes they are."""
    shared = _size_of_table(numbers(data, 10, 1, 1)[0])
    frame = _start_of_frame(data, 13 + shared)
    own = _size_of_table(numbers(data, frame + 9, 1, 1)[0])
    return tf.cond(own > 0, lambda: (frame + 10, own), lambda: (tf.constant(13, tf.int64), shared))


def _size_of_table(flags):
    exponent = tf.bitwise.bitwise_and(flags, 7)
    size = 3 * tf.bitwise.left_shift(tf.constant(2, tf.int64), exponent)
    return tf.where(flags >= 128, size, 0)


def _start_of_frame(data, at):
    """The place of the first image descriptor, behind extensions of any number of blocks."""
    length = tf.cast(tf.strings.length(data), tf.int64)

    def elsewhere(at, inside):
        return (at + 10 <= length) & (inside | ~starts_with(data, at, b"\x2c"))

    def step(at, inside):
        size = numbers(data, at, 1, 1)[0]
        return tf.where(inside, at + 1 + size, at + 2), tf.where(inside, size > 0, True)

    at, _ = tf.while_loop(elsewhere, step, (at, tf.constant(False)), maximum_iterations=_BLOCKS)
    with tf.control_dependencies([tf.debugging.Assert(starts_with(data, at, b"\x2c"), [at])]):
        return tf.identity(at)
