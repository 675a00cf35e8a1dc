"""Finding in scenes: correlation against loops, precision by hand, what windows show."""

import numpy as np
import pytest

from zoo.datasets import Images
from zoo.datasets.scenes.scenes import Scenes
from zoo.datasets.scenes.windows import WindowBatches, moved
from zoo.evaluation import finding
from zoo.evaluation.finding import correlation, matching


def loops(template, image):
    h, w = template.shape[:2]
    rows, columns = image.shape[0] - h + 1, image.shape[1] - w + 1
    found = np.zeros((rows, columns))
    for i in range(rows):
        for j in range(columns):
            a, b = template.ravel(), image[i : i + h, j : j + w].ravel()
            found[i, j] = np.corrcoef(a, b)[0, 1] if b.std() else 0
    return found


@pytest.mark.parametrize("channels", [1, 3])
def test_correlation_equals_loops(channels, rng):
    templates = rng.uniform(0, 255, (2, 4, 5, channels))
    image = rng.uniform(0, 255, (11, 13, channels))
    image[:6, :7] = 7.0
    expected = np.stack([loops(t, image) for t in templates], axis=-1)
    np.testing.assert_allclose(correlation(templates, image), expected, atol=1e-6)


def test_matching_finds_the_template_at_its_scale(rng):
    blocks = rng.uniform(0, 255, (4, 4))
    template = np.kron(blocks, np.ones((3, 3)))[None, ..., None]
    scene = rng.uniform(0, 255, (60, 50, 1))
    scene[10:34, 20:44, 0] = np.kron(blocks, np.ones((6, 6)))
    levels = matching(template, scene, (1.0, 2.0))
    assert [level.values.shape for level in levels] == [(49, 39, 1), (19, 14, 1)]
    best = max(levels, key=lambda level: level.values.max())
    assert best.scale == 2
    cell = np.unravel_index(best.values[..., 0].argmax(), best.values.shape[:2])
    assert best.scene_box(best.places.window_box(*cell)) == (20, 10, 44, 34)


def test_measured_is_perfect_for_the_very_pictures_and_not_for_others(rng):
    shapes = np.zeros((3, 12, 12, 1), "uint8")
    shapes[0, 2:10, 5:7] = shapes[1, 5:7, 2:10] = 255
    shapes[2, 2:10, 2:10] = 255
    bank = Images(shapes, np.arange(3), ("bar", "dash", "box"))
    quiet = {"strokes": (0, 0), "fragments": (0, 0), "noise": 0.0, "rotation": 0.0}
    scenes = Scenes(bank, 48, 6, glyphs=(3, 4), scale=(1, 1), boxes="frame", **quiet)
    search = finding.Search(bank, scenes, (1.0,))
    assert finding.by_correlation(search) == {"average precision": 1.0, "recall@1": 1.0}
    swapped = finding.Search(bank.where(np.array([1, 0])), scenes, (1.0,))
    wrong = finding.Search(
        Images(swapped.exemplars.images, np.array([0, 1]), bank.names), scenes, (1.0,)
    )
    assert finding.by_correlation(wrong)["average precision"] < 0.3


def test_blur_keeps_the_ink_and_spreads_it():
    images = np.zeros((1, 15, 15, 1))
    images[0, 7, 7] = 100
    soft = finding.blurred(images, 1.5)
    assert soft.sum() == pytest.approx(100, rel=1e-3)
    assert soft.max() == soft[0, 7, 7, 0] < 10
    np.testing.assert_allclose(soft, soft[:, ::-1, ::-1], atol=1e-5)
    np.testing.assert_array_equal(finding.blurred(images, 0), images)


def test_images_are_moved_by_whole_pixels(rng):
    images = rng.uniform(1, 2, (2, 5, 5, 1))
    found = moved(images, np.array([[2, -1], [0, 9]]))
    np.testing.assert_array_equal(found[0, 2:, :4], images[0, :3, 1:])
    assert not found[0, :2].any()
    assert not found[1].any()


def test_windows_show_glyphs_in_the_crowd_and_strangers(rng):
    images = np.zeros((12, 28, 28, 1), "uint8")
    images[:, 8:20, 8:20] = 200
    labels = np.repeat(np.arange(4), 3)
    batches = WindowBatches(images, labels, classes_per_batch=4, images_per_class=2, seed=3)
    pictures, found = batches[0]
    assert pictures.shape == (12, 28, 28, 1)
    assert pictures.dtype == "float32"
    assert found.tolist()[8:] == [-1, -2, -3, -4]
    assert sorted(np.unique(found[:8], return_counts=True)[1]) == [2, 2, 2, 2]
    middle = pictures[:8, 9:19, 9:19].mean(axis=(1, 2, 3))
    assert (middle > 0.55 * 200).all()
    whole = images[0, ..., 0] > 0
    covered = [(window[..., 0][whole] > 90).mean() for window in pictures[8:]]
    assert max(covered) < 0.9
    again = WindowBatches(images, labels, classes_per_batch=4, images_per_class=2, seed=3)[0]
    np.testing.assert_array_equal(again[0], pictures)
