"""Shuffled batches: every picture once an epoch, repeatable, in a new order each time."""

import numpy as np
import pytest

from zoo.datasets import Images
from zoo.datasets.batches import ShuffledBatches


@pytest.fixture
def pictures():
    numbers = np.arange(23, dtype=np.uint8)
    return Images(np.broadcast_to(numbers[:, None, None, None], (23, 2, 2, 1)), numbers % 3, "abc")


def epoch(batches):
    images, labels = zip(*(batches[number] for number in range(len(batches))), strict=True)
    return np.concatenate(images)[:, 0, 0, 0], np.concatenate(labels)


def test_each_picture_comes_once_with_its_label(pictures):
    batches = ShuffledBatches(pictures, 5, seed=0)
    seen, labels = epoch(batches)
    assert len(batches) == 4
    assert len(set(seen.tolist())) == 20
    np.testing.assert_array_equal(labels, seen % 3)


def test_epochs_differ_and_repeat(pictures):
    batches, again = (ShuffledBatches(pictures, 5, seed=7) for _ in range(2))
    first = epoch(batches)[0].tolist()
    batches.epoch = again.epoch = 1
    assert epoch(batches)[0].tolist() == epoch(again)[0].tolist() != first
    assert epoch(ShuffledBatches(pictures, 5, seed=8))[0].tolist() != first
    fixed = ShuffledBatches(pictures, 5, seed=7, fixed=True)
    fixed.epoch = 3
    assert epoch(fixed)[0].tolist() == first


def test_pictures_are_augmented(pictures):
    batches = ShuffledBatches(pictures, 5, seed=0, augment=lambda rng, images: images + 100)
    assert epoch(batches)[0].min() >= 100


def test_more_batches_than_pictures_are_refused(pictures):
    assert len(ShuffledBatches(pictures, 5, seed=0, batches_per_epoch=2)) == 2
    with pytest.raises(ValueError, match="5 batches of 5, 25 pictures. Received: 23"):
        ShuffledBatches(pictures, 5, seed=0, batches_per_epoch=5)
    with pytest.raises(ValueError, match="too few pictures"):
        ShuffledBatches(pictures, 30, seed=0)
