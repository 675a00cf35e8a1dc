"""`keras-metric cam`: the pictures it writes, what it skips, and what it refuses."""

import json

import keras
import numpy as np
import pytest

import zoo
from keras_metric.cam import CAM, targets
from keras_metric.plots import overlay
from zoo.cli import main
from zoo.progress import shown

pytestmark = pytest.mark.tensorflow


@pytest.fixture
def photos(photo, tmp_path):
    """A folder with a picture, one below it, and one that breaks off."""
    folder = tmp_path / "photos"
    (folder / "deep").mkdir(parents=True)
    content = photo.read_bytes()
    (folder / "one.png").write_bytes(content)
    (folder / "deep" / "two.png").write_bytes(content)
    (folder / "broken.png").write_bytes(content[:-300])
    (folder / "notes.txt").write_text("no image")
    return folder


def pixels(path):
    return keras.utils.img_to_array(keras.utils.load_img(path)).astype("uint8")


def test_one_method_and_class_give_the_overlay(classifier, photo, tmp_path, capsys):
    target = tmp_path / "map.png"
    style = ["--class", "2", "--method", "gradcam", "--alpha", "0.3", "--colormap", "viridis"]
    assert main(["cam", str(classifier), str(photo), "-o", str(target), *style]) == 0
    assert f"{target}: class 2" in capsys.readouterr().out
    image = pixels_of_size(photo)
    maps = CAM(keras.saving.load_model(classifier), "gradcam")(image[None], 2)
    expected = overlay(image, maps[0], alpha=0.3, cmap="viridis")
    np.testing.assert_array_equal(pixels(target), expected)


def pixels_of_size(photo):
    image = keras.utils.load_img(photo, target_size=(16, 12), interpolation="bilinear")
    return keras.utils.img_to_array(image).astype("uint8")


def test_signed_maps_are_red_and_blue(classifier, photo, tmp_path):
    target = tmp_path / "map.png"
    arguments = ["cam", str(classifier), str(photo), "-o", str(target), "--class", "1"]
    assert main([*arguments, "--signed"]) == 0
    model = keras.saving.load_model(classifier)
    signed = CAM(model, relu=False, normalize="max")(pixels_of_size(photo)[None], 1)
    expected = overlay(pixels_of_size(photo), signed[0], signed=True)
    np.testing.assert_array_equal(pixels(target), expected)


def test_several_methods_and_classes_give_a_grid(classifier, photo, tmp_path, capsys):
    target = tmp_path / "grid.png"
    arguments = ["cam", str(classifier), str(photo), "-o", str(target), "--json"]
    assert main([*arguments, "--method", "cam,layercam", "--top", "2"]) == 0
    answer = json.loads(capsys.readouterr().out)
    image = pixels_of_size(photo)
    best = CAM(keras.saving.load_model(classifier)).explain(image[None], "top2")
    (found,) = answer["maps"]
    assert [one["class"] for one in found["classes"]] == best.classes[0].tolist()
    scores = [one["score"] for one in found["classes"]]
    np.testing.assert_allclose(scores, best.scores[0], rtol=1e-4)
    height, width = pixels(target).shape[:2]
    assert width > 300
    assert height > 300


def test_what_cannot_be_read_is_skipped_and_told(classifier, photos, tmp_path, capsys):
    out, report = tmp_path / "maps", tmp_path / "report" / "maps.html"
    arguments = ["cam", str(classifier), str(photos), "-o", str(out), "--report", str(report)]
    assert main(arguments) == 3
    text = capsys.readouterr().out
    assert f"skipped {photos / 'broken.png'}: The picture" in text
    assert "1 of 3 images skipped" in text
    assert {path.name for path in out.rglob("*.png")} == {"one.png", "two.png"}
    page = report.read_text()
    assert page.count("data:image/png;base64,") == 2
    assert "deep/two.png: class" in page
    assert str(tmp_path) not in page
    assert 'src="http' not in page
    assert main(["cam", str(classifier), str(photos / "broken.png"), "-o", str(out / "x.png")]) == 1
    assert "No image could be read" in capsys.readouterr().err


@pytest.mark.parametrize("methods", ["gradcam", "gradcam,layercam"])
def test_the_same_command_keeps_what_is_whole(methods, classifier, photos, tmp_path, capsys):
    out, report = tmp_path / "maps", tmp_path / "maps.html"
    arguments = ["cam", str(classifier), str(photos), "-o", str(out), "--report", str(report)]
    arguments += ["--method", methods]
    assert main(arguments) == 3
    first, page = capsys.readouterr().out, report.read_text()
    (out / "one.png").unlink()
    assert main(arguments) == 3
    again = capsys.readouterr().out
    assert again.count("(kept: drawn before)") == 1
    assert again.replace(" (kept: drawn before)", "") == first
    assert report.read_text() == page
    assert main([*arguments, "--alpha", "0.3"]) == 3
    assert "kept" not in capsys.readouterr().out


def test_a_report_needs_no_other_place(classifier, photo, tmp_path, capsys):
    report = tmp_path / "maps.html"
    assert main(["cam", str(classifier), str(photo), "--report", str(report), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["maps"][0]["map"] is None
    assert answer["report"] == str(report)
    assert {path.name for path in tmp_path.iterdir()} == {"maps.html", "photo.png"}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["-o", "map.txt"], "-o with a .png file"),
        ([], "Received: neither"),
        (["--report", "maps.pdf"], "Received: maps.pdf"),
        (["-o", "map.png", "--method", "cam,gradcan"], "gradcam"),
        (["-o", "map.png", "--alpha", "2"], "alpha=2"),
        (["-o", "map.png", "--colormap", "virids"], "virids"),
        (["-o", "map.png", "--class", "3"], "an int from 0 to 2"),
        (["-o", "map.png", "--top", "4"], '"top1" to "top3"'),
    ],
)
def test_bad_requests_are_refused_and_nothing_is_written(
    arguments, message, classifier, photo, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    assert main(["cam", str(classifier), str(photo), *arguments]) == 1
    assert message in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["photo.png"]


def test_an_image_is_never_written_over(classifier, photo, tmp_path, capsys):
    before = photo.read_bytes()
    assert main(["cam", str(classifier), str(photo), "-o", str(photo)]) == 1
    assert "Pictures need files of their own" in capsys.readouterr().err
    (tmp_path / "photo.jpg").write_bytes(before)
    assert main(["cam", str(classifier), str(tmp_path), "-o", str(tmp_path / "maps")]) == 1
    assert "Pictures need files of their own" in capsys.readouterr().err
    assert photo.read_bytes() == before
    assert not (tmp_path / "maps").exists()


def test_a_model_without_a_picture_is_refused(photo, tmp_path, capsys):
    model = keras.Sequential([keras.Input((5,)), keras.layers.Dense(2)])
    model.save(tmp_path / "vector.keras")
    arguments = ["cam", str(tmp_path / "vector.keras"), str(photo), "-o", str(tmp_path / "m.png")]
    assert main(arguments) == 1
    assert "The model does not take images" in capsys.readouterr().err


def test_pictures_keep_their_size_where_the_model_takes_any(photo, tmp_path):
    x = keras.Input((None, None, 1))
    pooled = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(x))
    keras.Model(x, keras.layers.Dense(3)(pooled)).save(tmp_path / "any.keras")
    target = tmp_path / "map.png"
    assert main(["cam", str(tmp_path / "any.keras"), str(photo), "-o", str(target)]) == 0
    assert pixels(target).shape == (20, 30, 3)


def test_progress_is_shown_on_a_terminal_only(capsys, monkeypatch):
    assert list(shown(["a", "b"], "maps")) == ["a", "b"]
    assert capsys.readouterr().err == ""
    monkeypatch.setattr("rich.console.Console.is_terminal", True)
    assert list(shown(["a", "b"], "maps")) == ["a", "b"]
    assert "maps" in capsys.readouterr().err


def saved(tmp_path, *tail, name="model.keras"):
    model = keras.Sequential(
        [
            keras.Input((16, 12, 3)),
            keras.layers.Conv2D(4, 3, activation="relu"),
            keras.layers.GlobalAveragePooling2D(),
            *tail,
        ]
    )
    model.save(tmp_path / name)
    return model, tmp_path / name


def told(capsys, *arguments):
    assert main(["cam", *map(str, arguments)]) == 0
    return capsys.readouterr().out


@pytest.mark.parametrize(
    ("tail", "word"),
    [
        ([keras.layers.Dense(8), keras.layers.UnitNormalization()], "dimension"),
        ([keras.layers.Dense(8, activation="softmax")], "class"),
        ([keras.layers.Dense(8)], "output"),
    ],
)
def test_numbers_are_called_what_they_are(tail, word, photo, tmp_path, capsys):
    _, path = saved(tmp_path, *tail)
    arguments = [path, photo, "-o", tmp_path / "map.png"]
    assert f"map.png: {word} " in told(capsys, *arguments)
    (found,) = json.loads(told(capsys, *arguments, "--json"))["maps"]
    assert found["classes"][0].keys() == {word, "score"}


def test_classes_of_a_preset_are_called_by_their_labels(photo, tmp_path, capsys):
    model, _ = saved(tmp_path, keras.layers.Dense(3))
    zoo.save(model, tmp_path / "preset", labels=["cat", "dog", "owl"])
    out = told(capsys, tmp_path / "preset", photo, "-o", tmp_path / "map.png", "--class", "2")
    assert "class 2 (owl), score" in out


def test_a_file_that_convert_reads_is_read(photo, tmp_path, capsys):
    _, path = saved(tmp_path, keras.layers.Dense(3, activation="softmax"), name="old.hdf5")
    assert "class" in told(capsys, path, photo, "-o", tmp_path / "map.png")
    (tmp_path / "broken.hdf5").write_bytes(path.read_bytes()[:200])
    assert main(["cam", str(tmp_path / "broken.hdf5"), str(photo), "-o", "map.png"]) == 1
    assert "cannot be read. Expected: a whole .keras file" in capsys.readouterr().err


def test_other_targets_than_a_class(classifier, photo, tmp_path, capsys):
    out = tmp_path / "map.png"
    arguments = [classifier, photo, "-o", out, "--signed", "--target", "difference:2,1"]
    assert f"{out}: class 2 minus class 1, score" in told(capsys, *arguments)
    cam = CAM(keras.saving.load_model(classifier), relu=False, normalize="max")
    image = pixels_of_size(photo)
    signed = cam(image[None], targets.Difference(2, 1))
    np.testing.assert_array_equal(pixels(out), overlay(image, signed[0], signed=True))
    np.save(tmp_path / "text.npy", np.ones(3))
    vector = f"vector:{tmp_path / 'text.npy'}"
    grid = [classifier, photo, "-o", out, "--method", "cam,gradcam", "--target", vector]
    assert "cosine to a vector" in told(capsys, *grid)


def test_pictures_of_another_mask_are_drawn_anew(photo, tmp_path, capsys):
    x = keras.Input((16, 12, 3))
    h = keras.layers.Conv2D(4, 3, padding="same", activation="relu")(x)
    keras.Model(x, keras.layers.Conv2D(3, 1)(h)).save(tmp_path / "segmenter.keras")
    mask = tmp_path / "mask.png"
    arguments = [tmp_path / "segmenter.keras", photo, "-o", tmp_path / "map.png"]
    arguments += ["--target", f"mask:{mask},1"]
    for rows, kept in ((4, False), (4, True), (9, False)):
        shape = np.zeros((16, 12, 1), "uint8")
        shape[:rows] = 255
        keras.utils.array_to_img(shape, scale=False).save(mask)
        out = told(capsys, *arguments)
        assert "class 1 inside a mask" in out
        assert ("kept: drawn before" in out) is kept
    assert pixels(tmp_path / "map.png").shape == (16, 12, 3)


@pytest.mark.parametrize("target", ["class", "class:a", "box:1,2,3", "mask:nothing", "smell:3"])
def test_unknown_targets_are_refused(target, classifier, photo, tmp_path, capsys):
    arguments = ["cam", str(classifier), str(photo), "-o", str(tmp_path / "m.png")]
    assert main([*arguments, "--target", target]) == 1
    assert "No such target. Expected: one of class:N" in capsys.readouterr().err
