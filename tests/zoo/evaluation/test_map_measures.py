"""The protocol of maps, on maps whose scores are known."""

import json
from importlib import reload
from pathlib import Path

import keras
import numpy as np
import pytest
from keras import layers

import zoo
from keras_metric.cam import CAM, METHODS, method
from zoo.datasets.scenes.boxed import Boxed
from zoo.evaluation import map_measures
from zoo.recipes import _maps

pytestmark = pytest.mark.tensorflow
CARDS = Path(zoo.__file__).parents[1] / "docs" / "cards"


def finder():
    """Kind 0 is red, kind 1 is green: a network whose exact map is the picture's own channel."""
    x = keras.Input((None, None, 3))
    h = layers.Conv2D(2, 1, use_bias=False, name="map")(layers.Rescaling(1 / 255)(x))
    model = keras.Model(x, layers.Dense(2)(layers.GlobalAveragePooling2D()(layers.ReLU()(h))))
    model.get_layer("map").set_weights([np.array([[[[1, 0], [0, 1], [0, 0]]]])])
    model.layers[-1].set_weights([np.eye(2), np.zeros(2)])
    return model


def pictures(rng, count):
    """A red and a green square in each, and the boxes around them."""
    images = rng.integers(0, 60, (count, 24, 32, 3), np.uint8)
    images[..., :2] //= 30
    boxes = []
    for image in images:
        red, green = rng.integers(0, 18), rng.integers(0, 14)
        image[red : red + 6, 3:9, 0] = 200
        image[green : green + 10, 20:30, 1] = 250
        boxes.append([(3, red, 9, red + 6), (20, green, 30, green + 10)])
    return Boxed(images, boxes, [[0, 1]] * count, ("red", "green"))


@pytest.fixture
def cases(rng):
    return [map_measures.cases_of_boxes(pictures(rng, count)) for count in (4, 20)]


def test_a_case_is_one_kind_of_one_picture(rng):
    cells = pictures(rng, 2)
    cases = map_measures.cases_of_boxes(cells)
    assert cases.classes.tolist() == [0, 1, 0, 1]
    assert cases.masks.sum((1, 2)).tolist() == [36, 100, 36, 100]
    np.testing.assert_array_equal(cases.boxes[1], cells.boxes[0][1:])
    assert map_measures.cases_of_boxes(cells, [1]).classes.tolist() == [1, 1]
    assert cases.where([3]).masks.sum() == 100


def test_nothing_to_measure_on_is_refused(rng):
    red = pictures(rng, 2)
    red = Boxed(red.images, [one[:1] for one in red.boxes], [[0], [0]], red.names)
    with pytest.raises(
        ValueError, match="Expected: pictures that show one of the kinds green. Rec"
    ):
        map_measures.cases_of_boxes(red, [1])


def test_maps_come_in_the_order_of_the_cases_whatever_the_batches(cases, monkeypatch):
    cam = CAM(finder())
    whole = cam(cases[1].images, cases[1].classes)
    monkeypatch.setattr(map_measures, "BATCH", 16)
    np.testing.assert_allclose(map_measures.maps_of(cam, cases[1]), whole, atol=1e-6)


def test_a_perfect_map_has_perfect_scores(cases):
    explain = map_measures.explainers(finder(), ["cam"])
    found = map_measures.localisation(explain, *cases)
    perfect = ("pointing game", "MaxBoxAcc", "MaxBoxAccV2", "PxAP")
    assert [found["cam"][score] for score in perfect] == pytest.approx([1, 1, 1, 1], abs=1e-6)
    assert found["cam"]["energy in box"] > 0.8
    assert found["any pixel"]["pointing game"] == pytest.approx((36 + 100) / 2 / (24 * 32))
    assert found["centre"]["MaxBoxAcc"] < 0.3


def test_faithful_maps_beat_the_centre(cases):
    model = finder()
    model.layers[-1].set_weights([60 * np.eye(2), np.full(2, -4.0)])
    found = map_measures.faithfulness(model, map_measures.explainers(model, ["cam"]), cases[1])
    ours, centre = found["cam"], found["centre"]
    assert ours["deletion"] < centre["deletion"]
    assert ours["insertion"] > centre["insertion"]
    assert ours["average drop"] < centre["average drop"]
    assert ours["ROAD"] > centre["ROAD"]
    assert abs(ours["shuffled weights"]) < 0.99


def test_every_method_can_be_measured(cases):
    apart = (
        "random masks",
        "attention",
        "relevance",
    )  # hundreds of passes an image; no network of convolutions
    quick = [name for name, method in METHODS.items() if method.needs not in apart]
    found = map_measures.localisation(map_measures.explainers(finder(), quick), *cases)
    assert found.keys() == {*quick, "centre", "any pixel"}
    assert all(np.isfinite(list(row.values())).all() for row in found.values())


def test_a_new_method_changes_no_settings_of_a_recipe():
    """A run is known by its settings: those of the measured runs are in their cards."""
    before = _maps.METHODS
    method("brand-new", needs="gradients")(lambda e: e.gradients[..., 0])
    try:
        assert before == reload(_maps).METHODS
        for name in ("digits-cam", "bccd-cam"):
            card = json.loads((CARDS / f"{name}.json").read_text(encoding="utf-8"))
            assert card["settings"]["methods"] == before == zoo.get(name).settings["methods"]
    finally:
        del METHODS["brand-new"]
