"""Image files in, the same answers out; a file that is no image spoils no other."""

import io

import keras
import numpy as np
import pytest

from keras_metric import Preprocessing
from keras_metric.export import Runtime, read_metadata, saved_model
from keras_metric.preprocessing import attach

Image = pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.tensorflow


def encoded(pixels, form, mode="RGB", **settings) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).convert(mode).save(file, form, **settings)
    return file.getvalue()


@pytest.fixture(scope="module")
def blocks():
    """(45, 33, 3) uint8 of flat blocks, so that lossy formats keep them."""
    draw = np.random.default_rng(3).integers(0, 256, (5, 3, 3))
    return np.kron(draw, np.ones((9, 11, 1))).astype(np.uint8)


@pytest.fixture(scope="module")
def decode():
    """`(shape, files, **options) -> images, valid`, in one process with the tests."""
    from keras_metric.export.saved_models.pictures import decoder

    def run(shape, files, *, dtype="float32", pixel_range=(0.0, 255.0), max_pixels=2**25):
        chosen = Preprocessing.of_shape((None, *shape)).with_changes(pixel_range=pixel_range)
        decoded = decoder(chosen, dtype, max_pixels=max_pixels)
        return [np.asarray(part) for part in decoded(np.array(files, object))]

    return run


FORMATS = [
    ("PNG", "RGB", {}),
    ("PNG", "L", {}),
    ("PNG", "P", {}),
    ("PNG", "1", {}),
    ("PNG", "LA", {}),
    ("BMP", "RGB", {}),
    ("GIF", "P", {}),
    ("WEBP", "RGB", {"lossless": True}),
    ("WEBP", "RGB", {"quality": 100}),
    ("WEBP", "RGBA", {"quality": 100}),
    ("JPEG", "RGB", {"quality": 100, "subsampling": 0}),
    ("JPEG", "L", {"quality": 100}),
]


@pytest.mark.diagonal
@pytest.mark.parametrize(("form", "mode", "settings"), FORMATS)
@pytest.mark.parametrize("shape", [(45, 33, 3), (16, 12, 3), (60, 70, 1)])
def test_files_become_what_pillow_makes_of_them(decode, blocks, form, mode, settings, shape):
    data = encoded(blocks, form, mode, **settings)
    with Image.open(io.BytesIO(data)) as image:
        image = image.convert("L" if shape[-1] == 1 else "RGB")
        wanted = np.asarray(image.resize(shape[1::-1], Image.Resampling.BILINEAR), np.float32)
    images, valid = decode(shape, [data])
    assert valid.tolist() == [True]
    np.testing.assert_allclose(images[0], wanted.reshape(shape), atol=1)


def test_pixels_are_put_on_the_range_of_the_model(decode, blocks):
    data = [encoded(blocks, "PNG")]
    plain, _ = decode((45, 33, 3), data)
    np.testing.assert_array_equal(plain[0], blocks)
    scaled, _ = decode((45, 33, 3), data, pixel_range=(1.0, -1.0))
    np.testing.assert_allclose(scaled[0], 1 - blocks / 127.5, atol=1e-6)
    whole, _ = decode((45, 33, 3), data, dtype="uint8")
    assert whole.dtype == np.uint8
    np.testing.assert_array_equal(whole[0], blocks)


def broken(blocks) -> list[bytes]:
    whole = [encoded(blocks, form) for form in ("PNG", "JPEG", "WEBP", "BMP", "GIF")]
    heads = [b"", b"\x89PNG", b"\xff\xd8\xff", b"RIFF", b"BM", b"GIF8", b"hello, world"]
    return [*heads, *(data[: len(data) // 2] for data in whole), whole[0][:-30] + b"x" * 30]


def test_a_broken_file_spoils_no_other(decode, blocks):
    good = encoded(blocks, "PNG")
    files = [part for bad in broken(blocks) for part in (bad, good)]
    images, valid = decode((45, 33, 3), files)
    assert valid.tolist() == [False, True] * (len(files) // 2)
    np.testing.assert_array_equal(images[1::2], np.broadcast_to(blocks, images[1::2].shape))
    assert not images[0::2].any()


def test_mutated_files_are_images_or_not_and_nothing_else(decode, blocks):
    """2,000 files with bytes changed, or broken off, in batches with a whole one at the end."""
    whole = [encoded(blocks, form) for form in ("PNG", "JPEG", "WEBP", "BMP", "GIF")]
    draw = np.random.default_rng(11)

    def mutated() -> bytes:
        data = bytearray(whole[draw.integers(len(whole))])
        for _ in range(draw.integers(1, 20)):
            data[draw.integers(min(len(data), draw.choice([40, 10_000])))] = draw.integers(256)
        return bytes(data[: draw.integers(len(data) + 1)] if draw.random() < 0.4 else data)

    for _ in range(20):
        images, valid = decode((45, 33, 3), [*(mutated() for _ in range(100)), whole[0]])
        assert images.shape == (101, 45, 33, 3)
        assert not valid.all()
        assert valid[-1]
        np.testing.assert_array_equal(images[-1], blocks)
        assert not images[~valid].any()


@pytest.mark.parametrize(("form", "mode", "settings"), FORMATS)
def test_the_header_counts_the_pixels_before_decoding(decode, blocks, form, mode, settings):
    data = encoded(blocks[:40, :31], form, mode, **settings)
    assert decode((8, 8, 3), [data], max_pixels=40 * 31)[1].all()
    assert not decode((8, 8, 3), [data], max_pixels=40 * 31 - 1)[1].any()


def test_a_small_file_of_huge_size_is_refused_unread(decode, blocks):
    bomb = bytearray(encoded(blocks, "PNG"))
    bomb[16:24] = (30_000).to_bytes(4, "big") * 2
    _, valid = decode((8, 8, 3), [bytes(bomb), encoded(blocks, "PNG")])
    assert valid.tolist() == [False, True]


@pytest.fixture(scope="module")
def runtime(exported):
    with Runtime(exported, xla=True) as served:
        yield served


def test_bytes_answers_as_images_do(runtime, encoder):
    pixels = np.random.default_rng(5).integers(0, 256, (3, 16, 12, 3)).astype(np.uint8)
    files = [encoded(p, "PNG") for p in pixels]
    wanted = np.asarray(encoder(pixels.astype("float32"), training=False))
    answer = runtime("bytes", image_bytes=[files[0], b"no image", files[2]])
    assert answer["valid"].tolist() == [True, False, True]
    np.testing.assert_allclose(answer["embeddings"][::2], wanted[::2], rtol=1e-5, atol=1e-5)
    assert not answer["embeddings"][1].any()
    assert runtime("bytes", image_bytes=np.zeros(0, object))["embeddings"].shape == (0, 5)


def test_a_broken_file_is_like_nothing(runtime):
    pixels = np.random.default_rng(6).integers(0, 256, (16, 12, 3)).astype(np.uint8)
    good = encoded(pixels, "PNG")
    answer = runtime("similarity_bytes", left_bytes=[good, good, b""], right_bytes=[good, b"", b""])
    assert answer["valid"].tolist() == [True, False, False]
    assert answer["same"].tolist() == [True, False, False]
    assert answer["distance"][0] == 0
    assert (answer["distance"][1:] == np.finfo(np.float32).max).all()


def test_the_pixel_range_reaches_the_signature(encoder, tmp_path):
    pixels = np.random.default_rng(8).integers(0, 256, (16, 12, 3)).astype(np.uint8)
    folder = saved_model(encoder, tmp_path, signatures=["bytes"], pixel_range=(0, 1))
    with Runtime(folder, xla=True) as served:
        answer = served("bytes", image_bytes=[encoded(pixels, "PNG")])
    wanted = np.asarray(encoder(pixels[None] / np.float32(255), training=False))
    np.testing.assert_allclose(answer["embeddings"], wanted, atol=1e-5)


def test_a_model_that_carries_its_preprocessing_serves_it(encoder, tmp_path):
    preprocess = Preprocessing((16, 12), resize="letterbox", fill=255, pixel_range=(0, 1))
    carrying = attach(keras.models.clone_model(encoder), preprocess)
    carrying.set_weights(encoder.get_weights())
    folder = saved_model(carrying, tmp_path, signatures=["bytes"])
    assert Preprocessing.from_json(read_metadata(folder)["preprocessing"]) == preprocess
    pixels = np.random.default_rng(8).integers(0, 256, (9, 40, 3)).astype(np.uint8)
    with Runtime(folder, xla=True) as served:
        answer = served("bytes", image_bytes=[encoded(pixels, "PNG")])
    wanted = np.asarray(encoder(preprocess(pixels)[None], training=False))
    np.testing.assert_allclose(answer["embeddings"], wanted, atol=1e-2)


def test_a_preprocessing_of_another_size_is_refused(encoder, tmp_path):
    other = Preprocessing((8, 8))
    with pytest.raises(ValueError, match=r"does not fit.*Expected: .*16, 12, 3.*Received: 8 x 8"):
        saved_model(encoder, tmp_path, signatures=["bytes"], preprocessing=other)
