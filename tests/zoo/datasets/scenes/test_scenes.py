"""Scenes: boxes and labels lie on the ink, no glyph is in two splits, nothing depends on order."""

import numpy as np
import pytest

from zoo.datasets import Images
from zoo.datasets.scenes.clutter import stroke
from zoo.datasets.scenes.glyphs import INK, banks, resized
from zoo.datasets.scenes.scene_batches import SceneBatches, label_maps, presence
from zoo.datasets.scenes.scenes import Scenes
from zoo.datasets.sources import digit_scenes, omniglot

pytest.importorskip("PIL.Image")
pytest.importorskip("sklearn")

CLEAN = {"strokes": (0, 0), "fragments": (0, 0), "noise": 0.0, "contrast": (1.0, 1.0)}


@pytest.fixture
def squares():
    """Class c is a bright square of side 4 (c + 1) in the middle of 16 x 16."""
    images = np.zeros((3, 16, 16, 1), np.uint8)
    for c in range(3):
        images[c, 8 - 2 * (c + 1) : 8 + 2 * (c + 1), 8 - 2 * (c + 1) : 8 + 2 * (c + 1)] = 255
    return Images(images, np.arange(3), ("small", "middle", "large"))


def test_truth_lies_on_the_ink(squares):
    scenes = Scenes(squares, (60, 90), glyphs=(4, 4), scale=(1, 1), rotation=0, overlap=0, **CLEAN)
    for scene in map(scenes.__getitem__, range(20)):
        assert scene.image.shape == (60, 90, 1)
        assert scene.image.dtype == np.uint8
        expected = np.zeros((60, 90), np.int32)
        for (left, top, right, bottom), label in zip(scene.boxes, scene.labels, strict=True):
            assert right - left == bottom - top == 4 * (label + 1)
            expected[top:bottom, left:right] = label + 1
        np.testing.assert_array_equal(scene.label_map, expected)
        np.testing.assert_array_equal(scene.image[..., 0] > 0, expected > 0)
        np.testing.assert_array_equal(squares.labels[scene.glyphs], scene.labels)


def test_boxes_fit_turned_and_scaled_ink():
    scenes = digit_scenes.load("test", 96, glyphs=(1, 1), rotation=40, **CLEAN)
    for scene in map(scenes.__getitem__, range(20)):
        rows, columns = np.nonzero(scene.image[..., 0] >= INK)
        around = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        assert tuple(scene.boxes[0]) == around
        assert set(np.unique(scene.label_map)) == {0, scene.labels[0] + 1}


def test_frames_have_the_size_of_the_crop(squares):
    scenes = Scenes(squares, 64, scale=(0.5, 1.5), boxes="frame")
    sides = np.concatenate([scenes[i].boxes[:, 2:] - scenes[i].boxes[:, :2] for i in range(30)])
    np.testing.assert_array_equal(sides[:, 0], sides[:, 1])
    assert sides.min() >= 8
    assert sides.max() <= 24
    assert len(np.unique(sides)) > 8


@pytest.mark.parametrize("overlap", [0.0, 0.2, 1.0])
def test_frames_overlap_no_more_than_allowed(squares, overlap):
    scenes = Scenes(squares, 64, glyphs=(9, 12), overlap=overlap, boxes="frame")
    worst = 0.0
    for i in range(20):
        boxes = scenes[i].boxes
        for a in range(len(boxes)):
            for b in range(a):
                first = np.maximum(boxes[a, :2], boxes[b, :2])
                last = np.minimum(boxes[a, 2:], boxes[b, 2:])
                areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (boxes[a], boxes[b])]
                worst = max(worst, np.clip(last - first, 0, None).prod() / min(areas))
    assert worst <= overlap
    assert worst > overlap - 0.1


def test_a_scene_depends_on_seed_and_index_alone():
    one = digit_scenes.load("train", 64, seed=3)
    other = digit_scenes.load("train", 64, seed=3)
    backwards = [other[i] for i in (5, 2)]
    np.testing.assert_array_equal(one[2].image, backwards[1].image)
    np.testing.assert_array_equal(one[2].boxes, backwards[1].boxes)
    assert (one[2].image != one[3].image).any()
    assert (one[2].image != digit_scenes.load("train", 64, seed=4)[2].image).any()


def test_no_glyph_is_in_two_splits():
    three = digit_scenes.digit_banks()
    rows = [{image.tobytes() for image in bank.images} for bank in three]
    assert not (rows[0] & rows[1])
    assert not (rows[0] & rows[2])
    assert not (rows[1] & rows[2])
    assert [len(bank.classes) for bank in three] == [10, 10, 10]
    assert len(three.train) > len(three.test) > len(three.validation) > 200


def test_no_layout_is_in_two_splits():
    scenes = [digit_scenes.load(split, 64, seed=1)[0] for split in ("train", "validation", "test")]
    boxes = [scene.boxes[:2].tolist() for scene in scenes]
    assert boxes[0] != boxes[1]
    assert boxes[1] != boxes[2]
    assert {digit_scenes.load("test", seed=s).seed for s in (0, 1)} == {2, 5}


def test_equal_pictures_come_once(squares):
    twice = squares.where(np.array([0, 0, 0, 0, 0, 0]))
    rng = np.random.default_rng(0)
    other = Images(rng.integers(0, 256, (9, 16, 16, 1), dtype=np.uint8), np.zeros(9, int), ("a",))
    both = Images(np.concatenate([twice.images, other.images]), np.zeros(15, int), ("small",))
    assert sum(map(len, banks(both))) == 10


def test_clutter_has_no_label():
    options = {"glyphs": (0, 0), "strokes": (3, 3), "fragments": (3, 3), "noise": 0.0}
    scene = digit_scenes.load("train", 64, **options)[0]
    assert scene.image.max() > 100
    assert not scene.label_map.any()
    assert scene.boxes.shape == (0, 4)


def test_noise_and_contrast_are_as_asked():
    nothing = {"glyphs": (0, 0), "strokes": (0, 0), "fragments": (0, 0)}
    image = digit_scenes.load("train", 128, noise=20.0, **nothing)[0].image
    expected = np.clip(np.rint(20 * np.random.default_rng(0).standard_normal(10**6)), 0, 255)
    assert abs(image.mean() - expected.mean()) < 0.5
    dim = digit_scenes.load("train", 64, **{**CLEAN, "contrast": (0.5, 0.5)})[0]
    assert 100 <= dim.image.max() <= 128


def test_stroke_equals_a_fine_curve():
    rng = np.random.default_rng(5)
    ends, radius = rng.uniform(0, 20, (3, 2)), 20 * rng.uniform(0.03, 0.07)
    drawn = stroke(np.random.default_rng(5), 20)
    along = np.linspace(0, 1, 4000)[:, None]
    curve = (1 - along) ** 2 * ends[0] + 2 * along * (1 - along) * ends[1] + along**2 * ends[2]
    curve += radius + 1 - curve.min(0)
    for row, column in np.ndindex(drawn.shape):
        distance = np.hypot(*(curve - (row + 0.5, column + 0.5)).T).min()
        expected = 255 * np.clip(radius + 0.5 - distance, 0, 1)
        assert abs(drawn[row, column] - expected) < 8
    assert (drawn == 255).any()


def test_omniglot_characters_can_be_pasted(real_data):
    characters = omniglot.prepare(omniglot.load("small1", real_data), 32)
    three = banks(characters)
    scene = Scenes(three.test, 160, glyphs=(6, 6), overlap=0.0)[0]
    assert scene.labels.max() > 10
    assert len(scene.boxes) == 6
    assert scene.label_map.max() == scene.labels.max() + 1


def test_resized_keeps_labels(squares):
    small = resized(squares, 8)
    assert small.shape == (8, 8, 1)
    np.testing.assert_array_equal(small.labels, squares.labels)
    np.testing.assert_allclose(small.images[1, 3:5, 3:5], 255, atol=3)


def test_batches_go_on_through_the_scenes():
    scenes = digit_scenes.load("train", 48, glyphs=(1, 2), count=10)
    batches = SceneBatches(scenes, 4, targets=label_maps, batches_per_epoch=2)
    images, maps = batches[1]
    assert images.shape == (4, 48, 48, 1)
    assert maps.shape == (4, 48, 48)
    np.testing.assert_array_equal(images[0], scenes[4].image)
    np.testing.assert_array_equal(maps[3], scenes[7].label_map)
    batches.epoch = 1
    np.testing.assert_array_equal(
        batches[0][0][:, 0], np.stack([scenes[i].image[0] for i in (8, 9, 0, 1)])
    )
    fixed = SceneBatches(scenes, 4, targets=presence, batches_per_epoch=2, fixed=True)
    fixed.epoch = 1
    images, present = fixed[0]
    np.testing.assert_array_equal(images[0], scenes[0].image)
    for i in range(4):
        assert set(np.flatnonzero(present[i])) == set(scenes[i].labels)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"size": 20}, "sides of at least 34.*Received: 1,000 of 20 x 20"),
        ({"glyphs": (5, 2)}, "least and most.*glyphs .5, 2."),
        ({"scale": (0, 1)}, "scale above 0"),
        ({"boxes": "round"}, "'ink' or 'frame'"),
        ({"split": "all"}, "train, validation, test. Received: 'all'"),
    ],
)
def test_refuses(options, message):
    with pytest.raises(ValueError, match=message):
        digit_scenes.load(**options)


def test_refuses_what_cannot_be_pasted(squares):
    colour = Images(np.repeat(squares.images, 3, -1), squares.labels, squares.names)
    with pytest.raises(ValueError, match="square grey crops"):
        Scenes(colour)
    with pytest.raises(IndexError, match="0 to 9. Received: 10"):
        Scenes(squares, count=10)[10]
