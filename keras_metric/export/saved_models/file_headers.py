"""How many pixels an image file claims, read from its header in the graph, before decoding it."""

import tensorflow as tf


def pixel_count(data):
    """Width x height of a JPEG, PNG, WebP, BMP or GIF file; fails for anything else.

    A file of a few kilobytes can claim a gigabyte of pixels.
    """
    formats = {
        b"\xff\xd8\xff": lambda: tf.io.extract_jpeg_shape(data, output_type=tf.int64)[:2],
        b"\x89PNG": lambda: _numbers(data, 16, 2, 4, big_endian=True),
        b"RIFF": lambda: _webp(data),
        b"BM": lambda: tf.abs(_numbers(data, 18, 2, 4, signed=True)),
        b"GIF8": lambda: _numbers(data, 6, 2, 2),
    }
    known = [tf.equal(tf.strings.substr(data, 0, len(magic)), magic) for magic in formats]
    size = tf.switch_case(
        tf.argmax([*known, True], output_type=tf.int32), [*formats.values(), _refused]
    )
    return tf.reduce_prod(size)


def _refused():
    with tf.control_dependencies(
        [tf.debugging.Assert(False, ["Not a JPEG, PNG, WebP, BMP, GIF."])]
    ):
        return tf.zeros([2], tf.int64)


def _webp(data):
    """Lossy, lossless and extended files keep their size in three ways."""
    kinds = {
        b"VP8 ": lambda: tf.bitwise.bitwise_and(_numbers(data, 26, 2, 2), 0x3FFF),
        b"VP8L": lambda: _lossless(_numbers(data, 21, 1, 4)[0]),
        b"VP8X": lambda: 1 + _numbers(data, 24, 2, 3),
    }
    known = [tf.equal(tf.strings.substr(data, 12, 4), kind) for kind in kinds]
    return tf.switch_case(
        tf.argmax([*known, True], output_type=tf.int32), [*kinds.values(), _refused]
    )


def _lossless(bits):
    return 1 + tf.bitwise.bitwise_and(tf.stack([bits, tf.bitwise.right_shift(bits, 14)]), 0x3FFF)


def _numbers(data, at: int, count: int, width: int, *, big_endian: bool = False, signed=False):
    """`count` whole numbers of `width` bytes each, from byte `at` on."""
    octets = tf.io.decode_raw(tf.strings.substr(data, at, count * width), tf.uint8)
    octets = tf.cast(tf.reshape(octets, [count, width]), tf.int64)
    powers = [256**place for place in range(width)]
    numbers = tf.reduce_sum(octets * (powers[::-1] if big_endian else powers), axis=1)
    return tf.where(numbers >= 2**31, numbers - 2**32, numbers) if signed else numbers
