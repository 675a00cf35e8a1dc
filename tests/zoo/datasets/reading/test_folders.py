"""Image folders and lists, what is left out of them, and how pictures are fitted."""

import numpy as np
import pytest

from keras_metric import Preprocessing
from zoo.datasets.reading.folders import Files, load, scan

Image = pytest.importorskip("PIL.Image")


def write(path, colour, size=(6, 4), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, colour).save(path, **options)


@pytest.fixture
def folder(tmp_path):
    root = tmp_path / "pictures"
    write(root / "red" / "b.png", "red")
    write(root / "red" / "deeper" / "c.PNG", "red")
    write(root / "blue" / "a.png", "blue")
    write(root / "blue" / ".hidden.png", "blue")
    write(root / ".cache" / "x.png", "blue")
    (root / "red" / "notes.txt").write_text("x")
    (root / "list.csv").write_text("x")
    return root


def test_each_sub_folder_is_a_class_in_sorted_order(folder):
    files = scan(folder)
    assert files.names == ("blue", "red")
    assert [path.name for path in files.paths] == ["a.png", "b.png", "c.PNG"]
    assert files.labels.tolist() == [0, 1, 1]
    assert {path.name: reason for path, reason in files.skipped} == {
        ".hidden.png": "hidden",
        ".cache": "hidden",
        "notes.txt": "not an image by its name",
        "list.csv": "not in the folder of a class",
    }
    assert repr(files) == "Files(3 in 2 classes, 4 skipped)"


def test_unreadable_files_are_left_out_with_a_warning(folder):
    (folder / "red" / "broken.png").write_bytes(b"nothing")
    assert (folder / "red" / "broken.png", "unreadable: UnidentifiedImageError") in scan(
        folder
    ).skipped
    with pytest.warns(UserWarning, match=r"1 pictures cannot be read .*broken.png"):
        assert len(load(folder, 4)) == 3


def test_a_list_names_paths_and_classes(folder):
    path = folder / "list.tsv"
    path.write_text("red/b.png\twarm\n\nblue/a.png\tcold\nred/deeper/c.PNG\twarm\n")
    files = scan(path)
    assert files.names == ("cold", "warm")
    assert files.labels.tolist() == [1, 0, 1]
    assert load(path, 3).images[1, 1, 1].tolist() == [0, 0, 255]


@pytest.mark.parametrize(
    ("line", "error", "message"),
    [
        ("red/b.png warm", ValueError, "Line 2 of .* Expected: a path, a tab and a class"),
        ("red/b.png\t", ValueError, "Expected: a path, a tab and a class"),
        ("red/none.png\twarm", FileNotFoundError, "Line 2 of .* names no file"),
    ],
)
def test_a_bad_line_is_named(folder, line, error, message):
    path = folder / "list.tsv"
    path.write_text(f"red/b.png\twarm\n{line}\n")
    with pytest.raises(error, match=message):
        scan(path)


def test_places_without_pictures_are_refused(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="Expected: a folder with one sub-folder a class"):
        scan(tmp_path / "none")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="has no classes"):
        scan(tmp_path / "empty")
    (folder / "green").mkdir()
    with pytest.raises(ValueError, match="a class without pictures.*Received: green"):
        scan(folder)


@pytest.mark.parametrize(
    ("resize", "rows"),
    [
        ("letterbox", [[9] * 3, [255, 0, 0], [255, 0, 0], [9] * 3]),
        ("crop", [[255, 0, 0]] * 4),
        ("stretch", [[255, 0, 0]] * 4),
    ],
)
def test_pictures_are_fitted_into_the_frame(tmp_path, resize, rows):
    write(tmp_path / "p" / "red" / "a.png", "red", size=(8, 4))
    images = load(tmp_path / "p", 4, resize=resize, fill=9)
    assert images.images[0, :, 1].tolist() == rows


def test_crop_takes_the_middle_and_stretch_everything(tmp_path):
    picture = np.zeros((2, 6, 3), np.uint8)
    picture[:, 2:4] = 255
    (tmp_path / "p" / "a").mkdir(parents=True)
    Image.fromarray(picture).save(tmp_path / "p" / "a" / "a.png")
    assert load(tmp_path / "p", 2, resize="crop").images.min() == 255
    assert load(tmp_path / "p", (2, 6), resize="stretch").images[0, 0, :, 0].tolist() == [
        0, 0, 255, 255, 0, 0,
    ]  # fmt: skip


def test_what_is_learnt_is_what_embedding_and_serving_will_see(tmp_path):
    from zoo.inference.bulk.pipeline import Reader

    (tmp_path / "a").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (9, 14, 3), np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a" / "a.png")
    for chosen in (Preprocessing((6, 7)), Preprocessing((6, 7), resize="letterbox", fill=9)):
        learnt = load(tmp_path, chosen).images[0]
        np.testing.assert_array_equal(learnt, Reader(tmp_path, chosen).read("a/a.png"))
    stretched = load(tmp_path, (6, 7)).images[0]
    np.testing.assert_array_equal(stretched, Preprocessing((6, 7)).read(tmp_path / "a" / "a.png"))


def test_size_is_height_and_width(folder):
    assert load(folder, (5, 7)).shape == (5, 7, 3)
    assert load(folder, 5, grey=True).shape == (5, 5, 1)


def test_exif_turns_the_picture_upright(tmp_path):
    picture = Image.new("RGB", (8, 4), "black")
    picture.paste("white", (0, 0, 8, 2))
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "p" / "a").mkdir(parents=True)
    picture.save(tmp_path / "p" / "a" / "a.jpg", exif=exif, quality=95)
    upright = load(tmp_path / "p", (8, 4)).images[0, :, :, 0]
    assert upright[:, 2:].min() > 200
    assert upright[:, :2].max() < 50


def test_transparency_and_sixteen_bits_and_palettes(tmp_path):
    (tmp_path / "p" / "a").mkdir(parents=True)
    Image.new("RGBA", (4, 4), (255, 0, 0, 0)).save(tmp_path / "p" / "a" / "1.png")
    Image.fromarray(np.full((4, 4), 40000, np.uint16)).save(tmp_path / "p" / "a" / "2.png")
    Image.new("RGB", (4, 4), "lime").quantize(4).save(tmp_path / "p" / "a" / "3.png")
    images = load(tmp_path / "p", 4, fill=30).images
    assert images[:, 2, 2].tolist() == [[30, 30, 30], [156, 156, 156], [0, 255, 0]]


def test_too_much_for_the_memory_is_refused_before_reading(folder):
    files = scan(folder)
    unread = Files(files.paths * 1000, np.tile(files.labels, 1000), files.names)
    with pytest.raises(MemoryError, match=r"3,000 pictures of 1000 x 1000 .* Received: 8.4 GiB"):
        load(unread, 1000)
    assert len(load(files, 4, largest=1)) == 3


@pytest.mark.parametrize("size", [0, (4,), (4, -1)])
def test_a_bad_size_is_refused(folder, size):
    with pytest.raises(ValueError, match="Expected: a side, or height and width"):
        load(folder, size)


def test_a_picture_that_breaks_off_is_named(tmp_path, rng):
    (tmp_path / "p" / "a").mkdir(parents=True)
    path = tmp_path / "p" / "a" / "a.png"
    Image.fromarray(rng.integers(0, 256, (40, 40, 3), dtype=np.uint8)).save(path)
    path.write_bytes(path.read_bytes()[:2000])
    with (
        pytest.warns(UserWarning, match=r"1 pictures cannot be read .*a.png"),
        pytest.raises(ValueError, match="a class without pictures"),
    ):
        load(tmp_path / "p", 8)
    Image.new("RGB", (5, 5)).save(tmp_path / "p" / "a" / "b.png")
    with pytest.warns(UserWarning, match=r"1 pictures cannot be read .*a.png"):
        images = load(tmp_path / "p", 8)
    assert len(images) == len(images.labels) == 1


def test_what_a_list_names_and_is_not_there_can_be_left_out(folder):
    path = folder / "list.csv"
    path.write_text("file,class\nred/b.png,warm\nred/none.png,warm\n")
    with pytest.raises(FileNotFoundError, match="Line 3 of .*skip_missing=True"):
        scan(path)
    assert scan(path, skip_missing=True).skipped == ((folder / "red" / "none.png", "not there"),)
    with pytest.warns(UserWarning, match="none.png"):
        assert len(load(path, 4, skip_missing=True)) == 1


def test_an_unknown_resize_is_refused(folder):
    with pytest.raises(
        ValueError, match="Expected: one of stretch, letterbox, crop. Received: 'pad'"
    ):
        load(folder, 4, resize="pad")


def test_the_clothing_photos(real_data):
    images = load(real_data / "clothing" / "validation", 32)
    assert images.shape == (32, 32, 3)
    assert len(images) == 341
    assert len(images.classes) == 10
    assert images.images.std() > 30
