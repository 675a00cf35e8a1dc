"""Where the pictures of a page come from: an index of files, or a recipe; and what is refused."""

import shutil

import numpy as np
import pytest

from keras_metric.retrieval import Index
from keras_metric.serve.refusals import Refusal
from zoo.cli import main
from zoo.datasets.sources import digits
from zoo.demo.gallery import of_index, sheet
from zoo.demo.recipe_gallery import of_run
from zoo.inference.bulk import networks
from zoo.runs.runs import Run

pytestmark = pytest.mark.tensorflow  # of the page, not of the numbers: those are in test_answers


def test_an_index_of_files(indexed, network, photos, serving, ask):
    gallery = of_index(network, indexed.index, None)
    assert gallery.source == f"20 pictures of the index {indexed.index}"
    assert len(gallery.samples) == 9
    server = serving(gallery)
    about = ask(server, "/api/about")[1]
    assert (about["threshold"], about["chosen"]) == (None, "`keras-metric calibrate` finds one")
    named = {path.name: path for path in photos.rglob("*.png")}
    sample = about["samples"][0]
    found = ask(server, "/api/search?picture=sample-0&k=30")[1]
    assert len(found["neighbours"]) == 20
    assert found["neighbours"][0]["distance"] == pytest.approx(0, abs=1e-3)
    assert found["label"] == named[sample["title"]].parent.name
    assert found["verdict"] == f"{found['label']} (no threshold is set)"
    assert {one["within"] for one in found["neighbours"]} == {None}
    nearest = found["neighbours"][0]["picture"]
    shown = [ask(server, f"/api/pictures/{name}")[1] for name in ("sample-0", nearest)]
    assert shown[0] == shown[1]


def test_a_threshold_by_hand_or_calibrated(indexed, network, photos, tmp_path):
    nothing = of_index(network, indexed.index, 0.0)
    assert (nothing.searcher.threshold, nothing.chosen) == (0, "given by --threshold")
    folder = tmp_path / "run"
    shutil.copytree(indexed.folder, folder)
    assert main(["calibrate", str(folder), str(photos), "--far", "0.1"]) == 0
    assert of_index(network, folder / "index", None).chosen == "calibrated for far 0.1"
    shutil.rmtree(folder / "index")
    found = of_run(Run(folder), network, None, None)
    assert found.chosen.startswith("beside the model; of 896 test pictures")
    assert found.searcher.index.calibration.asked == 0.1


def test_files_that_are_gone_are_told(indexed, network, photos, tmp_path):
    moved = tmp_path / "photos"
    shutil.copytree(photos, moved)
    assert main(["index", str(indexed.folder), str(moved), "-o", str(tmp_path / "index")]) == 0
    shutil.rmtree(moved)
    gallery = of_index(network, tmp_path / "index", None)
    assert (gallery.samples, gallery.scenes) == ([], [])
    with pytest.raises(Refusal, match=r"No such file"):
        gallery.record(3)


def test_vectors_without_files_are_found_without_pictures(network, tmp_path, serving, ask, as_png):
    index = Index(distance="euclidean")
    index.add(np.eye(3, 64), [7, 2**60, None], model=network.fingerprint)
    index.save(tmp_path / "index")
    gallery = of_index(network, tmp_path / "index", None)
    with pytest.raises(Refusal, match=r"made of a file. Received: record-1"):
        gallery.record(1)
    server = serving(gallery)
    name = ask(server, "/api/pictures", as_png(np.zeros((9, 9, 1))))[1]["picture"]
    found = ask(server, f"/api/search?picture={name}")[1]
    assert {one["label"] for one in found["neighbours"]} == {"7", str(2**60), None}


def test_a_sheet_has_every_picture():
    pictures = [np.full((4, 6, 3), shade, np.uint8) for shade in range(10, 80, 10)]
    pixels = sheet(pictures).shown
    assert pixels.shape == (2 + 2 * 6, 3 + 6 * 9, 3)
    np.testing.assert_array_equal(pixels[2:6, 3:9], pictures[0])
    np.testing.assert_array_equal(pixels[8:12, 3:9], pictures[6])
    assert (pixels == 40).all(axis=-1).sum() > 4 * 6, "the ground is that of the corners"


def test_networks_know_their_encoder(run, network):
    images = digits.load().images[:3]
    assert network.encoder.predict_on_batch(images.astype("float32")) == pytest.approx(
        network(images), abs=1e-6
    )
    assert networks.load(networks.locate(run.model)).fingerprint == network.fingerprint
