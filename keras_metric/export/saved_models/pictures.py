"""Decoding of image files in the graph; a damaged file does not affect the others of the batch."""

import functools
from collections.abc import Callable

import tensorflow as tf

from keras_metric.export.saved_models.bitmaps import decode_bmp
from keras_metric.export.saved_models.image_headers import (
    BMP,
    GIF,
    JPEG,
    PNG,
    WEBP,
    by_format,
    extras,
    first_chunk,
    numbers,
    orientation,
    pixel_count,
    refused,
    starts_with,
)

_LUMA = (0.299, 0.587, 0.114)  # ITU-R 601, as Pillow's mode "L"
_AT_ONCE = 8


@functools.lru_cache(maxsize=8)
def decoder(
    shape: tuple[int, int, int],
    dtype: str,
    *,
    pixel_range: tuple[float, float],
    max_pixels: int,
) -> Callable:
    """`(B,) strings -> (B, H, W, C) images, (B,) valid`.

    JPEG, PNG, WebP, BMP and the first frame of GIF. An image is stretched to (H, W) by the
    triangle filter that Pillow calls bilinear, rounded to whole grey values, and put on
    `pixel_range`. It is turned upright as EXIF or XMP data say, and transparent parts show black.
    What is no image, or one of more than `max_pixels`, gives a black image that is not valid.

    An operation of TensorFlow fails for the whole batch or not at all, so the files pass through a
    `tf.data` pipeline that leaves out what fails. The places that are left say what was valid.
    """
    height, width, channels = shape
    low, high = pixel_range

    def picture(data):
        small = tf.debugging.assert_less_equal(pixel_count(data), tf.constant(max_pixels, tf.int64))
        with tf.control_dependencies([small]):  # nothing is decoded before the check
            data = tf.identity(data)
        found = extras(data)
        image = _upright(_on_black(_decoded(data, found.transparent)), orientation(found))
        if channels == 1:
            image = tf.round(tf.tensordot(image, tf.constant(_LUMA), 1))[..., None]
        return tf.ensure_shape(_resized(image, height, width), shape)

    def pictures(files):
        count = tf.shape(files)[0]
        found = tf.data.Dataset.from_tensor_slices((tf.range(count), files))
        found = found.map(lambda place, data: (place, picture(data)), num_parallel_calls=_AT_ONCE)
        nobody = tf.data.Dataset.from_tensors((count, tf.zeros(shape)))
        found = found.ignore_errors().concatenate(nobody).batch(tf.cast(count + 1, tf.int64))
        places, images = found.with_options(_no_rewriting()).get_single_element()
        places = places[:, None]
        images = tf.scatter_nd(places, images, [count + 1, *shape])[:count]
        valid = tf.scatter_nd(places, tf.ones_like(places[:, 0]), [count + 1])[:count] > 0
        images = low + images * ((high - low) / 255)
        return tf.cast(images, dtype), valid

    return tf.function(pictures, [tf.TensorSpec([None], tf.string)], autograph=False)


def _decoded(data, transparent):
    """`(H, W, 3 or 4)` float32, 0 to 255, as Pillow decodes.

    Left alone, TensorFlow takes a fast JPEG transform, 9 grey values off, and refuses files that do
    not have the channels it is asked for.
    """

    def png():
        depth, kind = tf.unstack(numbers(data, 24, 2, 1))
        # Pillow finds no clear value among greys of these depths
        unseen = tf.equal(kind, 0) & tf.reduce_any(tf.equal(depth, (2, 4, 16)))
        with_alpha = (transparent & ~unseen) | (kind >= 4)
        return tf.cond(
            with_alpha,
            lambda: tf.io.decode_png(data, channels=4),
            lambda: tf.io.decode_png(data, channels=3),
        )

    decoders = {
        JPEG: lambda: tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"),
        PNG: png,
        WEBP: lambda: _decode_webp(data),
        GIF: lambda: _decode_gif(data),
    }
    floats = {
        magic: lambda decode=decode: _pixels(tf.cast(decode(), tf.float32))
        for magic, decode in decoders.items()
    }
    floats[BMP] = lambda: _pixels(decode_bmp(data))
    return by_format(data, floats, lambda: refused(tf.zeros([1, 1, 3]), "No image."))


def _decode_gif(data):
    """TensorFlow takes the size of the first frame for that of the picture: they must agree."""
    image = tf.io.decode_image(data, channels=3, expand_animations=False)
    size = numbers(data, 6, 2, 2)[::-1]
    fills = tf.reduce_all(tf.equal(tf.shape(image, tf.int64)[:2], size))
    with tf.control_dependencies([tf.debugging.Assert(fills, ["A frame in a part of its GIF."])]):
        return tf.identity(image)


def _decode_webp(data):
    """`(H, W, 3 or 4)` uint8; of an animation the first frame, on a transparent canvas.

    TensorFlow's operation writes beyond its memory where an animation has no alpha channel, so it
    is given the frame as a file of its own.
    """
    animated = starts_with(data, 12, b"VP8X") & (
        tf.equal(tf.bitwise.bitwise_and(numbers(data, 20, 1, 1)[0], 2), 2)
    )
    return tf.cond(animated, lambda: _first_frame(data), lambda: _still_webp(data))


def _still_webp(data):
    return tf.io.decode_image(data, channels=0, expand_animations=False)


def _first_frame(data):
    frame = first_chunk(data, 12, b"ANMF")
    left, top = tf.unstack(2 * numbers(frame, 0, 2, 3))
    width, height = tf.unstack(1 + numbers(data, 24, 2, 3))
    images = tf.strings.substr(frame, 16, tf.strings.length(frame) - 16)
    head = tf.strings.join([b"VP8X\x0a\0\0\0\x10\0\0\0", tf.strings.substr(frame, 6, 6)])
    body = tf.strings.join([b"WEBP", head, images])
    whole = tf.strings.join([b"RIFF", _little_endian(tf.strings.length(body)), body])
    image = tf.ensure_shape(_still_webp(whole), [None, None, None])
    image = tf.cond(
        tf.equal(tf.shape(image)[2], 4),
        lambda: image,
        lambda: tf.pad(image, [[0, 0], [0, 0], [0, 1]], constant_values=255),
    )
    rows, columns = tf.unstack(tf.shape(image, tf.int64)[:2])
    fits = (top + rows <= height) & (left + columns <= width)
    with tf.control_dependencies([tf.debugging.Assert(fits, ["A frame beyond its canvas."])]):
        below, right = height - top - rows, width - left - columns
    return tf.pad(image, [[top, below], [left, right], [0, 0]])


def _little_endian(number):
    """The four bytes of a whole number, as text."""
    octets = tf.bitwise.bitwise_and(tf.bitwise.right_shift(number, [0, 8, 16, 24]), 255)
    every = tf.constant([bytes([value]) for value in range(256)])
    return tf.strings.reduce_join(tf.gather(every, octets))


def _pixels(image):
    return tf.ensure_shape(image, [None, None, None])


def _on_black(image):
    """`(H, W, 3)`: transparent parts show black, as where pictures are read for training."""
    return tf.cond(
        tf.equal(tf.shape(image)[2], 4),
        lambda: tf.round(image[..., :3] * image[..., 3:] / 255),
        lambda: image[..., :3],
    )


def _upright(image, turned):
    """Turned and mirrored as the EXIF orientation 1 to 8 asks for."""

    def across():
        return tf.transpose(image, [1, 0, 2])

    ways = [
        lambda: tf.identity(image),
        lambda: image[:, ::-1],
        lambda: image[::-1, ::-1],
        lambda: image[::-1],
        across,
        lambda: across()[:, ::-1],
        lambda: across()[::-1, ::-1],
        lambda: across()[::-1],
    ]
    return tf.switch_case(tf.cast(turned, tf.int32) - 1, ways)


def _resized(image, height: int, width: int):
    """One operation instead of the many of `tf.image.resize`: the pipeline is rebuilt per call."""
    scale = tf.constant([height, width], tf.float32) / tf.cast(tf.shape(image)[:2], tf.float32)
    stretched = tf.raw_ops.ScaleAndTranslate(
        images=image[None],
        size=[height, width],
        scale=scale,
        translation=[0.0, 0.0],
        kernel_type="triangle",
        antialias=True,
    )
    return tf.round(stretched[0])


def _no_rewriting() -> tf.data.Options:
    """Without the optimizer of pipelines, which would cost more than the decoding."""
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    options.experimental_warm_start = False
    options.deterministic = True
    return options
