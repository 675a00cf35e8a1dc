"""Windows of scenes: the label is the glyph in the middle, or nothing where all are far off."""

import numpy as np
import pytest

from zoo.datasets import Images
from zoo.datasets.scenes.scene_windows import SceneWindows
from zoo.datasets.scenes.scenes import Scenes

pytest.importorskip("PIL.Image")
CLEAN = {"strokes": (0, 0), "fragments": (0, 0), "noise": 0.0, "contrast": (1.0, 1.0)}


@pytest.fixture
def scenes():
    """Single dots in the middle of 9 x 9 crops, of two brightnesses: the classes."""
    images = np.zeros((2, 9, 9, 1), np.uint8)
    images[:, 4, 4] = [[150], [250]]
    bank = Images(images, np.arange(2), ("dim", "bright"))
    options = {"scale": (1, 1), "rotation": 0, "overlap": 0, "boxes": "frame", "glyphs": (2, 4)}
    return Scenes(bank, 60, 50, **options, **CLEAN)


def test_labels_say_what_is_in_the_middle(scenes):
    batches = SceneWindows(scenes, 60, side=21, near=2, far=5, batches_per_epoch=3)
    offsets, middle = [], 10
    for index in range(3):
        windows, labels = batches[index]
        assert windows.shape == (60, 21, 21, 1)
        for window, label in zip(windows[..., 0], labels, strict=True):
            dots = np.argwhere(window)
            far = np.abs(dots - middle).max(1) if len(dots) else np.array([99])
            if label == 2:
                assert far.min() >= 5 - 1
                offsets.append(far.min())
            else:
                assert far.min() <= 2 + 1
                assert window[tuple(dots[far.argmin()])] == [150, 250][label]
        assert 25 <= (labels < 2).sum() <= 35
    assert np.mean(np.array(offsets) <= 10) > 0.3


def test_a_batch_depends_on_epoch_and_index_alone(scenes):
    one = SceneWindows(scenes, 30, side=21, near=2, far=5, batches_per_epoch=4)
    other = SceneWindows(scenes, 30, side=21, near=2, far=5, batches_per_epoch=4)
    expected = other[3], other[1]
    np.testing.assert_array_equal(one[1][0], expected[1][0])
    np.testing.assert_array_equal(one[3][1], expected[0][1])
    one.epoch = 1
    assert (one[1][0] != expected[1][0]).any()


def test_crowds_and_empty_scenes_give_windows_too(scenes):
    crowd = SceneWindows(scenes, 12, side=21, near=2, far=59, batches_per_epoch=1)
    windows, labels = crowd[0]
    assert not windows[labels == 2].any()
    empty = Scenes(scenes.bank, 60, glyphs=(0, 0), **CLEAN)
    windows, labels = SceneWindows(empty, 12, side=21, near=2, far=5, batches_per_epoch=1)[0]
    assert set(labels) == {2}
    assert not windows.any()


def test_refuses_windows_that_are_both(scenes):
    with pytest.raises(ValueError, match="Expected: 0 <= near < far.*near=5, far=5"):
        SceneWindows(scenes, 12, side=21, near=5, far=5, batches_per_epoch=1)
