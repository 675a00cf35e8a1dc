"""`keras-metric embed`: what is in the shards is what the model says, killed in between or not."""

import json
import os
import signal
import subprocess
import time

import keras
import numpy as np
import pytest
from keras import layers

from keras_metric.retrieval.storage.shards import read_manifest, read_shard, read_shards
from keras_metric.retrieval.weights import fingerprint
from zoo.cli import main
from zoo.inference.bulk import place
from zoo.inference.bulk.listing import Listing

pytestmark = pytest.mark.every_backend

pytest.importorskip("pyarrow")
SIDE = 12


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    keras.utils.set_random_seed(1)
    encoder = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Rescaling(1 / 255),
            layers.Conv2D(8, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(5),
        ]
    )
    encoder.save(tmp_path_factory.mktemp("models") / "encoder.keras")
    return encoder


@pytest.fixture(scope="module")
def path(model, tmp_path_factory):
    file = tmp_path_factory.mktemp("models") / "encoder.keras"
    model.save(file)
    return file


@pytest.fixture
def photos(tmp_path, rng):
    """Nine pictures in two sub-folders and beside them, two of them broken."""
    folder = tmp_path / "photos"
    for name in ("jay/a", "jay/deep/b", "jay/c", "owl/d", "owl/e", "f", "g"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 255, (SIDE, SIDE, 3))
        keras.utils.array_to_img(pixels, scale=False).save(folder / f"{name}.png")
    (folder / "owl" / "broken.jpg").write_text("no picture")
    (folder / "owl" / "torn.png").write_bytes((folder / "f.png").read_bytes()[:100])
    (folder / "notes.txt").write_text("no image by its name")
    (folder / ".hidden.png").write_text("hidden")
    return folder


def embed(*arguments) -> int:
    return main(["embed", *map(str, arguments)])


def table(out) -> dict[str, tuple]:
    """Label and embedding by path, from all shards of a folder."""
    rows = {}
    for shard in read_shards(out):
        entries = zip(shard.paths, shard.labels, shard.embeddings, strict=True)
        rows |= {path: (label, row) for path, label, row in entries}
    return rows


def test_shards_hold_what_the_model_says(model, path, photos, tmp_path, capsys):
    out = tmp_path / "shards"
    assert embed(path, photos, "-o", out, "--batch", 2, "--shard", 4) == 3
    said = capsys.readouterr().out
    assert "7 embeddings of 5 numbers in 3 shards" in said
    assert "2 of 9 images skipped" in said
    rows = table(out)
    assert {key: label for key, (label, _) in rows.items()} == {
        "jay/a.png": "jay", "jay/deep/b.png": "jay", "jay/c.png": "jay",
        "owl/d.png": "owl", "owl/e.png": "owl", "f.png": None, "g.png": None,
    }  # fmt: skip
    for name, (_, row) in rows.items():
        pixels = keras.utils.img_to_array(keras.utils.load_img(photos / name))
        np.testing.assert_allclose(row, model.predict(pixels[None], verbose=0)[0], atol=1e-6)
    skipped = json.loads((out / "skipped.json").read_text())
    images = [one for one in skipped if "image" in one]
    assert [one["image"] for one in images] == ["owl/broken.jpg", "owl/torn.png"]
    assert all("Expected: an image" in one["reason"] for one in images)
    assert [(one["file"], one["reason"]) for one in skipped if "file" in one] == [
        (".hidden.png", "hidden"), ("notes.txt", "not an image by its name"),
    ]  # fmt: skip
    manifest = read_manifest(out)
    assert manifest["model"] == fingerprint(model)
    assert manifest["distance"] == "euclidean"
    assert [shard["rows"] for shard in manifest["shards"]] == [4, 3, 0]


def test_killed_and_gone_on_gives_the_same_bytes(path, photos, python, tmp_path, capsys):
    for k in range(300):
        os.link(photos / "f.png", photos / f"copy-{k:03d}.png")
    whole, out = tmp_path / "whole", tmp_path / "killed"
    options = ["--batch", 2, "--shard", 2]
    assert embed(path, photos, "-o", whole, *options) == 3
    command = [*python, "-m", "zoo", "embed", path, photos, "-o", out, *options]
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL}
    process = subprocess.Popen(list(map(str, command)), **streams)
    while not (out / "part-00002.parquet").exists() and process.poll() is None:
        time.sleep(0.002)
    process.send_signal(signal.SIGKILL)
    process.communicate()  # until nothing holds its streams
    assert process.returncode == -signal.SIGKILL
    before = {file.name: file.stat().st_mtime_ns for file in out.glob("part-*.parquet")}
    assert 3 <= len(before) < 150
    with pytest.raises(ValueError, match="not finished"):
        read_manifest(out)
    assert embed(path, photos, "-o", out, *options) == 3
    assert {name: (out / name).stat().st_mtime_ns for name in before} == before
    assert contents(out) == contents(whole)


def contents(folder) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in folder.iterdir()}


def test_a_torn_shard_is_made_again(path, photos, tmp_path):
    out = tmp_path / "shards"
    embed(path, photos, "-o", out, "--shard", 4)
    before = contents(out)
    (out / "part-00001.parquet").write_bytes(before["part-00001.parquet"][:-9])
    with pytest.raises(ValueError, match="not a shard"):
        read_shard(out / "part-00001.parquet")
    assert embed(path, photos, "-o", out, "--shard", 4) == 3
    assert contents(out) == before


def test_shards_of_another_model_or_folder_are_refused(path, photos, tmp_path, capsys):
    out, other = tmp_path / "shards", tmp_path / "other.keras"
    embed(path, photos, "-o", out)
    before = contents(out)
    keras.Sequential([keras.Input((SIDE, SIDE, 3)), layers.Flatten(), layers.Dense(5)]).save(other)
    capsys.readouterr()
    assert embed(other, photos, "-o", out) == 1
    assert "contains other shards. Expected: model" in capsys.readouterr().err
    (photos / "g.png").rename(photos / "h.png")
    assert embed(path, photos, "-o", out) == 1
    assert "Expected: listing" in capsys.readouterr().err
    assert contents(out) == before
    with pytest.raises(ValueError, match="another model"):
        list(read_shards(out, model="0" * 64))
    assert embed(other, photos, "-o", out, "--force") == 3
    assert len(table(out)) == 7


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ("nowhere", ["There is nothing at", "Received: no such file"]),
        ("empty", ["no images in", "Received: none"]),
        ("broken", ["No image could be read", "skipped.json"]),
    ],
)
def test_folders_without_images(given, words, path, tmp_path, capsys):
    if given != "nowhere":
        (tmp_path / given).mkdir()
    if given == "broken":
        (tmp_path / given / "a.jpg").write_text("no picture")
    assert embed(path, tmp_path / given, "-o", tmp_path / "shards") == 1
    error = capsys.readouterr().err
    for word in [*words, "Expected"]:
        assert word in error
    assert (tmp_path / "shards").exists() == (given == "broken")


def test_places_and_options_are_refused(path, photos, tmp_path, capsys):
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "thesis.tex").write_text("mine")
    (tmp_path / "file").write_text("mine")
    for arguments, word in [
        (["-o", tmp_path / "used"], "a folder with thesis.tex"),
        (["-o", tmp_path / "file"], "Received: a file"),
        (["-o", tmp_path / "shards", "--size", "20x20"], "size of the images"),
        (["-o", tmp_path / "shards", "--branch", "left"], "--branch"),
        (["-o", tmp_path / "shards", "--shard", "0"], "shard_size"),
        (["-o", tmp_path / "shards", "--address", "here:1"], "engine ray only"),
        (["-o", tmp_path / "shards", "--engine", "ray"], "runs a SavedModel"),
    ]:
        assert embed(path, photos, *arguments) == 1
        assert word in capsys.readouterr().err
    assert list((tmp_path / "used").iterdir()) == [tmp_path / "used" / "thesis.tex"]


def test_one_process_writes_at_a_time(path, photos, tmp_path, capsys):
    with place.held(tmp_path / "shards"):
        assert embed(path, photos, "-o", tmp_path / "shards") == 1
    assert "Expected: no other writer" in capsys.readouterr().err
    assert embed(path, photos, "-o", tmp_path / "shards") == 3


def test_class_scores_are_no_embeddings(classifier, photos, tmp_path, capsys):
    assert embed(classifier, photos, "-o", tmp_path / "shards") == 1
    error = capsys.readouterr().err
    assert "Received: a model of the kind 'classifier'" in error
    assert "--layer with global_average_pooling2d" in error
    given = error.split("--layer with ")[1].split(".")[0]
    assert embed(classifier, photos, "-o", tmp_path / "shards", "--layer", given) == 3
    assert read_manifest(tmp_path / "shards")["dimensions"] == 4
    assert embed(classifier, photos, "-o", tmp_path / "others", "--layer", "dense") == 1
    assert "no layer to embed with" in capsys.readouterr().err


def test_python_code_in_a_file_is_not_run(photos, tmp_path, capsys):
    model = keras.Sequential([keras.Input((SIDE, SIDE, 3)), layers.Lambda(lambda x: x * 2)])
    model.save(tmp_path / "code.keras")
    assert embed(tmp_path / "code.keras", photos, "-o", tmp_path / "shards") == 1
    error = capsys.readouterr().err
    assert "a Lambda layer), which is not run. Expected" in error
    assert error.count("\n") == 1


def test_any_picture_is_brought_to_the_model(model, path, tmp_path):
    """Grey, palette, CMYK, 16 bits and transparency; turned as EXIF says; large ones."""
    image = pytest.importorskip("PIL.Image")
    folder = tmp_path / "photos"
    folder.mkdir()
    red = image.new("RGB", (30, 20), (200, 10, 30))
    red.save(folder / "rgb.png")
    red.convert("CMYK").save(folder / "cmyk.jpg", quality=100)
    red.convert("P").save(folder / "palette.gif")
    red.convert("RGBA").save(folder / "alpha.webp", lossless=True)
    red.resize((6000, 4000)).save(folder / "large.png")
    red.convert("L").save(folder / "grey.png")
    image.fromarray(np.full((9, 9), 100 << 8, np.uint16)).save(folder / "deep.png")
    halves = image.new("RGB", (SIDE, SIDE))
    halves.paste((255, 255, 255), (0, 0, SIDE, SIDE // 2))
    turned = halves.transpose(image.Transpose.ROTATE_90)
    halves.save(folder / "upright.png")
    exif = image.Exif()
    exif[0x0112] = 6  # turn clockwise
    turned.save(folder / "turned.png", exif=exif)
    assert embed(path, folder, "-o", tmp_path / "shards") == 0
    rows = {name: row for name, (_, row) in table(tmp_path / "shards").items()}
    assert len(rows) == 9
    for name in ("palette.gif", "alpha.webp", "large.png"):
        np.testing.assert_allclose(rows[name], rows["rgb.png"], atol=2e-2)
    np.testing.assert_allclose(rows["turned.png"], rows["upright.png"], atol=1e-5)
    grey = np.full((1, SIDE, SIDE, 3), 100.0)
    np.testing.assert_allclose(rows["deep.png"], model.predict(grey, verbose=0)[0], atol=1e-5)


@pytest.mark.parametrize("suffix", ["heic", "avif", "tiff"])
def test_a_picture_that_cannot_be_decoded_is_named(path, photos, tmp_path, suffix):
    Image = pytest.importorskip("PIL.Image")
    nan = np.full((SIDE, SIDE), 100, np.float32)
    nan[0, 0] = np.nan
    Image.fromarray(nan).save(photos / "x.tiff")
    for name in ("x.heic", "x.avif"):
        (photos / name).write_bytes(b"no decoder, or broken")
    assert embed(path, photos, "-o", tmp_path / "shards") == 3
    skipped = json.loads((tmp_path / "shards" / "skipped.json").read_text())
    (reason,) = [one["reason"] for one in skipped if one.get("image") == f"x.{suffix}"]
    word = {"heic": "keras-metric[heic]", "avif": "AVIF needs", "tiff": "pixels out of range"}
    assert word[suffix] in reason


@pytest.mark.parametrize(("name", "apart"), [("list.csv", ","), ("list.tsv", "\t")])
def test_a_list_of_paths_and_labels(path, photos, tmp_path, name, apart):
    rows = [("path", "label"), ("photos/f.png", "corvid"), (str(photos / "g.png"), "raptor")]
    (tmp_path / name).write_text("".join(apart.join(row) + "\n" for row in rows))
    assert embed(path, tmp_path / name, "-o", tmp_path / "shards") == 0
    labels = {key: label for key, (label, _) in table(tmp_path / "shards").items()}
    assert labels == {"photos/f.png": "corvid", str(photos / "g.png"): "raptor"}


def test_pixels_that_were_scaled_outside_of_the_model(photos, tmp_path, capsys):
    """Ranges that the model's statistics contradict are warned of; --pixels gives what it wants."""
    model = keras.Sequential(
        [
            keras.Input((SIDE, SIDE, 3)),
            layers.Conv2D(8, 3),
            layers.BatchNormalization(momentum=0),
            layers.GlobalAveragePooling2D(),
        ]
    )
    read = [keras.utils.load_img(photos / name) for name in ("f.png", "g.png")]
    pixels = np.stack([keras.utils.img_to_array(image) for image in read]) / 255
    model(pixels, training=True)
    model.save(tmp_path / "unscaled.keras")
    assert embed(tmp_path / "unscaled.keras", photos, "-o", tmp_path / "wrong") == 3
    assert "seems to be trained on" in capsys.readouterr().err
    out = tmp_path / "right"
    assert embed(tmp_path / "unscaled.keras", photos, "-o", out, "--pixels", "0..1") == 3
    assert "warning" not in capsys.readouterr().err
    expected = model.predict(pixels[:1], verbose=0)[0]
    np.testing.assert_allclose(table(out)["f.png"][1], expected, atol=1e-5)
    assert read_manifest(out)["model"] != read_manifest(tmp_path / "wrong")["model"]


def test_a_listing_knows_its_pictures(photos):
    before = Listing.of(photos)
    assert before.digest == Listing.of(photos).digest
    assert [len(part.paths) for part in before.parts(4)] == [4, 4, 1]
    with open(photos / "g.png", "ab") as file:
        file.write(b"longer")
    assert Listing.of(photos).digest != before.digest


def test_a_link_that_leads_back_to_itself_is_listed(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "loop.jpg").symlink_to(tmp_path / "a" / "loop.jpg")
    (tmp_path / "b.jpg").symlink_to(tmp_path / "nowhere.jpg")
    assert Listing.of(tmp_path).paths == ("a/loop.jpg", "b.jpg")
