"""How a picture becomes an input: by hand, from every kind of argument, kept by the model."""

import io
import zipfile

import keras
import numpy as np
import pytest

import keras_metric as km
from keras_metric import image_files
from keras_metric.preprocessing import attach, attached, in_file, of, store

Image = pytest.importorskip("PIL.Image")
pytestmark = pytest.mark.tensorflow

WIDE = np.arange(4 * 8 * 3, dtype=np.uint8).reshape(4, 8, 3)
LETTERBOX = km.Preprocessing((8, 8), resize="letterbox", fill=255)


def file_of(pixels, form="PNG", **options) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, form, **options)
    return file.getvalue()


def encoder(side=8, channels=3):
    image = keras.Input((side, side, channels))
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))


def test_a_letterbox_keeps_all_of_the_picture_between_margins_of_fill():
    made = LETTERBOX.read(WIDE)
    np.testing.assert_array_equal(made[2:6], WIDE)
    assert (made[[0, 1, 6, 7]] == 255).all()


def test_a_crop_is_the_middle_of_the_picture():
    made = km.Preprocessing((4, 4), resize="crop").read(WIDE)
    np.testing.assert_array_equal(made, WIDE[:, 2:6])


def test_stretching_fills_the_size():
    made = km.Preprocessing((4, 4)).read(np.repeat(WIDE[:, ::2], 2, axis=1))
    assert made.shape == (4, 4, 3)
    assert np.abs(made.astype(int) - WIDE[:, ::2]).max() <= 1


def test_every_form_of_a_picture_gives_the_same_pixels(tmp_path):
    data = file_of(WIDE)
    (tmp_path / "wide.png").write_bytes(data)
    path = tmp_path / "wide.png"
    expected = LETTERBOX.read(path)
    for given in (str(path), data, io.BytesIO(data), Image.open(path), WIDE):
        np.testing.assert_array_equal(LETTERBOX.read(given), expected)


def test_an_image_of_pillow_is_left_as_it_was():
    image = Image.open(io.BytesIO(file_of(WIDE[..., :3], exif=turned())))
    first, second = LETTERBOX.read(image), LETTERBOX.read(image)
    np.testing.assert_array_equal(first, second)
    assert image.size == (8, 4)


def turned():
    exif = Image.Exif()
    exif[0x0112] = 6
    return exif


def test_exif_data_turns_the_picture_unless_it_is_ignored():
    data = file_of(WIDE, exif=turned())
    made = km.Preprocessing().read(data)
    np.testing.assert_array_equal(made, np.rot90(WIDE, -1))
    np.testing.assert_array_equal(km.Preprocessing(upright=False).read(data), WIDE)


def test_transparent_parts_show_the_fill_and_gray_is_one_channel():
    clear = np.dstack([WIDE, np.zeros((4, 8), np.uint8)])
    assert (km.Preprocessing(fill=200).read(clear) == 200).all()
    gray = km.Preprocessing(color="grayscale").read(WIDE)
    luma = WIDE @ np.array([0.299, 0.587, 0.114])
    np.testing.assert_allclose(gray[..., 0], luma, atol=0.51)


def test_bicubic_is_another_interpolation():
    made = [
        km.Preprocessing((9, 9), interpolation=name).read(WIDE) for name in ("bilinear", "bicubic")
    ]
    assert (made[0] != made[1]).any()


def test_the_pixel_range_scales_and_a_batch_is_stacked():
    preprocess = km.Preprocessing((4, 8), pixel_range=(-1, 1))
    batch = preprocess.batch([WIDE, file_of(WIDE)])
    assert (batch.shape, batch.dtype) == ((2, 4, 8, 3), np.float32)
    np.testing.assert_allclose(batch[0], WIDE / 127.5 - 1, atol=1e-6)
    np.testing.assert_array_equal(batch[0], batch[1])
    assert preprocess.batch([]).shape == (0, 4, 8, 3)
    assert km.Preprocessing((4, 8))(WIDE).max() == WIDE.max()


def test_a_batch_needs_a_size():
    with pytest.raises(ValueError, match="(?s)no batch.*Expected: .*a size.*Received: any size"):
        km.Preprocessing().batch([WIDE])


@pytest.mark.parametrize(
    ("argument", "value", "told"),
    [
        ("size", 224, "height and width"),
        ("size", (224, 0), "height and width"),
        ("size", (224, 224, 3), "height and width"),
        ("resize", "pad", "stretch, letterbox, crop"),
        ("fill", 256, "0 to 255"),
        ("fill", 0.5, "0 to 255"),
        ("interpolation", "nearest", "bilinear, bicubic"),
        ("color", "gray", "rgb, grayscale"),
        ("upright", 1, "a bool"),
        ("pixel_range", (0, 0), "two different"),
        ("pixel_range", (0, float("nan")), "two different"),
        ("pixel_range", 255, "two different"),
    ],
)
def test_arguments_out_of_range_are_refused(argument, value, told):
    with pytest.raises(ValueError, match=f"(?s)Expected.*{told}.*Received"):
        km.Preprocessing(**{argument: value})


def test_pixels_that_are_no_picture_are_refused():
    for pixels in (WIDE.astype(float), WIDE[..., :2], WIDE[None]):
        with pytest.raises(ValueError, match=r"not a picture.*Expected: uint8 .*Received: "):
            LETTERBOX.read(pixels)
    with pytest.raises(image_files.Unreadable, match="in memory is damaged.*Expected.*Received"):
        LETTERBOX.read(b"no picture")


def test_json_and_back():
    for one in (LETTERBOX, km.Preprocessing(color="grayscale", pixel_range=(0, 1), upright=False)):
        assert km.Preprocessing.from_json(one.as_json()) == one
    with pytest.raises(ValueError, match="not a preprocessing.*Expected.*resize.*Received.*rotate"):
        km.Preprocessing.from_json({"rotate": 3})


def test_it_says_what_it_does_and_what_differs():
    assert str(LETTERBOX) == "8 x 8, rgb, letterbox, bilinear, fill 255, pixels 0..255"
    other = LETTERBOX.with_changes(resize="crop", fill=None)
    assert (LETTERBOX.difference(other), other.difference(LETTERBOX)) == (
        "resize='letterbox'",
        "resize='crop'",
    )
    assert LETTERBOX.difference(LETTERBOX) == ""


def test_the_default_is_that_of_the_input():
    assert of(encoder(channels=1)) == km.Preprocessing((8, 8), color="grayscale")
    assert of(encoder(side=None)) == km.Preprocessing()
    with pytest.raises(ValueError, match="does not take images.*Expected.*Received: .*5"):
        of(encoder(channels=5))


def test_a_model_carries_it_through_its_file(tmp_path):
    model, path = encoder(), tmp_path / "model.keras"
    assert attached(model) is None
    assert attach(model, LETTERBOX) is model
    assert attached(model) == of(model) == LETTERBOX
    model.save(path)
    assert in_file(path) == LETTERBOX
    pixels = np.float32(WIDE[None, :, :, :].repeat(2, 1))
    loaded = keras.saving.load_model(path)  # plain Keras ignores it
    assert attached(loaded) is None
    np.testing.assert_array_equal(loaded.predict_on_batch(pixels), model.predict_on_batch(pixels))


def test_what_is_attached_later_counts_and_other_assets_stay(tmp_path):
    model, path = encoder(), tmp_path / "model.keras"
    model.save_assets = lambda folder: (tmp_path.__class__(folder) / "own.txt").write_text("own")
    attach(attach(model, km.Preprocessing()), LETTERBOX)
    model.save(path)
    assert in_file(path) == LETTERBOX
    with zipfile.ZipFile(path) as archive:
        assert archive.read("assets/own.txt") == b"own"


def test_a_file_can_be_given_one(tmp_path):
    model, path = encoder(), tmp_path / "model.keras"
    model.save(path)
    assert in_file(path) is None
    for one in (km.Preprocessing(), LETTERBOX):
        store(path, one)
        assert in_file(path) == one
    assert [file.name for file in tmp_path.iterdir()] == ["model.keras"]
    with zipfile.ZipFile(path) as archive:
        assert archive.testzip() is None
        assert sorted(archive.namelist()) == sorted(set(archive.namelist()))
    keras.saving.load_model(path)


def test_files_that_hold_none_are_told(tmp_path):
    with pytest.raises(FileNotFoundError, match="no model.*Expected.*Received: no such file"):
        in_file(tmp_path / "gone.keras")
    (tmp_path / "old.h5").write_bytes(b"\x89HDF")
    assert in_file(tmp_path / "old.h5") is None
    with pytest.raises(ValueError, match=r"\.keras files only.*Expected.*Received: .*old.h5"):
        store(tmp_path / "old.h5", LETTERBOX)
    with zipfile.ZipFile(tmp_path / "torn.keras", "w") as archive:
        archive.writestr("assets/preprocessing.json", "{")
    with pytest.raises(ValueError, match=r"torn.keras cannot be read.*Expected.*Received"):
        in_file(tmp_path / "torn.keras")
