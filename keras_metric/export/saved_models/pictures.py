"""Image files become images inside the graph, and one bad file spoils nobody else's answer."""

import functools
from collections.abc import Callable

import tensorflow as tf

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
    `pixel_range`. Transparency is dropped; an EXIF orientation is not applied. What is no image,
    or one of more than `max_pixels`, gives a black image that is not valid.

    An operation of TensorFlow fails for the whole batch or not at all, so the files pass through a
    `tf.data` pipeline that leaves out what fails. The places that are left say what was valid.
    """
    height, width, channels = shape
    low, high = pixel_range

    def picture(data):
        tf.debugging.assert_less_equal(pixel_count(data), tf.constant(max_pixels, tf.int64))
        image = tf.cast(_decoded(data), tf.float32)
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


def _decoded(data):
    """As Pillow decodes; left alone, TensorFlow takes a fast JPEG transform, 9 grey values off."""
    return tf.cond(
        tf.io.is_jpeg(data),
        lambda: tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE"),
        lambda: tf.io.decode_image(data, channels=3, expand_animations=False),
    )


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
