"""`keras-metric scan`: what is planted is found where it lies, whole or in tiles."""

import json

import keras
import numpy as np
import pytest
from keras import layers

from zoo.cli import main

pytestmark = pytest.mark.tensorflow
PLANTED = [(0, 40, 24), (1, 8, 60)]  # class, top, left


@pytest.fixture(scope="module")
def network(tmp_path_factory):
    """Finds red (class 0) and green (class 1) squares of 16 pixels; class 2 is neither."""
    image = keras.Input((16, 16, 3))
    x = layers.AveragePooling2D(4)(layers.Rescaling(1 / 255)(image))
    fc = layers.Dense(3, activation="softmax")
    model = keras.Model(image, fc(layers.Flatten()(x)))
    kernel = np.zeros((16, 3, 3))
    kernel[:, 0, 0] = kernel[:, 1, 1] = 2.0
    fc.set_weights([kernel.reshape(48, 3), np.array([-22.0, -22.0, 0.0])])
    folder = tmp_path_factory.mktemp("models")
    model.save(folder / "classifier.keras")
    out = folder / "fcn.keras"
    assert main(["convert", str(folder / "classifier.keras"), "-o", str(out)]) == 0
    return out


@pytest.fixture
def scene(tmp_path):
    pixels = np.zeros((80, 96, 3), np.uint8)
    for label, top, left in PLANTED:
        pixels[top : top + 16, left : left + 16, label] = 255
    keras.utils.array_to_img(pixels, scale=False).save(tmp_path / "scene.png")
    np.save(tmp_path / "scene.npy", pixels)
    return tmp_path / "scene.png"


def scanned(arguments, capsys):
    capsys.readouterr()
    assert main(["scan", *map(str, arguments), "--json"]) == 0
    return json.loads(capsys.readouterr().out)["scans"]


@pytest.mark.parametrize("options", [[], ["--tile", "40"], ["--memory", "0.02"]])
def test_finds_what_was_planted(options, network, scene, tmp_path, capsys):
    out = tmp_path / "found.png"
    arguments = [network, scene, "-o", out, "--without", 2, "--boxes", *options]
    (answer,) = scanned(arguments, capsys)
    found = {(d["label"], *d["box"]) for d in answer["detections"]}
    assert found == {(c, x, y, x + 16, y + 16) for c, y, x in PLANTED}
    assert (answer["tiles"] > 1) == bool(options)
    assert answer["seam"] <= 1e-5
    assert json.loads((tmp_path / "found.json").read_text())["detections"] == answer["detections"]
    drawn = keras.utils.img_to_array(keras.utils.load_img(out))
    assert drawn.shape == (80, 96, 3)
    frame = drawn[40, 24:40]
    assert np.ptp(frame, axis=0).max() == 0
    assert frame[0].max() > 100
    assert not drawn[70:, :20].any()


def test_the_heat_is_where_the_class_is(network, scene, tmp_path, capsys):
    """No boxes: what is left is the picture, coloured where the class scores."""
    out = tmp_path / "heat.png"
    scanned([network, scene, "-o", out, "--class", 1, "--threshold", 2], capsys)
    before = keras.utils.img_to_array(keras.utils.load_img(scene))
    changed = np.abs(keras.utils.img_to_array(keras.utils.load_img(out)) - before).max(-1) > 40
    rows, columns = np.nonzero(changed)
    assert abs(rows.mean() - (8 + 8)) < 1.5
    assert abs(columns.mean() - (60 + 8)) < 1.5


def test_folders_arrays_and_small_pictures(network, scene, tmp_path, capsys):
    (tmp_path / "in" / "deep").mkdir(parents=True)
    (tmp_path / "scene.npy").rename(tmp_path / "in" / "deep" / "one.npy")
    scene.rename(tmp_path / "in" / "two.png")
    (tmp_path / "in" / "broken.png").write_text("no picture")
    keras.utils.array_to_img(np.zeros((15, 40, 3))).save(tmp_path / "in" / "small.png")
    out = tmp_path / "out"
    arguments = ["scan", network, tmp_path / "in", "-o", out, "--side", 32, "--without", 2]
    capsys.readouterr()
    assert main([*map(str, arguments)]) == 3
    text = capsys.readouterr().out
    assert text.count("2 boxes") == 2
    assert f"skipped {tmp_path / 'in' / 'broken.png'}: The picture" in text
    assert "small.png is smaller than a window. Expected: at least 16 x 16" in text
    assert keras.utils.load_img(out / "deep" / "one.png").size == (32, 26)
    assert (out / "two.png").exists()
    assert len(list(out.rglob("*.*"))) == 2


def folder_of(scene):
    folder = scene.parent / "in"
    folder.mkdir()
    for name in ("a.png", "b.png"):
        (folder / name).write_bytes(scene.read_bytes())
    return folder


def test_the_same_command_goes_on_where_it_was(network, scene, tmp_path, capsys):
    """Whole pictures of the same model, options and image are kept; all others are drawn."""
    folder, out = folder_of(scene), tmp_path / "out"
    arguments = ["scan", str(network), str(folder), "-o", str(out), "--without", "2", "--boxes"]
    assert main(arguments) == 0
    first = capsys.readouterr().out
    assert "kept" not in first
    (out / "a.png").unlink()
    (out / "b.json").unlink()
    assert main(arguments) == 0
    assert "kept" not in capsys.readouterr().out
    (out / "a.png").write_bytes((out / "a.png").read_bytes()[:100])
    before = (out / "b.png").stat().st_mtime_ns
    assert main(arguments) == 0
    again = capsys.readouterr().out
    assert again.count("(kept: scanned before)") == 1
    assert again.replace(" (kept: scanned before)", "") == first
    assert (out / "b.png").stat().st_mtime_ns == before
    for changed in (["--threshold", "0.7"], ["--single"]):
        assert main([*arguments, *changed]) == 0
        assert "kept" not in capsys.readouterr().out
    (folder / "b.png").write_bytes((scene.parent / "scene.png").read_bytes() + b"\0")
    assert main([*arguments, "--single"]) == 0
    assert capsys.readouterr().out.count("kept") == 1


def test_boxes_replace_no_other_file(network, scene, tmp_path, capsys):
    arguments = ["scan", str(network), str(scene), "-o", str(tmp_path / "found.png"), "--boxes"]
    labels = tmp_path / "found.json"
    for content in ('{"labels": [1]}', "[]", "no json"):
        labels.write_text(content)
        assert main(arguments) == 1
        assert "found.json" in capsys.readouterr().err
        assert labels.read_text() == content
        assert not (tmp_path / "found.png").exists()
    labels.unlink()
    assert main(arguments) == 0
    assert main([*arguments, "--threshold", "0.9"]) == 0


def test_one_class_for_a_place(network, tmp_path, capsys):
    """Yellow is red and green: two boxes of one place, or with --single the better one."""
    pixels = np.zeros((60, 60, 3), np.uint8)
    pixels[20:36, 20:36, 0], pixels[20:36, 24:40, 1] = 255, 255
    keras.utils.array_to_img(pixels, scale=False).save(tmp_path / "yellow.png")
    arguments = [network, tmp_path / "yellow.png", "-o", tmp_path / "out.png", "--without", 2]
    arguments += ["--threshold", 0.3]
    (both,) = scanned(arguments, capsys)
    assert {d["label"] for d in both["detections"]} == {0, 1}
    (single,) = scanned([*arguments, "--single"], capsys)
    assert len(single["detections"]) == 1
    assert single["detections"][0] == both["detections"][0]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--class", "3"], "Expected: numbers from 0 to 2, one at least. Received: [3]"),
        (["--class", "1", "--without", "1"], "Received: all left out"),
        (["--tile", "8"], "tile is too small"),
        (["--overlap", "2"], "overlap from 0 to 1"),
        (["--memory", "nan"], "memory above 0 MiB"),
        (["--threshold", "nan"], "threshold is not a number"),
        (["--side", "3"], "side of 16 pixels or more"),
        (
            ["--window", "28"],
            "--window is not a size. Expected: height x width, such as 28x28. Received: '28'",
        ),
        (["--window", "90x90"], "smaller than a window. Expected: at least 90 x 90"),
    ],
)
def test_refusals(arguments, words, network, scene, tmp_path, capsys):
    before = sorted(tmp_path.iterdir())
    command = ["scan", str(network), str(scene), "-o", str(tmp_path / "out.png"), *arguments]
    assert main(command) == 1
    assert words in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == before


def test_files_are_guarded(network, scene, tmp_path, capsys):
    before = scene.read_bytes()
    classifier = network.with_name("classifier.keras")
    for command, words in [
        ([network, scene, "-o", scene], "Pictures need files of their own"),
        ([network, scene, "-o", tmp_path / "out.txt"], "Expected: -o with a .png file"),
        ([network, tmp_path / "none.png", "-o", tmp_path / "out.png"], "There are no pictures"),
        (
            [classifier, scene, "-o", tmp_path / "out.png"],
            "Expected: one made by `keras-metric conv",
        ),
        ([tmp_path / "no.keras", scene, "-o", tmp_path / "out.png"], "No model there"),
    ]:
        assert main(["scan", *map(str, command)]) == 1
        assert words in capsys.readouterr().err
    assert scene.read_bytes() == before


def test_networks_of_images_without_channels(tmp_path, capsys):
    """Trained on (height, width): they read the brightness of a picture."""
    image = keras.Input((8, 8))
    model = keras.Model(image, layers.Flatten()(layers.AveragePooling2D(8, 1)(image[..., None])))
    model.save(tmp_path / "model.keras")
    network = tmp_path / "fcn.keras"
    assert main(["convert", str(tmp_path / "model.keras"), "-o", str(network)]) == 0
    pixels = np.zeros((24, 20, 3), np.uint8)
    pixels[10:18, 4:12] = 255
    keras.utils.array_to_img(pixels, scale=False).save(tmp_path / "scene.png")
    out = tmp_path / "found.png"
    (answer,) = scanned([network, tmp_path / "scene.png", "-o", out, "--threshold", 250], capsys)
    assert [d["box"] for d in answer["detections"]] == [[4, 10, 12, 18]]
