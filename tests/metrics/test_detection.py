"""Average precision of boxes against plain loops, and what a threshold gives."""

import warnings

import numpy as np
import pytest

from keras_metric import metrics
from keras_metric.boxes import intersection_over_union
from keras_metric.metrics import Boxes, detected, detected_by_class, mean_average_precision


def iou(a, b):
    wide = min(a[2], b[2]) - max(a[0], b[0])
    high = min(a[3], b[3]) - max(a[1], b[1])
    both = max(wide, 0) * max(high, 0)
    areas = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return both / (areas - both)


def loops(found, truth, label, least):
    """Area under the envelope of precision, rank by rank, as its definition reads."""
    ranked = sorted(
        (-score, image, i)
        for image, one in enumerate(found)
        for i, score in enumerate(one.scores)
        if one.labels[i] == label
    )
    objects = sum(int((one.labels == label).sum()) for one in truth)
    taken, hits = set(), []
    for _, image, i in ranked:
        best, where = 0.0, None
        for j, box in enumerate(truth[image].boxes):
            if truth[image].labels[j] == label and iou(found[image].boxes[i], box) > best:
                best, where = iou(found[image].boxes[i], box), (image, j)
        hits.append(best >= least and where not in taken)
        if best >= least:
            taken.add(where)
    precisions = [sum(hits[: k + 1]) / (k + 1) for k in range(len(hits))]
    recalls = [sum(hits[: k + 1]) / objects for k in range(len(hits))]
    area, before = 0.0, 0.0
    for k in range(len(hits)):
        area += (recalls[k] - before) * max(precisions[k:])
        before = recalls[k]
    return area


@pytest.fixture
def boxes(rng):
    found, truth = [], []
    for count in (6, 0, 9):
        corner = rng.integers(0, 60, (count, 2))
        true = np.concatenate([corner, corner + rng.integers(10, 20, (count, 2))], 1)
        labels = rng.integers(0, 3, count)
        again = np.concatenate([true, true, rng.integers(0, 20, (4, 4)) + [0, 0, 20, 20]])
        again = again + rng.integers(-4, 5, again.shape)
        said = np.concatenate([labels, rng.integers(0, 3, count + 4)])
        found.append(Boxes(again, said, rng.permutation(len(said)) / 30 + count / 1000))
        truth.append(Boxes(true, labels))
    return found, truth


@pytest.mark.parametrize("least", [0.3, 0.5, 0.75])
def test_equals_loops(boxes, least):
    found, truth = boxes
    each = detected_by_class(found, truth, iou=least)
    expected = [loops(found, truth, label, least) for label in (0, 1, 2)]
    assert [each[label].average_precision for label in (0, 1, 2)] == pytest.approx(expected)
    assert 0 < max(expected) < 1
    assert mean_average_precision(found, truth, iou=least) == pytest.approx(np.mean(expected))


def test_perfect_and_empty(boxes):
    _, truth = boxes
    perfect = [Boxes(*one[:2], np.ones(len(one.labels))) for one in truth]
    nothing = [Boxes(np.zeros((0, 4)), np.zeros(0, int), np.zeros(0)) for _ in truth]
    assert mean_average_precision(perfect, truth) == 1
    assert mean_average_precision(nothing, truth) == 0
    assert detected(nothing, truth).above(0.5) == (1.0, 0.0)
    assert detected(nothing, truth).best_threshold() == float("inf")
    assert np.isnan(detected(nothing, nothing).average_precision)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert np.isnan(mean_average_precision(nothing, nothing))


def test_a_second_box_on_an_object_is_a_miss_and_ties_go_against():
    box = [0, 0, 10, 10]
    truth = [Boxes(np.array([box]), np.array([0]))]
    twice = [Boxes(np.array([box, box]), np.array([0, 0]), np.array([0.5, 0.5]))]
    judged = detected(twice, truth)
    assert judged.hits.tolist() == [False, True]
    assert judged.average_precision == 0.5


def test_threshold_with_the_best_f1(boxes):
    found, truth = boxes
    judged = detected(found, truth, iou=0.3)
    chosen = judged.best_threshold()

    def f1(score):
        precision, recall = judged.above(score)
        return 2 * precision * recall / (precision + recall) if precision + recall else 0.0

    assert f1(chosen) == pytest.approx(max(map(f1, judged.scores)))
    kept = judged.scores >= chosen
    assert judged.above(chosen)[0] == judged.hits[kept].mean()
    assert judged.above(chosen)[1] == judged.hits[kept].sum() / judged.objects


def test_the_order_of_axes_does_not_matter(boxes):
    found, truth = boxes
    turned = [[one._replace(boxes=one.boxes[:, [1, 0, 3, 2]]) for one in s] for s in (found, truth)]
    assert mean_average_precision(*turned) == mean_average_precision(found, truth)
    a, b = found[0].boxes, truth[0].boxes
    expected = [[iou(x, y) for y in b] for x in a]
    np.testing.assert_allclose(intersection_over_union(a, b), expected)


@pytest.mark.parametrize(
    ("found", "options", "message"),
    [
        ([], {}, "Received: 0 found, 1 true"),
        ([Boxes(np.zeros((1, 4)), np.zeros(1))], {}, "without scores"),
        ([Boxes(np.zeros((2, 4)), np.zeros(1), np.zeros(1))], {}, "boxes .2, 4., labels .1,."),
        ([Boxes(np.zeros((1, 4)), np.zeros(1), np.zeros(1))], {"iou": 0}, "iou=0"),
    ],
)
def test_refuses(found, options, message):
    truth = [Boxes(np.array([[0, 0, 1, 1]]), np.array([0]))]
    with pytest.raises(ValueError, match=message):
        metrics.mean_average_precision(found, truth, **options)
