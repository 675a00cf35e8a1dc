"""Images of a folder are read when a batch asks for them, as the files have them."""

import numpy as np
import pytest

from keras_metric import Preprocessing
from keras_metric.batches import FolderImages, PKBatches

Image = pytest.importorskip("PIL.Image")


@pytest.fixture
def folder(tmp_path):
    for name, levels in {"owl": (10, 20, 30), "crow": (200, 210), ".cache": (0,)}.items():
        (tmp_path / name / "deep").mkdir(parents=True)
        for level in levels:
            place = tmp_path / name / ("deep" if level == 30 else "") / f"{level}.png"
            Image.new("RGB", (4, 2), (level, 0, 0)).save(place)
    (tmp_path / "empty").mkdir()
    (tmp_path / "owl" / "notes.txt").write_text("not an image")
    return tmp_path


def test_lists_classes_and_reads_rows(folder):
    source = FolderImages(folder, image_size=(3, 5))
    assert source.class_names == ["crow", "owl"]
    assert source.labels.tolist() == [0, 0, 1, 1, 1]
    images = source[np.array([4, 0])]
    assert images.shape == (2, 3, 5, 3)
    assert images.dtype == np.float32
    levels = [float(path.stem) for path in source.paths]
    np.testing.assert_array_equal(images[:, 0, 0, 0], [levels[4], levels[0]])
    np.testing.assert_array_equal(source[1], source[np.array([1])][0])
    assert source[np.array([], int)].shape == (0, 3, 5, 3)


def test_grayscale_has_one_channel(folder):
    assert FolderImages(folder, image_size=(3, 5), color="grayscale")[[0]].shape == (1, 3, 5, 1)


def test_pictures_are_read_as_a_preprocessing_says(folder):
    chosen = Preprocessing((4, 4), resize="letterbox", fill=255, pixel_range=(0, 1))
    source = FolderImages(folder, preprocessing=chosen)
    np.testing.assert_array_equal(source[[2]][0], chosen(source.paths[2]))
    np.testing.assert_array_equal(source[0][:, 0, 0] == 1, [True, False, False, True])
    assert source[np.array([], int)].shape == (0, 4, 4, 3)


def test_the_size_is_given_once(folder):
    with pytest.raises(ValueError, match="not clear.*Expected: .*Received: neither"):
        FolderImages(folder)
    with pytest.raises(ValueError, match="not clear.*Expected: .*Received: both"):
        FolderImages(folder, image_size=(2, 2), preprocessing=Preprocessing((2, 2)))
    with pytest.raises(ValueError, match="their own sizes.*Expected: .*a size.*Received: any size"):
        FolderImages(folder, preprocessing=Preprocessing())


def test_batches_from_a_folder(folder):
    source = FolderImages(folder, image_size=(2, 2))
    images, labels = PKBatches(source, source.labels, classes_per_batch=2, images_per_class=2)[0]
    np.testing.assert_array_equal(images[:, 0, 0, 0] < 100, labels == 1)


def test_refuses_a_folder_without_images_and_an_unknown_color(folder):
    with pytest.raises(ValueError, match=r"no images.*Expected.*Received"):
        FolderImages(folder / "empty", image_size=(2, 2))
    with pytest.raises(ValueError, match=r"color.*Expected: one of rgb, grayscale.*'red'"):
        FolderImages(folder, image_size=(2, 2), color="red")


def test_a_damaged_file_is_named_or_left_out(folder):
    whole = (folder / "owl" / "10.png").read_bytes()
    (folder / "owl" / "torn.png").write_bytes(whole[: len(whole) // 2])
    source = FolderImages(folder, image_size=(2, 2))
    with pytest.raises(ValueError, match=r"torn.png is damaged"):
        source[np.arange(len(source))]
    verified = FolderImages(folder, image_size=(2, 2), verify=True)
    assert len(verified) == len(source) - 1
    assert {path.name for path, _ in verified.skipped} == {"torn.png", "notes.txt"}


def test_pictures_stand_upright(tmp_path):
    picture = Image.new("RGB", (4, 2))
    exif = Image.Exif()
    exif[0x0112] = 6  # turn clockwise
    picture.paste("white", (0, 0, 4, 1))
    (tmp_path / "a").mkdir()
    picture.save(tmp_path / "a" / "a.png", exif=exif)
    np.testing.assert_array_equal(FolderImages(tmp_path, image_size=(4, 2))[0][0, :, 0], [0, 255])
