"""A model that letterboxes: the same picture through every way in, and what differs is refused."""

import io
import json
import re

import keras
import numpy as np
import pytest
from keras import layers

import keras_metric as km
import zoo
from keras_metric.export import Runtime
from keras_metric.preprocessing import attach, attached, store
from keras_metric.retrieval import Index, read_shards
from zoo.cli import main

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("faiss")
pytest.importorskip("pyarrow")

OWN = km.Preprocessing((16, 12), resize="letterbox", fill=200, pixel_range=(0, 1))


def encoder():
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((16, 12, 3)),
            layers.Conv2D(6, 3, activation="relu"),
            layers.GlobalAveragePooling2D(),
            layers.Dense(4),
        ]
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run whose model carries `OWN`, and wide, tall, palette, transparent and turned photos."""
    folder = tmp_path_factory.mktemp("ways")
    (folder / "run").mkdir()
    attach(encoder(), OWN).save(folder / "run" / "model.keras")
    draw = np.random.default_rng(0)
    turned = Image.Exif()
    turned[0x0112] = 6
    for name, size, mode, options in (
        ("jay/wide.png", (40, 9), "RGB", {}),
        ("jay/palette.png", (30, 30), "P", {}),
        ("owl/tall.jpg", (11, 50), "RGB", {"quality": 95, "exif": turned}),
        ("owl/clear.png", (20, 31), "RGBA", {}),
    ):
        (folder / "photos" / name).parent.mkdir(parents=True, exist_ok=True)
        blocks = draw.integers(0, 256, (8, 8, 4), np.uint8)
        image = Image.fromarray(blocks).resize(size, Image.Resampling.BILINEAR).convert("RGBA")
        image = image if mode == "RGBA" else image.convert("RGB")
        image = image.quantize(16) if mode == "P" else image
        image.save(folder / "photos" / name, **options)
    return folder


@pytest.fixture(scope="module")
def photos(place):
    return sorted(file for file in (place / "photos").rglob("*.*"))


@pytest.fixture(scope="module")
def wanted(place, photos):
    """The embeddings of the photos by the definition."""
    return zoo.load(place / "run").predict_on_batch(OWN.batch(photos))


@pytest.fixture(scope="module")
def indexed(place):
    assert main(["index", str(place / "run"), str(place / "photos")]) == 0
    return place / "run" / "index"


def test_shards_and_index_hold_letterboxed_photos(place, photos, wanted, indexed, tmp_path):
    assert main(["embed", str(place / "run"), str(place / "photos"), "-o", str(tmp_path)]) == 0
    (shard,) = read_shards(tmp_path)
    assert [place / "photos" / path for path in shard.paths] == photos
    np.testing.assert_allclose(shard.embeddings, wanted, atol=1e-5)
    index = Index.load(indexed)
    assert index.preprocessing == OWN
    np.testing.assert_allclose(index.records()[1], wanted, atol=1e-5)
    assert attached(zoo.load_index(place / "run").encoder) == OWN


def test_batches_and_training_see_the_same_arrays(place, photos):
    from zoo.datasets.reading import folders

    pixels = np.stack([OWN.read(photo) for photo in photos])
    np.testing.assert_array_equal(folders.load(place / "photos", OWN).images, pixels)
    source = km.batches.FolderImages(place / "photos", preprocessing=OWN)
    np.testing.assert_allclose(source[np.arange(4)], pixels / 255, atol=1e-6)


def test_search_and_page_see_the_same_arrays(place, photos, indexed):
    from zoo.demo.gallery import of_index
    from zoo.demo.picture import from_file, uploaded
    from zoo.inference.bulk import networks
    from zoo.inference.searching import PhotoSearch

    answers, _ = PhotoSearch(place / "run")(photos, 1, "nearest", None)
    assert [one.neighbours[0]["distance"] for one in answers] == pytest.approx([0] * 4, abs=1e-4)
    network = networks.load(networks.locate(place / "run"))
    assert len(of_index(network, indexed, None).samples) == 4
    for photo in photos:
        sent = uploaded(photo.read_bytes(), network.preprocessing)
        np.testing.assert_array_equal(sent.fed, OWN.read(photo))
        np.testing.assert_array_equal(from_file(str(photo), OWN).fed, sent.fed)


def test_maps_are_drawn_on_what_the_model_saw(place, photos):
    from zoo.reports.drawing import MapPictures

    maps = MapPictures(zoo.load(place / "run"), ["gradcam"])
    pixels = maps.read(photos[0])
    np.testing.assert_array_equal(pixels, OWN.read(photos[0]))
    _, (found,) = maps(pixels)
    answer = zoo.load(place / "run").predict_on_batch(OWN(photos[0])[None])
    assert found["score"] == pytest.approx(float(answer[0, found["output"]]), abs=1e-5)


def test_the_served_graph_gives_the_same_answers(place, photos, wanted, tmp_path):
    folder = zoo.export(place / "run", tmp_path)
    assert zoo.preprocessing(folder) == OWN
    with Runtime(folder, xla=True) as served:
        answer = served("bytes", image_bytes=[photo.read_bytes() for photo in photos])
    assert answer["valid"].all()
    np.testing.assert_allclose(answer["embeddings"], wanted, atol=2e-3)
    assert main(["embed", str(folder), str(place / "photos"), "-o", str(tmp_path / "shards")]) == 0
    (shard,) = read_shards(tmp_path / "shards")
    np.testing.assert_allclose(shard.embeddings, wanted, atol=1e-5)


def test_an_index_of_other_pictures_is_refused(place, photos, tmp_path, capsys):
    command = ["index", str(place / "run"), str(place / "photos"), "-o", str(tmp_path / "other")]
    assert main([*command, "--resize", "crop"]) == 0
    search = ["search", str(place / "run"), str(photos[0]), "--index", str(tmp_path / "other")]
    assert main(search) == 1
    assert re.search(
        r"other was made of pictures that were preprocessed in another way. Expected: "
        r"resize='crop', as it was made. Received: resize='letterbox'.",
        capsys.readouterr().err,
    )
    assert main([*search, "--resize", "crop"]) == 0
    with pytest.raises(ValueError, match="gallery was made of .* another way.*Expected.*Received"):
        zoo.export(place / "run", tmp_path / "served", gallery=tmp_path / "other")
    with pytest.raises(ValueError, match="another way.*Expected: resize='crop'.*Received"):
        Index.load(tmp_path / "other", zoo.load(place / "run"))


def test_shards_of_other_pictures_are_refused(place, tmp_path, capsys):
    command = ["embed", str(place / "run"), str(place / "photos"), "-o", str(tmp_path)]
    assert main([*command, "--fill", "0"]) == 0
    for again in (command, ["index", str(place / "run"), str(tmp_path), "-o", f"{tmp_path}-index"]):
        assert main(again) == 1
        assert "another way. Expected: fill=0" in capsys.readouterr().err


def test_a_model_whose_record_was_changed_is_refused(place, indexed, tmp_path, capsys):
    changed = tmp_path / "model.keras"
    changed.write_bytes((place / "run" / "model.keras").read_bytes())
    store(changed, OWN.with_changes(fill=0))
    photo = str(next((place / "photos").rglob("*.png")))
    assert main(["search", str(changed), photo, "--index", str(indexed)]) == 1
    assert "Expected: fill=200, as it was made. Received: fill=0." in capsys.readouterr().err


def test_a_converted_model_carries_it_at_any_size(place, tmp_path, capsys):
    out = tmp_path / "fcn.keras"
    assert main(["convert", str(place / "run" / "model.keras"), "-o", str(out)]) == 0
    made = zoo.preprocessing(out)
    assert (made.size, made.fill, made.pixel_range) == (None, 200, (0, 1))


def test_doctor_tells_what_a_model_does_with_pictures(place, tmp_path, capsys):
    assert main(["doctor", str(place / "run")]) == 0
    told = capsys.readouterr().out
    assert "16 x 12, rgb, letterbox, bilinear, fill 200, pixels 0..1\n" in told
    assert "stored with the model" in told
    encoder().save(tmp_path / "plain.keras")
    assert main(["doctor", str(tmp_path / "plain.keras"), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["preprocessing"] == str(km.Preprocessing((16, 12)))
    assert told["which is"].startswith("the default")
    assert "--pixels 0..1" in told["pixels"]


def test_a_preset_keeps_the_one_it_is_given(tmp_path):
    other = OWN.with_changes(resize="crop")
    zoo.save(encoder(), tmp_path / "preset", preprocessing=other)
    assert zoo.preprocessing(tmp_path / "preset") == other
    assert zoo.preprocessing(tmp_path / "preset" / "saved_model") == other


def test_where_a_map_lies_on_the_picture():
    from zoo.demo.picture import spread

    shares = np.ones((16, 12), np.float32)
    wide = spread(shares, OWN.place((10, 100)), (10, 100))
    np.testing.assert_allclose(wide, 1, rtol=1e-6)
    square = km.Preprocessing((10, 10), resize="crop")
    middle = spread(np.ones((10, 10), np.float32), square.place((10, 30)), (10, 30))
    np.testing.assert_allclose(middle.sum(0), [0] * 10 + [10] * 10 + [0] * 10, rtol=1e-6)


def test_the_page_tells_it(place, indexed):
    from zoo.demo.desk import Desk
    from zoo.demo.gallery import of_index
    from zoo.inference.bulk import networks

    desk = Desk(of_index(networks.load(networks.locate(place / "run")), indexed, None))
    assert desk.about()["input"] == str(OWN)
    pair = ("sample-0", "sample-1")
    assert desk.explain(*pair)["exact"]
    content = io.BytesIO()
    Image.new("RGB", (30, 5), (9, 99, 200)).save(content, "PNG")
    assert desk.take(content.getvalue()) == {"picture": "upload-0"}
