"""The graph reads every kind of picture as the reader of pictures for training does, or neither."""

import io
import struct
import zlib

import numpy as np
import pytest

from keras_metric import Preprocessing

Image = pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.tensorflow

BLOCKS = np.random.default_rng(3).integers(0, 256, (3, 2, 4))
PIXELS = np.kron(BLOCKS, np.ones((8, 9, 1))).astype(np.uint8)  # (24, 18, 4), flat: JPEG keeps it
RGBA = Image.fromarray(PIXELS)
RGB = Image.fromarray(PIXELS[..., :3])
GREY = PIXELS[..., 0]
ONE_COLOR = tuple(int(value) for value in PIXELS[0, 0, :3])
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
FINE = {"quality": 100, "subsampling": 0}
LOSSLESS = {"lossless": True, "exact": True}


def saved(image, form, **options) -> bytes:
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def palette(colors: int):
    return RGB.quantize(colors)


def exif(orientation: int, order: str = "<") -> bytes:
    mark = b"II" if order == "<" else b"MM"
    entry = struct.pack(order + "HHIHH", 0x0112, 3, 1, orientation, 0)
    other = struct.pack(order + "HHII", 0x0100, 4, 1, 18)
    return b"Exif\0\0" + mark + struct.pack(order + "HIH", 42, 8, 2) + other + entry + bytes(4)


def bmp(bits: int, rows, *, colors=b"", masks=(), header=40, packing=0, down=False) -> bytes:
    """A BMP by hand; `rows` are those of the picture, top first."""
    height, width = 24, 18
    filled = [row + bytes(-len(row) % 4) for row in rows]
    pixels = b"".join(filled if down else filled[::-1])
    if header == 12:
        head = struct.pack("<IHHHH", 12, width, height, 1, bits)
    else:
        size = -height if down else height
        used = len(colors) // 4
        head = struct.pack("<IiiHHIIIIII", 40, width, size, 1, bits, packing, 0, 0, 0, used, 0)
        head = struct.pack("<I", header) + head[4:]
        packed = struct.pack(f"<{len(masks)}I", *masks)
        head = head + packed if header == 40 else (head + packed).ljust(header, b"\0")
    start = 14 + len(head) + len(colors)
    return b"BM" + struct.pack("<IHHI", start + len(pixels), 0, 0, start) + head + colors + pixels


def bits_of(image, bits: int) -> list[bytes]:
    """Rows of the numbers of colors, packed."""
    planes = np.unpackbits(np.asarray(image)[..., None], axis=2)[..., 8 - bits :]
    return [np.packbits(row).tobytes() for row in planes.reshape(24, -1)]


def colors_of(image, count: int, width: int = 4) -> bytes:
    rgb = np.array(image.getpalette() + [0] * 768, np.uint8)[: 3 * count].reshape(-1, 3)
    return np.pad(rgb[:, ::-1], ((0, 0), (0, width - 3))).tobytes()


def sixteen(green: int) -> list[bytes]:
    red, of_green, blue = (PIXELS[..., i].astype("<u2") for i in range(3))
    values = (red >> 3 << 5 + green) | (of_green >> 8 - green << 5) | blue >> 3
    return [row.tobytes() for row in values]


def in_order(order: str, alpha=None) -> list[bytes]:
    """Rows of bytes, as BGRA and the like say; X is nothing."""
    planes = {"R": 0, "G": 1, "B": 2, "A": 3}
    found = [PIXELS[..., planes[c]] if c != "X" else 7 * np.ones_like(GREY) for c in order]
    return [row.tobytes() for row in np.stack(found, -1)]


def png(kind: int, depth: int, rows, *, trns=None, interlaced=False, after=b"") -> bytes:
    """A PNG by hand: kind 0 is grey, 2 RGB, 4 grey and alpha, 6 RGBA."""

    def chunk(name: bytes, content: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(name + content))
        return struct.pack(">I", len(content)) + name + content + check

    head = struct.pack(">IIBBBBB", 18, 24, depth, kind, 0, 0, int(interlaced))
    content = zlib.compress(b"".join(b"\0" + row for row in rows))
    half = len(content) // 2
    parts = [chunk(b"IHDR", head), chunk(b"tRNS", trns) if trns else b""]
    parts += [chunk(b"IDAT", content[:half]), chunk(b"IDAT", content[half:])]
    parts += [chunk(b"eXIf", after) if after else b"", chunk(b"IEND", b"")]
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def rows_of(array, dtype=">u2") -> list[bytes]:
    return [row.astype(dtype).tobytes() for row in array.reshape(24, -1)]


def adam7() -> list[bytes]:
    passes = [(0, 8, 0, 8), (0, 8, 4, 8), (4, 8, 0, 4), (0, 4, 2, 4), (2, 4, 0, 2), (0, 2, 1, 2)]
    parts = [PIXELS[a::b, c::d, :3] for a, b, c, d in [*passes, (1, 2, 0, 1)]]
    return [row.tobytes() for part in parts for row in part if part.shape[1]]


def gif_in_part() -> bytes:
    """A first frame of 9 x 8 at (3, 5) of a canvas of 18 x 24."""
    part = bytearray(saved(palette(8).crop((0, 0, 9, 8)), "GIF", optimize=False))
    struct.pack_into("<HH", part, 6, 18, 24)
    at = part.index(b"\x2c\0\0\0\0\x09\0\x08\0")
    struct.pack_into("<HH", part, at + 1, 3, 5)
    return bytes(part)


def files() -> dict[str, bytes]:
    wide = PIXELS.astype(np.uint16) * 257
    found = {}
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        found[f"PNG {mode}"] = saved((RGBA if "A" in mode else RGB).convert(mode), "PNG")
    for bits in (1, 2, 4):
        found[f"PNG, palette of {bits} bits"] = saved(palette(2**bits), "PNG", bits=bits)
        some = bytes(np.linspace(0, 255, 2**bits).astype(np.uint8))
        found[f"PNG, palette of {bits} bits, transparent"] = saved(
            palette(2**bits), "PNG", bits=bits, transparency=some
        )
        low = bits_of(GREY >> 8 - bits, bits)
        found[f"PNG, grey of {bits} bits"] = png(0, bits, low)
        clear = struct.pack(">H", int(GREY[0, 0]) >> 8 - bits)
        found[f"PNG, grey of {bits} bits, a clear value"] = png(0, bits, low, trns=clear)
    grey = int(np.asarray(RGB.convert("L"))[0, 0])
    found |= {
        "PNG L, a clear value": saved(RGB.convert("L"), "PNG", transparency=grey),
        "PNG RGB, a clear color": saved(RGB, "PNG", transparency=ONE_COLOR),
        "PNG P, a clear color": saved(palette(16), "PNG", transparency=3),
        "PNG, grey of 16 bits": png(0, 16, rows_of(wide[..., 0])),
        "PNG, grey of 16 bits, clear": png(
            0, 16, rows_of(wide[..., 0]), trns=struct.pack(">H", wide[0, 0, 0])
        ),
        "PNG, grey and alpha of 16 bits": png(4, 16, rows_of(wide[..., [0, 3]])),
        "PNG, RGB of 16 bits": png(2, 16, rows_of(wide[..., :3])),
        "PNG, RGBA of 16 bits": png(6, 16, rows_of(wide)),
        "PNG, interlaced": png(2, 8, adam7(), interlaced=True),
        "PNG, animated": saved(RGB, "PNG", save_all=True, append_images=[RGB.rotate(180)]),
        "PNG, EXIF": saved(RGB, "PNG", exif=exif(6)),
        "PNG, EXIF behind the pixels": png(2, 8, rows_of(PIXELS[..., :3], "u1"), after=exif(8)[6:]),
        "GIF P": saved(palette(64), "GIF"),
        "GIF L": saved(RGB.convert("L"), "GIF"),
        "GIF, interlaced": saved(palette(16), "GIF", interlace=1),
        "GIF, a clear color": saved(palette(16), "GIF", transparency=3),
        "GIF of RGBA": saved(RGBA, "GIF"),
        "GIF, animated": saved(palette(8), "GIF", save_all=True, append_images=[palette(4)]),
        "GIF, a frame in a part of it": gif_in_part(),
    }
    for mode in ("L", "RGB", "RGBA"):
        for name, options in (("lossy", {"quality": 100}), ("lossless", LOSSLESS)):
            found[f"WebP {mode}, {name}"] = saved(RGBA.convert(mode), "WEBP", **options)
    found |= {
        "WebP, animated": saved(
            RGB, "WEBP", save_all=True, append_images=[RGB.rotate(180)], **LOSSLESS
        ),
        "WebP, animated, clear": saved(
            RGBA, "WEBP", save_all=True, append_images=[RGBA.rotate(180)], **LOSSLESS
        ),
        "WebP, EXIF": saved(RGBA, "WEBP", exif=exif(5), **LOSSLESS),
        "WebP, XMP": saved(RGB, "WEBP", xmp=XMP, **LOSSLESS),
        "JPEG L": saved(RGB.convert("L"), "JPEG", quality=100),
        "JPEG CMYK": saved(RGB.convert("CMYK"), "JPEG", **FINE),
        "JPEG, progressive": saved(RGB, "JPEG", progressive=True, **FINE),
        "JPEG, XMP": saved(RGB, "JPEG", xmp=XMP, **FINE),
        "JPEG, EXIF and XMP": saved(RGB, "JPEG", xmp=XMP, exif=exif(3), **FINE),
        "JPEG, EXIF of nothing": saved(RGB, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0", **FINE),
    }
    for way in range(10):
        found[f"JPEG, orientation {way}"] = saved(RGB, "JPEG", exif=exif(way), **FINE)
        found[f"JPEG, orientation {way}, big endian"] = saved(
            RGB, "JPEG", exif=exif(way, ">"), **FINE
        )
    return found | bitmaps()


def bitmaps() -> dict[str, bytes]:
    found = {f"BMP {mode}": saved(RGB.convert(mode), "BMP") for mode in ("1", "L", "P", "RGB")}
    found["BMP RGBA"] = saved(RGBA, "BMP")
    for bits in (1, 2, 4, 8):
        image = palette(2**bits)
        rows = bits_of(image, bits)
        found[f"BMP, {bits} bits"] = bmp(bits, rows, colors=colors_of(image, 2**bits))
        found[f"BMP, {bits} bits, of OS/2"] = bmp(
            bits, rows, colors=colors_of(image, 2**bits, 3), header=12
        )
    few = palette(5)
    found["BMP, a palette of 5"] = bmp(4, bits_of(few, 4), colors=colors_of(few, 5))
    found["BMP, rows downwards"] = bmp(24, in_order("BGR"), down=True)
    found["BMP, 16 bits"] = bmp(16, sixteen(5))
    fives, six = (0x7C00, 0x3E0, 0x1F), (0xF800, 0x7E0, 0x1F)
    found["BMP, 16 bits, 5 5 5"] = bmp(16, sixteen(5), masks=fives, packing=3)
    found["BMP, 16 bits, 5 6 5"] = bmp(16, sixteen(6), masks=six, packing=3, header=56)
    found["BMP, 16 bits, 4 4 4"] = bmp(16, sixteen(5), masks=(0xF00, 0xF0, 0xF), packing=3)
    for order in ("BGRX", "XBGR", "ABGR", "RGBA", "BGRA", "BGAR", "RGBX"):
        masks = [sum(255 << 8 * i for i, c in enumerate(order) if c == one) for one in "RGBA"]
        for header in (56, 124):
            found[f"BMP, {order}, header {header}"] = bmp(
                32, in_order(order), masks=masks, packing=3, header=header
            )
    found["BMP, BGRX, header 40"] = bmp(
        32, in_order("BGRX"), masks=(0xFF0000, 0xFF00, 0xFF), packing=3
    )
    found["BMP, no masks"] = bmp(32, in_order("BGRA"), masks=(0, 0, 0, 0), packing=3, header=56)
    runs = [bytes([18, row % 4, 0, 0]) for row in range(23)] + [bytes([18, 1, 0, 1])]
    few = colors_of(palette(4), 4)
    found["BMP, run-length encoded"] = bmp(8, runs, colors=few, packing=1)
    found["BMP, broken off"] = bmp(24, in_order("BGR"))[:-5]
    found["BMP, another header"] = bmp(24, in_order("BGR"), header=44)
    return found


REFUSED = {
    "GIF, a frame in a part of it",
    "BMP, 2 bits",
    "BMP, 2 bits, of OS/2",
    "BMP, 16 bits, 4 4 4",
    "BMP, run-length encoded",
    "BMP, broken off",
    "BMP, another header",
    *(f"BMP, RGBX, header {header}" for header in (56, 124)),
}


def by_the_reader(data: bytes, preprocess):
    try:
        return preprocess(data)
    except ValueError:
        return None


@pytest.mark.filterwarnings("ignore:Corrupt EXIF data")  # of Pillow, which reads on
@pytest.mark.parametrize(
    "preprocess",
    [
        Preprocessing((20, 14)),
        Preprocessing((20, 14), color="grayscale", fill=90),
        Preprocessing((20, 15), resize="letterbox", fill=200),
        Preprocessing((20, 11), resize="crop", interpolation="bicubic"),
        Preprocessing((30, 47), resize="letterbox", interpolation="bicubic", upright=False),
    ],
    ids=str,
)
def test_graph_and_reader_see_the_same_picture_or_none(preprocess):
    from keras_metric.export.saved_models.pictures import decoder

    made = files()
    most = 1 if preprocess.interpolation == "bilinear" else 2  # where both passes round a half
    decode = decoder(preprocess, "float32", max_pixels=2**25)
    pictures, valid = (np.asarray(part) for part in decode(np.array([*made.values()], object)))
    wrong = {}
    for name, picture, decoded, data in zip(made, pictures, valid, made.values(), strict=True):
        wanted = by_the_reader(data, preprocess)
        if (wanted is None) != (name in REFUSED) or decoded == (wanted is None):
            wrong[name] = f"read by the reader: {wanted is not None}, by the graph: {decoded}"
        elif wanted is not None and np.abs(picture - wanted).max() > most:
            wrong[name] = f"{np.abs(picture - wanted).max():g} gray levels apart"
    assert not wrong
    assert len(made) > 90


@pytest.mark.parametrize(
    ("side", "resize"), [(200, "stretch"), (400, "letterbox"), (800, "crop"), (1600, "stretch")]
)
def test_a_large_photograph_is_decoded_to_the_same_fraction_of_its_size(side, resize):
    """Both ask libjpeg for a half, a fourth or an eighth; then the sides change places."""
    from keras_metric.export.saved_models.pictures import decoder

    noise = np.random.default_rng(side).integers(0, 256, (side // 8, side // 5, 3), np.uint8)
    large = Image.fromarray(noise).resize((side, 3 * side // 4), Image.Resampling.BICUBIC)
    data = saved(large, "JPEG", exif=exif(6), quality=80)
    preprocess = Preprocessing((20, 14), resize=resize)
    picture, valid = decoder(preprocess, "float32", max_pixels=2**25)(np.array([data], object))
    assert valid[0]
    np.testing.assert_allclose(np.asarray(picture)[0], preprocess(data), atol=1)


def test_a_long_strip_is_cropped_without_enlarging_all_of_it():
    from keras_metric.export.saved_models.pictures import decoder

    strip = np.random.default_rng(0).integers(0, 256, (1, 2**16, 3), np.uint8)
    data = saved(Image.fromarray(strip), "PNG")
    preprocess = Preprocessing((224, 224), resize="crop")  # all of it would be 10 GB
    picture, valid = decoder(preprocess, "float32", max_pixels=2**25)(np.array([data], object))
    assert valid[0]
    np.testing.assert_allclose(np.asarray(picture)[0], preprocess(data), atol=1)


def test_a_file_of_millions_of_chunks_costs_no_more_than_others():
    from keras_metric.export.saved_models.pictures import decoder

    whole = png(2, 8, rows_of(PIXELS[..., :3], "u1"))
    empty = struct.pack(">I", 0) + b"teSt" + struct.pack(">I", zlib.crc32(b"teSt"))
    data = whole[:33] + empty * 300_000 + whole[33:]
    decode = decoder(Preprocessing((20, 14)), "float32", max_pixels=2**25)
    picture, valid = decode(np.array([data], object))
    wanted, _ = decode(np.array([whole], object))
    if valid[0]:
        np.testing.assert_array_equal(picture, wanted)
