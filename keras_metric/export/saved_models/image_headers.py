"""What the header of an image file says, read in the graph before or beside the decoding.

How many pixels it claims: a file of a few kilobytes can claim a gigabyte. Its orientation, from
EXIF data or else from XMP, and whether a PNG has a transparent color, as Pillow reads them.
"""

from collections.abc import Callable
from typing import NamedTuple

import tensorflow as tf

JPEG, PNG, WEBP, BMP, GIF = b"\xff\xd8\xff", b"\x89PNG", b"RIFF", b"BM", b"GIF8"
_ORIENTATION = 0x0112
_SHORT, _LONG = 3, 4
_CHUNKS = 4096  # that are looked at; a hostile file may have millions
_XMP = r"(?s).*?tiff:Orientation(?:=\"|>)([0-9]).*"


class Chunk(NamedTuple):
    """A part of a file: its name, where its content begins and how long it is, what follows."""

    name: tf.Tensor
    body: tf.Tensor
    size: tf.Tensor
    following: tf.Tensor


class Extras(NamedTuple):
    """What lies beside the pixels: EXIF data, XMP (empty where there is none), and a tRNS chunk."""

    exif: tf.Tensor
    xmp: tf.Tensor
    transparent: tf.Tensor


def by_format(data, branches: dict[bytes, Callable], otherwise: Callable):
    """The result of the branch whose first bytes the file has."""
    known = [starts_with(data, 0, magic) for magic in branches]
    return tf.switch_case(
        tf.argmax([*known, True], output_type=tf.int32), [*branches.values(), otherwise]
    )


def pixel_count(data):
    """Width x height of a JPEG, PNG, WebP, BMP or GIF file; fails for anything else."""
    size = by_format(
        data,
        {
            JPEG: lambda: tf.io.extract_jpeg_shape(data, output_type=tf.int64)[:2],
            PNG: lambda: numbers(data, 16, 2, 4, big_endian=True),
            WEBP: lambda: _webp_size(data),
            BMP: lambda: bmp_size(data),
            GIF: lambda: numbers(data, 6, 2, 2),
        },
        lambda: refused(tf.zeros([2], tf.int64), "Not a JPEG, PNG, WebP, BMP, GIF."),
    )
    return tf.reduce_prod(tf.abs(size))


def bmp_size(data):
    """Width and height; a negative height says that the rows go down."""
    old = tf.equal(numbers(data, 14, 1, 4)[0], 12)
    return tf.cond(
        old, lambda: numbers(data, 18, 2, 2), lambda: numbers(data, 18, 2, 4, signed=True)
    )


def _webp_size(data):
    """Lossy, lossless and extended files keep their size in three ways."""
    kinds = {
        b"VP8 ": lambda: tf.bitwise.bitwise_and(numbers(data, 26, 2, 2), 0x3FFF),
        b"VP8L": lambda: _lossless(numbers(data, 21, 1, 4)[0]),
        b"VP8X": lambda: 1 + numbers(data, 24, 2, 3),
    }
    known = [starts_with(data, 12, kind) for kind in kinds]
    return tf.switch_case(
        tf.argmax([*known, True], output_type=tf.int32),
        [*kinds.values(), lambda: refused(tf.zeros([2], tf.int64), "Not a WebP.")],
    )


def _lossless(bits):
    return 1 + tf.bitwise.bitwise_and(tf.stack([bits, tf.bitwise.right_shift(bits, 14)]), 0x3FFF)


def extras(data) -> Extras:
    """EXIF, XMP and transparency of a JPEG, PNG or WebP file."""

    def nothing():
        return Extras(tf.constant(b""), tf.constant(b""), tf.constant(False))

    def webp():
        extended = starts_with(data, 12, b"VP8X")
        return tf.cond(extended, lambda: _searched(data, 12, _webp_chunk), nothing)

    return by_format(
        data,
        {
            JPEG: lambda: _searched(data, 2, _jpeg_segment),
            PNG: lambda: _searched(data, 8, _png_chunk),
            WEBP: webp,
        },
        nothing,
    )


def _searched(data, start: int, chunk_at: Callable) -> Extras:
    length = tf.cast(tf.strings.length(data), tf.int64)

    def goes_on(at, *_):
        return tf.logical_and(at >= 0, at + 12 <= length)

    def step(at, exif, xmp, transparent):
        chunk = chunk_at(data, at)
        body = tf.minimum(chunk.body, length)

        def content(name: bytes, prefix: bytes, before):
            """Of the first chunk of a name that begins with a prefix, what comes after it."""
            fits = tf.logical_and(tf.equal(chunk.name, name), starts_with(data, body, prefix))
            wanted = tf.logical_and(fits, tf.equal(tf.strings.length(before), 0))
            size = tf.maximum(chunk.size, 0)
            return tf.cond(wanted, lambda: tf.strings.substr(data, body, size), lambda: before)

        for name, prefix in ((b"\xff\xe1", b"Exif\0\0"), (b"eXIf", b""), (b"EXIF", b"")):
            exif = content(name, prefix, exif)
        for name, prefix in (
            (b"\xff\xe1", b"http://ns.adobe.com/xap/1.0/\0"),
            (b"iTXt", b"XML:com.adobe.xmp\0"),
            (b"XMP ", b""),
        ):
            xmp = content(name, prefix, xmp)
        transparent = tf.logical_or(transparent, tf.equal(chunk.name, b"tRNS"))
        last = tf.reduce_any([tf.equal(chunk.name, name) for name in (b"\xff\xda", b"IEND")])
        return tf.where(last, tf.constant(-1, tf.int64), chunk.following), exif, xmp, transparent

    empty, start_at = tf.constant(b""), tf.constant(start, tf.int64)
    found = tf.while_loop(
        goes_on,
        step,
        (start_at, empty, empty, tf.constant(False)),
        maximum_iterations=_CHUNKS,
    )
    return Extras(*found[1:])


def first_chunk(data, start: int, name: bytes):
    """The content of the first chunk of a name in a WebP file; fails where there is none."""
    length = tf.cast(tf.strings.length(data), tf.int64)

    def elsewhere(at):
        return (at + 8 <= length) & ~starts_with(data, at, name)

    at = tf.constant(start, tf.int64)
    (at,) = tf.while_loop(
        elsewhere, lambda at: (_webp_chunk(data, at).following,), (at,), maximum_iterations=_CHUNKS
    )
    with tf.control_dependencies([tf.debugging.Assert(starts_with(data, at, name), [name])]):
        chunk = _webp_chunk(data, at)
    return tf.strings.substr(data, chunk.body, chunk.size)


def _png_chunk(data, at) -> Chunk:
    size = numbers(data, at, 1, 4, big_endian=True)[0]
    return Chunk(tf.strings.substr(data, at + 4, 4), at + 8, size, at + 12 + size)


def _webp_chunk(data, at) -> Chunk:
    size = numbers(data, at + 4, 1, 4)[0]
    return Chunk(tf.strings.substr(data, at, 4), at + 8, size, at + 8 + size + size % 2)


def _jpeg_segment(data, at) -> Chunk:
    name = tf.strings.substr(data, at, 2)
    size = numbers(data, at + 2, 1, 2, big_endian=True)[0]
    following = tf.where(tf.equal(name, b"\xff\xff"), at + 1, at + 2 + tf.maximum(size, 2))
    return Chunk(name, at + 4, size - 2, following)


def orientation(found: Extras):
    """1 to 8, as EXIF numbers them; 1 where nothing is said, or nothing that makes sense."""
    exif = tf.cond(
        starts_with(found.exif, 0, b"Exif\0\0"),
        lambda: tf.strings.substr(found.exif, 6, tf.maximum(tf.strings.length(found.exif) - 6, 0)),
        lambda: found.exif,
    )
    value = tf.cond(
        tf.strings.length(exif) >= 10,
        lambda: _exif_orientation(exif),
        lambda: tf.constant(0, tf.int64),
    )
    value = tf.cond(tf.equal(value, 0), lambda: _xmp_orientation(found.xmp), lambda: value)
    return tf.where(tf.logical_and(value >= 1, value <= 8), value, 1)


def _exif_orientation(exif):
    """The value of the tag in the first directory; 0 where it is not there."""
    big = starts_with(exif, 0, b"MM")
    length = tf.cast(tf.strings.length(exif), tf.int64)

    def number(octets):
        return tf.where(big, _sum(octets, big_endian=True), _sum(octets, big_endian=False))

    def octets(at, count):
        return tf.io.decode_raw(tf.strings.substr(exif, at, count), tf.uint8)

    at = number(tf.reshape(octets(4, 4), [4]))
    at = tf.where(tf.logical_and(at >= 8, at + 2 <= length), at, length - 2)
    count = tf.minimum(number(tf.reshape(octets(at, 2), [2])), (length - at - 2) // 12)
    entries = tf.reshape(octets(at + 2, count * 12), [-1, 12])
    tags, kinds = number(entries[:, :2]), number(entries[:, 2:4])
    values = tf.where(tf.equal(kinds, _SHORT), number(entries[:, 8:10]), number(entries[:, 8:12]))
    whole = tf.logical_or(tf.equal(kinds, _SHORT), tf.equal(kinds, _LONG))
    wanted = tf.logical_and(whole, tf.equal(tags, _ORIENTATION))
    return tf.concat([tf.zeros([1], tf.int64), tf.boolean_mask(values, wanted)], 0)[-1]


def _xmp_orientation(xmp):
    said = tf.strings.regex_full_match(xmp, _XMP)
    digit = tf.strings.regex_replace(xmp, _XMP, r"\1", replace_global=False)
    return tf.cond(
        said, lambda: tf.strings.to_number(digit, tf.int64), lambda: tf.constant(0, tf.int64)
    )


def refused(value, why: str):
    with tf.control_dependencies([tf.debugging.Assert(False, [why])]):
        return tf.identity(value)


def starts_with(data, at, prefix: bytes):
    """Whether the bytes from `at` on are `prefix`; `at` may be the end of the file."""
    size = tf.cast(tf.strings.length(data), tf.int64)
    at = tf.cast(at, tf.int64)
    inside = tf.logical_and(at >= 0, at + len(prefix) <= size)
    return tf.equal(tf.strings.substr(data, tf.where(inside, at, 0), len(prefix)), prefix) & inside


def as_text(octets):
    """Whole numbers from 0 to 255 as the bytes of a string."""
    every = tf.constant([bytes([value]) for value in range(256)])
    return tf.strings.reduce_join(tf.gather(every, tf.cast(octets, tf.int32)))


def numbers(data, at, count: int, width: int, *, big_endian: bool = False, signed=False):
    """`count` whole numbers of `width` bytes each, from byte `at` on."""
    octets = tf.io.decode_raw(tf.strings.substr(data, at, count * width), tf.uint8)
    found = _sum(tf.reshape(octets, [count, width]), big_endian=big_endian)
    return tf.where(found >= 2**31, found - 2**32, found) if signed else found


def _sum(octets, *, big_endian: bool):
    powers = [256**place for place in range(octets.shape[-1] or 0)]
    octets = tf.cast(octets, tf.int64)
    return tf.reduce_sum(octets * (powers[::-1] if big_endian else powers), axis=-1)
