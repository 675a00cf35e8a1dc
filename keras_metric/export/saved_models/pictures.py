"""Decoding of image files in the graph; a damaged file does not affect the others of the batch."""

import functools
from collections.abc import Callable

import tensorflow as tf

from keras_metric.export.saved_models.bitmaps import decode_bmp
from keras_metric.export.saved_models.gifs import decode_gif
from keras_metric.export.saved_models.image_headers import (
    BMP,
    GIF,
    JPEG,
    PNG,
    WEBP,
    as_text,
    by_format,
    extras,
    first_chunk,
    numbers,
    orientation,
    pixel_count,
    refused,
    starts_with,
)
from keras_metric.preprocessing import Preprocessing

_LUMA = (19595.0, 38470.0, 7471.0)  # ITU-R 601 in 65536ths, as Pillow's mode "L"
_KERNELS = {"bilinear": "triangle", "bicubic": "keyscubic"}
_AT_ONCE = 8
_REDUCTIONS = (1, 2, 4, 8)  # that libjpeg decodes to


@functools.lru_cache(maxsize=8)
def decoder(preprocessing: Preprocessing, dtype: str, *, max_pixels: int) -> Callable:
    """`(B,) strings -> (B, H, W, C) images, (B,) valid`.

    JPEG, PNG, WebP, BMP and the first frame of GIF become the arrays that `preprocessing`, which
    has a size, makes of them in Python. They differ where a value lies half-way between two gray
    values, by one (bilinear) or two (bicubic). What is no image, or one of more than `max_pixels`,
    gives a black image that is not valid.

    An operation of TensorFlow fails for the whole batch or not at all, so the files pass through a
    `tf.data` pipeline that leaves out what fails. The places that are left say what was valid.
    """
    shape, (low, high) = preprocessing.shape, preprocessing.pixel_range

    def picture(data):
        small = tf.debugging.assert_less_equal(pixel_count(data), tf.constant(max_pixels, tf.int64))
        with tf.control_dependencies([small]):  # nothing is decoded before the check
            data = tf.identity(data)
        found = extras(data)
        image = _decoded(data, found.transparent, preprocessing)
        image = _on_ground(image, preprocessing.fill)
        if preprocessing.upright:
            image = _upright(image, orientation(found))
        if preprocessing.channels == 1:
            luma = tf.tensordot(image, tf.constant(_LUMA), 1) + 32768
            image = tf.floor(luma / 65536)[..., None]
        return tf.ensure_shape(_sized(image, preprocessing), shape)

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


def _decoded(data, transparent, preprocessing: Preprocessing):
    """`(H, W, 3 or 4)` float32, 0 to 255, as Pillow decodes for pictures of such a size.

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
        JPEG: lambda: _decode_jpeg(data, preprocessing.size),
        PNG: png,
        WEBP: lambda: _decode_webp(data),
        GIF: lambda: decode_gif(data, preprocessing.fill),
    }
    floats = {
        magic: lambda decode=decode: _pixels(tf.cast(decode(), tf.float32))
        for magic, decode in decoders.items()
    }
    floats[BMP] = lambda: _pixels(decode_bmp(data))
    return by_format(data, floats, lambda: refused(tf.zeros([1, 1, 3]), "No image."))


def _decode_jpeg(data, size: tuple[int, int]):
    """Decoded to an eighth, a fourth or a half where that leaves four times `size`."""
    height, width = tf.unstack(tf.io.extract_jpeg_shape(data, output_type=tf.int32)[:2])
    room = tf.minimum(height // (4 * size[0]), width // (4 * size[1]))

    def decoded(ratio: int):
        return tf.io.decode_jpeg(data, channels=3, ratio=ratio, dct_method="INTEGER_ACCURATE")

    step = tf.reduce_sum(tf.cast(room >= _REDUCTIONS[1:], tf.int32))
    return tf.switch_case(step, [lambda ratio=ratio: decoded(ratio) for ratio in _REDUCTIONS])


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
    return as_text(octets)


def _pixels(image):
    return tf.ensure_shape(image, [None, None, None])


def _on_ground(image, fill: int):
    """`(H, W, 3)`: transparent parts show the gray value `fill`."""

    def blended():
        opacity = image[..., 3:]
        return tf.round((image[..., :3] * opacity + fill * (255 - opacity)) / 255)

    return tf.cond(tf.equal(tf.shape(image)[2], 4), blended, lambda: image[..., :3])


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


def _sized(image, preprocessing: Preprocessing):
    """`(h, w, C)` brought to the size of a preprocessing, in whole gray values."""
    size, kernel = preprocessing.size, _KERNELS[preprocessing.interpolation]
    if preprocessing.resize == "stretch":
        return _part_resized(image, None, tf.constant(size), kernel)
    target, sides = tf.constant(size, tf.float64), tf.cast(tf.shape(image)[:2], tf.float64)
    if preprocessing.resize == "crop":
        part = target / tf.reduce_max(target / sides)
        return _part_resized(image, ((sides - part) / 2, part), tf.constant(size), kernel)
    scaled = tf.round(sides * tf.reduce_min(target / sides))
    scaled = tf.maximum(tf.cast(scaled, tf.int32), 1)
    small = _part_resized(image, None, scaled, kernel)
    before = (size - scaled) // 2
    margins = tf.stack([before, size - scaled - before], axis=1)
    margins = tf.concat([margins, tf.zeros([1, 2], tf.int32)], 0)
    return tf.pad(small, margins, constant_values=preprocessing.fill)


def _part_resized(image, part, size, kernel: str):
    """A part (its first corner and its size, by default all) brought to `size`, as Pillow does it.

    First the rows are resized, then the columns, with whole values between them. One operation each
    instead of the many of `tf.image.resize`: the pipeline is rebuilt per call.
    """
    sides = tf.cast(tf.shape(image)[:2], tf.float64)
    start, length = part or (tf.zeros([2], tf.float64), sides)
    scale = tf.cast(size, tf.float64) / length
    shift = tf.cast(-start * scale, tf.float32)
    scale = tf.cast(scale, tf.float32)

    def resized(image, height, width, scale, shift):
        made = tf.raw_ops.ScaleAndTranslate(
            images=image,
            size=tf.stack([height, width]),
            scale=scale,
            translation=shift,
            kernel_type=kernel,
            antialias=True,
        )
        return tf.clip_by_value(tf.floor(made + 0.5), 0, 255)

    rows = tf.shape(image)[0]
    image = resized(
        image[None], rows, size[1], tf.stack([1.0, scale[1]]), tf.stack([0.0, shift[1]])
    )
    return resized(image, size[0], size[1], tf.stack([scale[0], 1.0]), tf.stack([shift[0], 0.0]))[0]


def _no_rewriting() -> tf.data.Options:
    """Without the optimizer of pipelines, which would cost more than the decoding."""
    options = tf.data.Options()
    options.experimental_optimization.apply_default_optimizations = False
    options.autotune.enabled = False
    options.experimental_warm_start = False
    options.deterministic = True
    return options
