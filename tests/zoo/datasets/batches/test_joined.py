"""Batches of several sources: each its share, no class in two of them."""

import numpy as np
import pytest

from keras_metric.batches import PKBatches
from zoo.datasets.batches import JoinedBatches


def source(value, batches=3, seed=0):
    images = np.full((12, 2, 2, 1), value, np.uint8)
    options = {"classes_per_batch": 2, "images_per_class": 2, "batches_per_epoch": batches}
    return PKBatches(images, np.arange(12) // 3 - 1, seed=seed, **options)


def test_each_source_has_its_part_and_its_own_classes():
    sources = [source(10), source(20, seed=1)]
    joined = JoinedBatches(sources)
    assert len(joined) == 3
    images, labels = joined[1]
    assert images[:, 0, 0, 0].tolist() == [10] * 4 + [20] * 4
    first, second = sources[0][1][1], sources[1][1][1]
    assert (labels[:4] == 2 * first).all()
    assert (labels[4:] == 2 * second + 1).all()
    assert not set(labels[:4]) & set(labels[4:])


def test_epochs_differ_and_come_again():
    joined = JoinedBatches([source(10), source(20, seed=1)])
    before = [joined[i][1] for i in range(3)]
    joined.epoch = 1
    assert any((a != joined[i][1]).any() for i, a in enumerate(before))
    joined.epoch = 0
    np.testing.assert_array_equal(joined[0][1], before[0])


def test_sources_of_different_length_are_refused():
    with pytest.raises(ValueError, match=r"Expected: at least one, all with the same.*\[3, 2\]"):
        JoinedBatches([source(10), source(20, batches=2)])
    with pytest.raises(ValueError, match=r"Received: \[\]"):
        JoinedBatches([])
