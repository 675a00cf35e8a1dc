"""The page of a classifier: its classes and maps over HTTP, and as a browser shows them."""

import base64
import io
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image

from keras_metric import Preprocessing, image_files
from keras_metric.cam import CAM
from zoo import encoders
from zoo.cli import main
from zoo.demo.classes import ClassDesk

pytestmark = pytest.mark.tensorflow  # of the page, not of the numbers

LABELS = ["RBC", "WBC", "Platelets"]
SHAPE = (60, 80, 3)


@pytest.fixture(scope="module")
def model():
    return encoders.build("grid", (None, None, 3), classes=3)


@pytest.fixture(scope="module")
def cells(serving, model):
    return serving(ClassDesk(model, Preprocessing.of_shape((None, *SHAPE)), LABELS))


@pytest.fixture
def sent(as_png, rng):
    """A picture of twice the size of the network's images, as pixels and as a file."""
    pixels = np.kron(rng.integers(0, 256, SHAPE), np.ones((2, 2, 1))).astype(np.uint8)
    return pixels, as_png(pixels)


def test_the_classes_of_a_picture_and_where_they_are(cells, ask, sent, model):
    about = ask(cells, "/api/about")[1]
    assert (about["kind"], about["source"], about["maps"]) == ("classifier", "3 classes", "cam")
    name = ask(cells, "/api/pictures", sent[1])[1]["picture"]
    found = ask(cells, f"/api/classes?picture={name}&top=3")[1]["classes"]
    images = image_files.read(io.BytesIO(sent[1]), SHAPE[:2])[None].astype("float32")
    scores = model.predict(images, verbose=0)[0]
    order = np.argsort(-scores)
    assert [one["class"] for one in found] == order.tolist()
    assert [one["label"] for one in found] == [LABELS[number] for number in order]
    np.testing.assert_allclose([one["score"] for one in found], scores[order], rtol=1e-4)
    drawn = np.asarray(Image.open(io.BytesIO(base64.b64decode(found[0]["map"].split(",")[1]))))
    assert drawn.shape == (240, 320, 3)
    warm = drawn[..., 0].astype(int) - drawn[..., 2]
    heat = np.kron(CAM(model, "cam")(images, [order[0]])[0], np.ones((4, 4)))
    assert warm[heat > 0.8].mean() > warm[heat < 0.1].mean() + 50


def test_what_cannot_be_answered_is_refused(cells, ask, sent):
    name = ask(cells, "/api/pictures", sent[1])[1]["picture"]
    status, told = ask(cells, f"/api/classes?picture={name}&top=21")
    assert (status, "Expected: 1 to 20" in told["error"]) == (400, True)
    status, told = ask(cells, "/api/classes?picture=record-0")
    assert (status, "A classifier has no index" in told["error"]) == (404, True)
    assert ask(cells, f"/api/search?picture={name}")[0] == 404


def test_a_model_without_exact_maps_is_explained_all_the_same(as_png, sent):
    desk = ClassDesk(encoders.build("conv4", (32, 32, 3), classes=4), Preprocessing((32, 32)), None)
    assert desk.about()["maps"] == "hirescam"
    (best,) = desk.classes(desk.take(sent[1])["picture"], 1)["classes"]
    assert best["label"] == f"class {best['class']}"


def test_the_command_knows_a_classifier(monkeypatch, classifier, run):
    """By its softmax; a trained model of embeddings is none."""
    desks = []
    monkeypatch.setattr("zoo.demo.running.serve", lambda app, *_, **__: None)
    monkeypatch.setattr("zoo.demo.web.application", lambda desk, name: desks.append((desk, name)))
    assert main(["demo", str(classifier), "--no-browser"]) == 0
    ((desk, name),) = desks
    assert (name, desk.kind, desk.about()["source"]) == ("classifier", "classifier", "3 classes")
    monkeypatch.setattr("zoo.demo.recipe_gallery.of_run", lambda *_: SimpleNamespace())
    monkeypatch.setattr("zoo.demo.desk.Desk", lambda gallery: SimpleNamespace(kind="embedding"))
    assert main(["demo", "digits-triplet", "--no-browser"]) == 0
    assert desks[1][0].kind == "embedding"


def texts(selector):
    """What the elements say that are shown."""
    found = f"[...document.querySelectorAll('{selector}')].filter(x => x.offsetParent)"
    return f"{found}.map(x => x.innerText)"


def test_the_page(cells, browsers, sent, tmp_path):
    browsers.find()
    browser = browsers.Browser(tmp_path / "browser")
    try:
        (tmp_path / "cells.png").write_bytes(sent[1])
        assert browser.show(f"http://127.0.0.1:{cells.port}/") == "ready"
        assert browser.choose("#query-file", tmp_path / "cells.png") == "ready"
        labels = browser(
            "[...document.querySelectorAll('#neighbours strong')].map(x => x.innerText)"
        )
        assert sorted(labels) == sorted(LABELS)
        verdict = browser("document.querySelector('#verdict').innerText")
        assert verdict.strip().endswith(labels[0])
        seen = (
            "[...document.querySelectorAll('h2')].filter(x => x.offsetParent).map(x => x.innerText)"
        )
        assert browser(seen) == ["A picture", "What does it show?", "Where does the model see it?"]
        before = browser.pixels("#why-first")
        browser("document.querySelector('#neighbours li:nth-child(3) button').click()")
        browser("document.querySelector('#why-first').decode()")
        assert not np.array_equal(browser.pixels("#why-first"), before)
    finally:
        browser.close()
