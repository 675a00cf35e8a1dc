"""Boxes from score maps, against plain loops."""

from dataclasses import replace

import numpy as np
import pytest

import keras_metric as km
from keras_metric.convert import Geometry, detections, intersection_over_union

PLACES = Geometry(
    window=(8, 8), stride=(4, 4), start=(0, 0), receptive_field=(8, 8), offset=(0, 0),
    size_step=(1, 1), size=(40, 40),
)  # fmt: skip


def test_threshold_peaks_and_order():
    scores = np.zeros((5, 5, 2))
    scores[1, 1, 0], scores[1, 2, 0], scores[4, 4, 1] = 0.9, 0.8, 0.95
    found = detections(scores, PLACES, threshold=0.5)
    assert [(d.label, d.score) for d in found] == [(1, 0.95), (0, 0.9)]
    assert found[1].box == (4, 4, 12, 12)
    assert len(detections(scores, PLACES, peaks=False, overlap=1.0)) == 3
    assert [d.label for d in detections(scores, PLACES, labels=[0])] == [0]
    assert len(detections(scores, PLACES, limit=1)) == 1


def test_a_plateau_has_one_peak():
    scores = np.zeros((4, 4, 1))
    scores[1:3, 1:3] = 0.7
    assert [d.box for d in detections(scores, PLACES, overlap=1.0)] == [(4, 4, 12, 12)]


def test_boxes_are_left_top_right_bottom():
    """Windows 6 high and 10 wide, rows 2 apart and columns 5: cell (2, 1) starts at x 5, y 4."""
    places = replace(PLACES, window=(6, 10), stride=(2, 5))
    scores = np.zeros((4, 3, 1))
    scores[2, 1] = 1
    assert [d.box for d in detections(scores, places)] == [(5, 4, 15, 10)]


def loops_suppress(boxes, overlap):
    kept = []
    for i in range(len(boxes)):
        if all(loops_iou(boxes[i], boxes[k]) <= overlap for k in kept):
            kept.append(i)
    return kept


def loops_iou(a, b):
    pixels = [
        {(y, x) for y in range(t, bottom) for x in range(left, right)}
        for left, t, right, bottom in (a, b)
    ]
    return len(pixels[0] & pixels[1]) / len(pixels[0] | pixels[1])


@pytest.mark.parametrize("overlap", [0.0, 0.3, 0.7])
def test_suppression_equals_loops(overlap, rng):
    first = rng.integers(0, 12, (20, 2))
    boxes = np.concatenate([first, first + rng.integers(2, 8, (20, 2))], axis=1)
    expected = [[loops_iou(a, b) for b in boxes] for a in boxes]
    np.testing.assert_allclose(intersection_over_union(boxes, boxes), expected)
    from keras_metric.convert.apply.detections import suppress

    assert suppress(boxes, overlap) == loops_suppress(boxes.tolist(), overlap)


def test_batches_are_refused():
    with pytest.raises(ValueError, match="one image"):
        km.convert.detections(np.zeros((1, 4, 4, 2)), PLACES)


@pytest.mark.parametrize("label", [-1, 2])
def test_labels_that_are_no_channels_are_refused(label):
    with pytest.raises(ValueError, match="Expected: numbers from 0 to 1"):
        km.convert.detections(np.zeros((4, 4, 2)), PLACES, labels=[label])
