"""BMP files decoded in the graph: TensorFlow's own operation knows no palettes and no 16 bits.

As Pillow reads them: 1, 4 and 8 bits with a palette, 16, 24 and 32 bits, masks of the layouts that
Pillow knows, rows upwards or downwards. Run-length encoded files are refused.
"""

import tensorflow as tf

from keras_metric.export.saved_models.image_headers import bmp_size, numbers

_HEADERS = (12, 40, 52, 56, 64, 108, 124)
_RAW, _MASKS = 0, 3
_BYTES = (0xFF, 0xFF00, 0xFF0000, 0xFF000000)
_PLAIN = (0xFF0000, 0xFF00, 0xFF, 0)
_FIVES = (0x7C00, 0x3E0, 0x1F, 0)
_WITH_ALPHA = (0xFF0000, 0xFF00, 0xFF, 0xFF000000)
_LAYOUTS = (  # bits, and the masks of red, green, blue and alpha
    (32, *_PLAIN),
    (32, 0xFF000000, 0xFF0000, 0xFF00, 0),
    (32, 0xFF000000, 0xFF00, 0xFF, 0),
    (32, 0xFF000000, 0xFF0000, 0xFF00, 0xFF),
    (32, 0xFF, 0xFF00, 0xFF0000, 0xFF000000),
    (32, *_WITH_ALPHA),
    (32, 0xFF000000, 0xFF00, 0xFF, 0xFF0000),
    (24, *_PLAIN),
    (16, 0xF800, 0x7E0, 0x1F, 0),
    (16, *_FIVES),
)


def decode_bmp(data):
    """`string -> (H, W, 4)` float32, red, green, blue and alpha from 0 to 255; fails for others."""
    width, height = tf.unstack(bmp_size(data))
    header = numbers(data, 14, 1, 4)[0]
    old = tf.equal(header, 12)
    bits = tf.cond(old, lambda: numbers(data, 24, 1, 2), lambda: numbers(data, 28, 1, 2))[0]
    packing = tf.cond(old, lambda: tf.constant(0, tf.int64), lambda: numbers(data, 30, 1, 4)[0])
    known = tf.reduce_any(tf.equal(header, _HEADERS)) & (width > 0)
    known &= tf.equal(packing, _RAW) | (tf.equal(packing, _MASKS) & (bits >= 16))
    known &= tf.reduce_any(tf.equal(bits, (1, 4, 8, 16, 24, 32)))
    with tf.control_dependencies([tf.debugging.Assert(known, ["An unknown kind of BMP."])]):
        stride = (width * bits + 31) // 32 * 4
    start = _start_of_pixels(data, header, bits)
    raw = tf.strings.substr(data, start, stride * tf.abs(height))
    rows = tf.reshape(tf.io.decode_raw(raw, tf.uint8), [tf.abs(height), stride])
    rows = tf.cond(height < 0, lambda: rows, lambda: rows[::-1])
    return tf.cond(
        bits <= 8,
        lambda: _from_palette(rows, width, bits, _palette(data, header, bits)),
        lambda: _from_masks(rows, width, bits, _masks(data, header, bits, packing)),
    )


def _colors(data, header, bits):
    """How many colors a palette has, and the bytes of each."""
    given = tf.cond(
        tf.equal(header, 12), lambda: tf.constant(0, tf.int64), lambda: numbers(data, 46, 1, 4)[0]
    )
    count = tf.where(given > 0, given, tf.bitwise.left_shift(tf.constant(1, tf.int64), bits))
    return count, tf.where(tf.equal(header, 12), tf.constant(3, tf.int64), 4)


def _start_of_pixels(data, header, bits):
    start = numbers(data, 10, 1, 4)[0]
    count, width = _colors(data, header, tf.minimum(bits, 8))
    forgotten = tf.equal(start, 14 + header) & (bits <= 8)  # the palette lies between
    return tf.where(forgotten, start + count * width, start)


def _palette(data, header, bits):
    """`(256, 4)`: red, green, blue and 255; black where the file names no color."""
    count, width = _colors(data, header, bits)
    count = tf.minimum(count, 256)
    octets = tf.io.decode_raw(tf.strings.substr(data, 14 + header, count * width), tf.uint8)
    colors = tf.reshape(octets, tf.stack([count, width]))[:, 2::-1]
    colors = tf.pad(colors, [[0, 256 - tf.cast(count, tf.int32)], [0, 0]])
    return tf.cast(tf.pad(colors, [[0, 0], [0, 1]], constant_values=255), tf.float32)


def _from_palette(rows, width, bits, palette):
    bits = tf.cast(bits, tf.int32)
    shifts = tf.range(8 - bits, -1, -bits)
    places = tf.bitwise.right_shift(tf.cast(rows, tf.int32)[..., None], shifts)
    places = tf.bitwise.bitwise_and(places, tf.bitwise.left_shift(1, bits) - 1)
    places = tf.reshape(places, [tf.shape(rows)[0], -1])[:, :width]
    return tf.gather(palette, places)


def _masks(data, header, bits, packing):
    usual = tf.where(tf.equal(bits, 16), tf.constant(_FIVES, tf.int64), _PLAIN)

    def given():
        colors = numbers(data, 54, 3, 4)
        has_alpha = (header >= 56) & tf.equal(bits, 32)
        alpha = tf.cond(has_alpha, lambda: numbers(data, 66, 1, 4), lambda: tf.zeros([1], tf.int64))
        masks = tf.concat([colors, alpha], 0)
        return tf.where(
            tf.equal(tf.reduce_max(masks), 0), tf.constant(_WITH_ALPHA, tf.int64), masks
        )

    masks = tf.cond(tf.equal(packing, _MASKS), given, lambda: usual)
    layout = tf.concat([bits[None], masks], 0)
    known = tf.reduce_any(tf.reduce_all(tf.equal(layout, _LAYOUTS), axis=1))
    with tf.control_dependencies([tf.debugging.Assert(known, ["An unknown layout of BMP."])]):
        return tf.identity(masks)


def _from_masks(rows, width, bits, masks):
    octets = tf.reshape(
        rows[:, : width * bits // 8], tf.stack([tf.shape(rows, tf.int64)[0], width, bits // 8])
    )

    def sixteen():
        both = tf.cast(octets, tf.int32)
        both = both[..., 0] + 256 * both[..., 1]
        colors = tf.cast(masks[:3], tf.int32)
        lowest = tf.bitwise.bitwise_and(colors, -colors)
        values = tf.bitwise.bitwise_and(both[..., None], colors) // lowest
        values = tf.round(tf.cast(values, tf.float32) * 255 / tf.cast(colors // lowest, tf.float32))
        return tf.pad(values, [[0, 0], [0, 0], [0, 1]], constant_values=255)

    def whole_bytes():
        places = tf.argmax(tf.equal(masks[:, None], _BYTES), axis=1)
        opaque = tf.fill(tf.concat([tf.shape(octets)[:2], [1]], 0), tf.constant(255, tf.uint8))
        colors = tf.gather(octets, places[:3], axis=-1)
        alpha = tf.cond(
            tf.equal(masks[3], 0),
            lambda: opaque,
            lambda: tf.gather(octets, places[3:], axis=-1),
        )
        return tf.cast(tf.concat([colors, alpha], -1), tf.float32)

    return tf.cond(tf.equal(bits, 16), sixteen, whole_bytes)
