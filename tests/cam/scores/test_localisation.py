"""Localisation scores against flood fill and plain loops."""

import numpy as np
import pytest

from keras_metric.cam.scores import (
    MaxBoxAcc,
    MaxBoxAccV2,
    energy_in_box,
    pixel_average_precision,
    pointing_game,
)
from keras_metric.cam.scores.components import _swept, labelled, overlaps


def flood(mask):
    """Parts of a mask by flood fill over eight neighbours: lists of (y, x)."""
    left = {tuple(p) for p in np.argwhere(mask)}
    parts = []
    while left:
        stack, part = [left.pop()], []
        while stack:
            y, x = stack.pop()
            part.append((y, x))
            for other in [(y + i, x + j) for i in (-1, 0, 1) for j in (-1, 0, 1)]:
                if other in left:
                    left.remove(other)
                    stack.append(other)
        parts.append(part)
    return parts


def loop_iou(part, box):
    ys, xs = zip(*part, strict=True)
    found = {(y, x) for y in range(min(ys), max(ys) + 1) for x in range(min(xs), max(xs) + 1)}
    true = {(y, x) for y in range(box[1], box[3]) for x in range(box[0], box[2])}
    return len(found & true) / len(found | true)


@pytest.mark.parametrize("levels", [None, 8])
@pytest.mark.parametrize("largest", [True, False])
def test_boxes_of_parts_equal_flood_fill(largest, levels, rng):
    """With levels, many pixels are exactly at a threshold: they do not count as above it."""
    boxes = np.array([[1, 2, 5, 6], [6, 0, 9, 4]])
    thresholds = np.array([0.0, 0.25, 0.625, 0.875, 0.97])
    for _ in range(5):
        heat = rng.random((8, 10)) if levels is None else rng.integers(0, levels + 1, (8, 10))
        found = overlaps(heat, boxes, thresholds, largest)
        for t, value in zip(thresholds, found, strict=True):
            parts = flood(heat > t * heat.max())
            parts.sort(key=len)
            if largest and len(parts) > 1 and len(parts[-1]) == len(parts[-2]):
                continue
            used = parts[-1:] if largest else parts
            expected = max(loop_iou(part, box) for part in used for box in boxes)
            np.testing.assert_allclose(value, expected)


@pytest.mark.parametrize("density", [0.0, 0.3, 0.5, 0.7, 1.0])
def test_parts_of_a_mask_equal_flood_fill(density, rng):
    for _ in range(20):
        mask = rng.random((9, 12)) < density
        boxes, pixels = labelled(mask)
        expected = []
        for part in flood(mask):
            ys, xs = zip(*part, strict=True)
            expected.append((min(xs), min(ys), max(xs) + 1, max(ys) + 1, len(part)))
        found = [(*box, count) for box, count in zip(boxes.tolist(), pixels.tolist(), strict=True)]
        assert sorted(found) == sorted(expected)


@pytest.mark.parametrize("largest", [True, False])
def test_few_thresholds_and_many_find_the_same(largest, rng):
    heat, boxes = rng.random((12, 15)), np.array([[1, 2, 5, 6], [6, 0, 9, 4]])
    thresholds = np.arange(100) / 100
    many = _swept(heat, boxes, thresholds, False)
    np.testing.assert_allclose(overlaps(heat, boxes, thresholds, False), many)
    heat = np.zeros((12, 15))
    heat[2:6, 1:5], heat[8:10, 8:14] = 1.0, 0.5
    few, many = (f(heat, boxes, thresholds, largest) for f in (overlaps, _swept))
    np.testing.assert_allclose(few, many)


def blob(left, top, right, bottom, value=1.0):
    heat = np.zeros((20, 20))
    heat[top:bottom, left:right] = value
    return heat


def test_threshold_is_chosen_on_held_out_images_and_kept():
    """The object has 0.9, its surroundings 0.4: only thresholds from 0.44 up cut it out."""
    box = (6, 6, 14, 14)
    heat = np.maximum(blob(0, 0, 20, 20, 0.4), blob(*box, 0.9))
    metric = MaxBoxAcc(steps=100)
    with pytest.raises(ValueError, match="held-out"):
        metric.score([heat], [[box]])
    metric.choose([heat], [[box]])
    assert 0.44 <= metric.thresholds[0] <= 0.45
    assert metric.score([heat], [[box]]) == 1.0
    faint = np.maximum(blob(0, 0, 20, 20, 0.6), blob(*box, 0.9))
    assert metric.score([heat, faint], [[box], [box]]) == 0.5
    assert metric.curve([faint], [[box]]).max() == 1.0


def test_version_two_means_over_ious_and_takes_any_part():
    truth = (0, 0, 10, 10)
    near = blob(0, 0, 10, 6)
    large = np.maximum(near, blob(12, 10, 20, 20))
    second = MaxBoxAccV2(steps=10).choose([near], [[truth]])
    assert second.score([near], [[truth]]) == pytest.approx(2 / 3)
    assert second.score([large], [[truth]]) == pytest.approx(2 / 3)
    first = MaxBoxAcc(steps=10).choose([near], [[truth]])
    assert first.score([near], [[truth]]) == 1.0
    assert first.score([large], [[truth]]) == 0.0


def test_pixel_average_precision_equals_loops(rng):
    maps = rng.integers(0, 11, (3, 6, 5)) / 10
    masks = rng.random((3, 6, 5)) < 0.4
    expected, before = 0.0, 0.0
    for t in np.arange(10, -1, -1) / 10:
        picked = maps >= t - 1e-9
        if picked.any():
            precision = (picked & masks).sum() / picked.sum()
            recall = (picked & masks).sum() / masks.sum()
            expected += precision * (recall - before)
            before = recall
    np.testing.assert_allclose(pixel_average_precision(maps, masks, steps=10), expected)
    assert pixel_average_precision(masks.astype(float), masks) == 1.0


def test_pointing_game_counts_the_tolerance():
    heat = np.zeros((3, 20, 20))
    heat[0, 5, 5] = heat[1, 5, 12] = heat[2, 19, 19] = 1
    boxes = [[(4, 4, 10, 10)]] * 3
    assert pointing_game(heat, boxes, tolerance=0) == pytest.approx(1 / 3)
    assert pointing_game(heat, boxes, tolerance=3) == pytest.approx(2 / 3)
    assert pointing_game(heat, boxes) == 1.0


def test_energy_in_boxes_counts_overlaps_once():
    heat = np.ones((1, 4, 5))
    found = energy_in_box(heat, [[(0, 0, 2, 2), (1, 1, 3, 3)]])
    np.testing.assert_allclose(found, [7 / 20])
    np.testing.assert_allclose(energy_in_box(0 * heat, [[(0, 0, 2, 2)]]), [0])


def test_bad_truth_is_refused():
    heat = np.ones((1, 4, 5))
    with pytest.raises(ValueError, match="do not match"):
        pointing_game(heat, [])
    with pytest.raises(ValueError, match="do not match"):
        pointing_game(-heat, [[(0, 0, 1, 1)]])
    with pytest.raises(ValueError, match="No true box"):
        energy_in_box(heat, [[(3, 3, 1, 1)]])
    with pytest.raises(ValueError, match="Nothing to find"):
        pixel_average_precision(heat, np.zeros((1, 4, 5)))
    with pytest.raises(ValueError, match="out of range"):
        pixel_average_precision(2 * heat, heat)
