"""index, search, calibrate and neighbours-report: real digits, found by their pixels."""

import base64
import json
import re
import shutil

import keras
import numpy as np
import pytest
from keras import layers

import zoo
from keras_metric.retrieval import Index, load_calibration
from zoo.cli import main
from zoo.datasets.sources import digits
from zoo.inference import searching

pytest.importorskip("faiss")
pytest.importorskip("pyarrow")


def encoder(seed: int = 0):
    keras.utils.set_random_seed(seed)
    return keras.Sequential(
        [
            keras.Input((8, 8, 1)),
            layers.Rescaling(1 / 255),
            layers.Flatten(),
            layers.Dense(48),
            layers.UnitNormalization(),
        ]
    )


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A run's folder, and pictures: 12 of each digit in a sub-folder of its name, and queries."""
    folder = tmp_path_factory.mktemp("search")
    (folder / "run").mkdir()
    encoder().save(folder / "run" / "model.keras")
    loaded = digits.load()
    for label, name in enumerate(loaded.names):
        for number, row in enumerate(np.flatnonzero(loaded.labels == label)[:14]):
            home = folder / "photos" / name if number < 12 else folder / "queries"
            home.mkdir(parents=True, exist_ok=True)
            picture = keras.utils.array_to_img(loaded.images[row], scale=False)
            picture.save(home / f"{name}-{number}.png")
    return folder


@pytest.fixture
def indexed(place, capsys):
    assert main(["index", str(place / "run"), str(place / "photos")]) == 0
    capsys.readouterr()
    return place


def test_an_index_lies_beside_its_model(place, capsys):
    assert main(["index", str(place / "run"), str(place / "photos"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["index"] == str(place / "run" / "index")
    assert (answer["records"], answer["distance"], answer["kind"]) == (120, "euclidean", "exact")
    index = zoo.load_index(place / "run")
    found = index.search(digits.load().images[:5], k=1)
    assert set(found.labels.ravel()) <= set(digits.load().names)
    assert index.fingerprint == answer["fingerprint"]


def test_an_index_moves_with_its_pictures(indexed, tmp_path, capsys):
    shutil.copytree(indexed, tmp_path / "moved")
    photo = tmp_path / "moved" / "photos" / "3" / "3-0.png"
    assert main(["search", str(tmp_path / "moved" / "run"), str(photo), "-k", "1"]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[-1] == str(photo.resolve())


def test_what_is_near_is_told_and_drawn(indexed, tmp_path, capsys):
    photo = indexed / "photos" / "3" / "3-0.png"
    out = tmp_path / "gallery.png"
    command = ["search", str(indexed / "run"), str(photo), "-k", "4", "-o", str(out)]
    assert main(command) == 0
    head, first, *rest = capsys.readouterr().out.splitlines()
    assert head.split() == ["photo", "distance", "label", "image"]
    assert first.split() == ["3-0.png", "1", "0.0000", "3", str(photo.resolve())]
    assert rest[3:] == [f"{photo}: 3 (no threshold is set)", f"{out}: the picture"]
    assert keras.utils.load_img(out).size[0] > 300
    assert main([*command, "--label", "7", "--json"]) == 0
    (answer,) = json.loads(capsys.readouterr().out)["searches"]
    assert [near["label"] for near in answer["neighbours"]] == ["7"] * 4


def test_a_folder_of_photographs(indexed, capsys):
    assert main(["search", str(indexed / "run"), str(indexed / "queries"), "--json"]) == 0
    answers = json.loads(capsys.readouterr().out)["searches"]
    right = [a["label"] == a["photo"].rsplit("/", 1)[1].partition("-")[0] for a in answers]
    assert len(right) == 20
    assert np.mean(right) >= 0.8


def test_refined_answers_have_the_distances_of_the_photograph(indexed, capsys):
    command = ["search", str(indexed / "run"), str(indexed / "queries"), "-k", "20", "--json"]
    found = {}
    for refined in ([], ["--expand", "3", "--rerank", "40"]):
        assert main([*command, *refined]) == 0
        answers = json.loads(capsys.readouterr().out)["searches"]
        found[bool(refined)] = [
            {near["id"]: near["distance"] for near in answer["neighbours"]} for answer in answers
        ]
    assert [list(one) for one in found[True]] != [list(one) for one in found[False]]
    for plain, refined in zip(found[False], found[True], strict=True):
        for common in plain.keys() & refined.keys():
            assert plain[common] == refined[common]


def test_a_threshold_is_kept_with_model_index_and_export(indexed, tmp_path, capsys, rng):
    run = indexed / "run"
    assert main(["calibrate", str(run), str(indexed / "photos"), "--far", "0.02"]) == 0
    told = capsys.readouterr().out
    assert "for far 0.02" in told
    assert f"{run / 'calibration.json'}: the threshold" in told
    found = load_calibration(run / "calibration.json")
    assert found.rates["far"] <= 0.02
    assert Index.load(run / "index").calibration == found
    keras.utils.array_to_img(rng.integers(0, 255, (8, 8, 1)), scale=False).save(tmp_path / "a.png")
    assert main(["search", str(run), str(tmp_path / "a.png")]) == 0
    assert "no match: nothing labelled within" in capsys.readouterr().out
    assert main(["index", str(run), str(indexed / "photos"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["threshold"] == found.threshold
    (run / "calibration.json").unlink()


def test_a_model_in_a_file_keeps_its_threshold_beside_it(place, tmp_path, capsys):
    model, index = str(tmp_path / "encoder.keras"), str(tmp_path / "digits.index")
    shutil.copy(place / "run" / "model.keras", model)
    assert main(["index", model, str(place / "photos"), "-o", index]) == 0
    search = ["search", model, str(place / "queries" / "3-12.png"), "--index", index, "--json"]
    capsys.readouterr()
    assert main(search) == 0
    assert json.loads(capsys.readouterr().out)["threshold"] is None
    assert main(["calibrate", model, str(place / "photos"), "--far", "0.02"]) == 0
    capsys.readouterr()
    assert main(search) == 0
    found = load_calibration(tmp_path / "encoder.calibration.json")
    assert json.loads(capsys.readouterr().out)["threshold"] == found.threshold


def test_a_compressed_index_is_searched_and_takes_no_threshold_of_embeddings(
    place, tmp_path, capsys
):
    shutil.copytree(place / "run", tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "index", ignore_errors=True)
    run, photos = str(tmp_path / "run"), str(place / "photos")
    build = ["index", run, photos, "--pca", "16", "--whiten", "--kind", "int8", "--json"]
    assert main(build) == 0
    answer = json.loads(capsys.readouterr().out)
    assert (answer["kind"], answer["width"], answer["threshold"]) == ("int8", 16, None)
    assert main(["calibrate", run, photos, "--far", "0.02"]) == 0
    assert "has it, too" not in capsys.readouterr().out
    assert main(["search", run, str(place / "queries"), "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["threshold"] is None
    right = [a["label"] == a["photo"].rsplit("/", 1)[1][0] for a in found["searches"]]
    assert np.mean(right) >= 0.7
    assert main(["index", run, photos, "--kind", "binary", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["threshold"] is None


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--whiten"], "Received: --whiten without it."),
        (["--pca", "0"], "Received: --pca=0"),
        (["--pca", "8", "--engine", "a.db"], "Received: --pca with it."),
        (["--kind", "binary", "--engine", "a.db"], "Received: --kind binary with it."),
        (["--pca", "49"], "Received: 49."),
    ],
)
def test_what_cannot_be_compressed_is_refused(place, tmp_path, options, words, capsys):
    out = ["-o", str(tmp_path / "index")]
    assert main(["index", str(place / "run"), str(place / "photos"), *out, *options]) == 1
    assert words in capsys.readouterr().err
    assert not (tmp_path / "index").exists()


def test_a_collapsed_model_gets_no_verdict():
    near = [{"distance": 1e-8 * rank, "label": str(rank)} for rank in range(3)]
    assert searching._indistinct(near, "cosine")
    assert not searching._indistinct(near, "euclidean")
    assert not searching._indistinct([{"distance": 0.0, "label": "a"}] * 3, "cosine")


@pytest.mark.tensorflow
def test_an_export_takes_the_threshold(indexed, tmp_path, capsys):
    from keras_metric.export import read_metadata

    run = indexed / "run"
    command = ["calibrate", str(run), str(indexed / "photos"), "--far", "0.02"]
    assert main([*command, "--distance", "cosine"]) == 0
    assert main(["export", str(run), "--out", str(tmp_path / "served")]) == 0
    facts = read_metadata(tmp_path / "served")
    found = load_calibration(run / "calibration.json")
    assert (facts["threshold"], facts["distance"]) == (found.threshold, "cosine")
    (run / "calibration.json").unlink()


def test_shards_are_taken_for_a_folder(indexed, tmp_path, capsys):
    run, shards = str(indexed / "run"), str(tmp_path / "shards")
    assert main(["embed", run, str(indexed / "photos"), "-o", shards, "--shard", "50"]) == 0
    assert main(["index", run, shards, "-o", str(tmp_path / "index")]) == 0
    one, other = Index.load(tmp_path / "index"), Index.load(indexed / "run" / "index")
    np.testing.assert_array_equal(one.ids, other.ids)
    vectors = other._store.of(other.ids)
    np.testing.assert_allclose(one._store.of(one.ids), vectors, atol=1e-6)
    encoder(1).save(tmp_path / "other.keras")
    command = ["index", str(tmp_path / "other.keras"), shards, "-o", str(tmp_path / "b")]
    capsys.readouterr()
    assert main(command) == 1
    assert "made by another model" in capsys.readouterr().err


def test_damaged_files_are_told(place, tmp_path, capsys):
    folder = tmp_path / "photos" / "x"
    folder.mkdir(parents=True)
    (folder / "torn.png").write_bytes(b"\x89PNG....")
    (folder / "good.png").write_bytes((place / "photos" / "3" / "3-0.png").read_bytes())
    out = str(tmp_path / "index")
    assert main(["index", str(place / "run"), str(tmp_path / "photos"), "-o", out]) == 3
    assert "torn.png" in capsys.readouterr().out
    command = ["search", str(place / "run"), str(folder), "--index", out]
    assert main(command) == 3
    told = capsys.readouterr().out
    assert "skipped" in told
    assert "good.png" in told
    (folder / "good.png").unlink()
    assert main(command) == 1
    assert "No photograph could be read" in capsys.readouterr().err


def test_another_model_is_refused(indexed, tmp_path, capsys):
    encoder(1).save(tmp_path / "other.keras")
    photo = str(indexed / "photos" / "3" / "3-0.png")
    command = ["search", str(tmp_path / "other.keras"), photo]
    assert main([*command, "--index", str(indexed / "run" / "index")]) == 1
    assert "another model" in capsys.readouterr().err
    assert main(command) == 1
    assert "No index was named" in capsys.readouterr().err


def test_the_report_is_one_page_with_everything_in_it(place, tmp_path, capsys):
    pytest.importorskip("sklearn")
    out = tmp_path / "report.html"
    command = ["neighbours-report", str(place / "run"), str(place / "photos"), "-o", str(out)]
    assert main([*command, "-k", "3", "--rows", "4", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    page = out.read_text()
    pictures = re.findall(r'src="data:image/png;base64,([^"]+)"', page)
    assert len(pictures) == 5
    assert all(base64.b64decode(picture).startswith(b"\x89PNG") for picture in pictures)
    assert not re.search(r'src="(?!data:)|href=', page), "nothing lies outside"
    assert page.count("<tr>") == 11 + 5, "classes, and four mistakes below their heading"
    mistakes = answer["mistakes"]
    assert all(one["label"] != one["nearest label"] for one in mistakes)
    assert all(one["image"] in page for one in mistakes[:4])
    assert len(answer["classes"]) == 10
    assert 0.7 < answer["recall@1"] <= answer["recall@3"] <= 1
    for name in digits.load().names:
        assert f"<tr><td>{name}</td><td>12</td>" in page


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["index", "RUN", "nowhere"], "nothing at nowhere. Expected: a folder or list"),
        (["index", "RUN", "PHOTOS", "--kind", "ifv"], "did you mean 'ivf'"),
        (["index", "RUN", "PHOTOS", "--option", "nprobe"], "Expected: NAME=NUMBER"),
        (["search", "RUN", "PHOTOS", "-o", "a.jpg"], "ends in .png"),
        (["search", "RUN", "nowhere.png"], "nothing at nowhere.png. Expected: an image"),
        (["calibrate", "RUN", "PHOTOS/3"], "two sub-folders or more"),
        (["calibrate", "RUN", "PHOTOS", "--far", "1e-9"], "So few pairs cannot show"),
        (["neighbours-report", "RUN", "PHOTOS", "-o", "a.png"], "ends in .html"),
        (["neighbours-report", "RUN", "PHOTOS", "-o", "a.html", "-k", "500"], "Received: 500"),
    ],
)
def test_refusals(indexed, arguments, words, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    names = {"RUN": str(indexed / "run"), "PHOTOS": str(indexed / "photos")}
    told = [names.get(word, word.replace("PHOTOS", names["PHOTOS"])) for word in arguments]
    assert main(told) == 1
    error = capsys.readouterr().err
    assert words in error
    assert "Traceback" not in error
    assert list(tmp_path.iterdir()) == []
