"""Maps to boxes, crops against one pass, the choice on validation scenes, blobs."""

import keras
import numpy as np
import pytest
from keras import layers

from keras_metric import convert, metrics
from keras_metric.metrics import Boxes
from zoo.datasets.sources import digit_scenes
from zoo.evaluation import blobs, detecting
from zoo.evaluation.detecting import Choice

pytestmark = pytest.mark.every_backend

CLEAN = {"strokes": (0, 0), "fragments": (0, 0), "noise": 0.0, "overlap": 0.0, "boxes": "frame"}


@pytest.fixture
def places():
    return convert.Geometry((8, 8), (4, 4), (0, 0), (8, 8), (0, 0), (1, 1), (40, 40))


def test_one_pass_equals_the_classifier_on_crops():
    model = keras.Sequential(
        [
            keras.Input((12, 12, 1)),
            layers.Conv2D(4, 3, activation="relu"),
            layers.MaxPooling2D(),
            layers.Flatten(),
            layers.Dense(3, "softmax"),
        ]
    )
    pictures = np.random.default_rng(0).integers(0, 9, (2, 20, 26, 1)).astype(np.uint8)
    fcn = convert.to_fully_convolutional(model)
    whole = detecting.maps_of(fcn, pictures)
    assert whole.shape == (2, 5, 8, 3)
    np.testing.assert_allclose(detecting.maps_by_crops(model, pictures, 2), whole, atol=1e-6)


def test_boxes_lie_about_the_middle_of_their_windows(places):
    maps = np.zeros((1, 9, 9, 3))
    maps[..., -1] = 0.5
    maps[0, 2, 5] = [0.2, 0.7, 0.1]
    maps[0, 2, 6] = [0.6, 0.3, 0.1]
    maps[0, 7, 1] = [0.04, 0.0, 0.96]
    near = detecting.boxes_of(maps, places, Choice(side=6, overlap=0.3))[0]
    assert near.boxes.tolist() == [[21, 9, 27, 15], [25, 9, 31, 15]]
    assert near.labels.tolist() == [1, 0]
    assert near.scores.tolist() == [0.7, 0.6]
    alone = detecting.boxes_of(maps, places, Choice(side=16, overlap=0.3))[0]
    assert alone.boxes.tolist() == [[16, 4, 32, 20]]


def test_the_choice_is_the_best_on_validation_scenes(places):
    maps = np.zeros((1, 9, 9, 2))
    maps[0, 2, 5, 0] = 0.9
    sides = {}
    for side in (5, 11):
        corner = np.array([24 - side / 2, 12 - side / 2])
        true = [Boxes(np.concatenate([corner, corner + side])[None], np.array([0]))]
        choice = detecting.chosen(maps, places, true)
        assert choice.threshold == 0.9
        found = detecting.boxes_of(maps, places, choice)
        assert metrics.mean_average_precision(found, true) == 1
        sides[side] = choice.side
    assert sides == {5: 6, 11: 8}


def test_precision_and_recall_ask_for_the_class():
    true = [Boxes(np.array([[0, 0, 8, 8], [20, 20, 28, 28]]), np.array([0, 1]))]
    found = [Boxes(true[0].boxes, np.array([0, 2]), np.array([0.9, 0.8]))]
    measured = detecting.measured(found, true, 0.5)
    assert measured["precision"] == measured["recall"] == 0.5
    assert measured["AP@0.5 of the place"] == 1
    assert measured["AP@0.5"] == 0.5


def test_blobs_find_clean_digits_and_lose_them_in_a_bright_ground():
    pytest.importorskip("scipy.ndimage")
    scenes = digit_scenes.load("test", 96, count=6, glyphs=(2, 3), **CLEAN)
    pictures, true = detecting.images(scenes), detecting.truth(scenes)
    bank = digit_scenes.digit_banks().train
    found = blobs.boxes_of(pictures, bank, 60)
    assert metrics.detected(found, true).average_precision > 0.8
    assert metrics.mean_average_precision(found, true) > 0.6
    assert blobs.chosen(pictures, bank, true) in blobs.LEVELS
    ground = blobs.boxes_of(np.maximum(pictures, 100), bank, 60)
    assert metrics.mean_average_precision(ground, true) == 0
    dark = blobs.boxes_of(np.zeros_like(pictures), bank, 60)
    assert [len(one.labels) for one in dark] == [0] * 6
