"""Batches within one group: which classes they hold, how often, and what is refused."""

import numpy as np
import pytest

from zoo.datasets.batches import GroupBatches

LABELS = np.repeat(np.arange(20), 5)
GROUPS = np.repeat([7, 7, 7, 7, 7, 7, 3, 3, 3, 3, 3, 3, 3, 3, 3, 9, 9, 9, 9, 8], 5)
SIZE = {"classes_per_batch": 5, "images_per_class": 3, "batches_per_epoch": 400}


def groups_of_batches(within, seed=0, epoch=0):
    batches = GroupBatches(LABELS, LABELS, groups=GROUPS, within=within, seed=seed, **SIZE)
    batches.epoch = epoch
    for number in range(len(batches)):
        images, labels = batches[number]
        np.testing.assert_array_equal(images, np.ravel(labels))
        assert np.unique(images, return_counts=True)[1].tolist() == [3] * 5
        yield set(GROUPS[5 * images])


@pytest.mark.parametrize("within", [0.0, 0.5, 1.0])
def test_a_share_of_the_batches_is_of_one_group(within):
    found = [groups for groups in groups_of_batches(within) if len(groups) == 1]
    assert len(found) / SIZE["batches_per_epoch"] == pytest.approx(within, abs=0.07)
    assert all(groups in ({7}, {3}) for groups in found)
    if within:
        share = sum(groups == {7} for groups in found) / len(found)
        assert share == pytest.approx(0.5, abs=0.12)


def test_batches_follow_seed_and_epoch():
    first, again, other, later = (
        list(groups_of_batches(0.5, seed, epoch))
        for seed, epoch in ((0, 0), (0, 0), (1, 0), (0, 1))
    )
    assert first == again
    assert first != other
    assert first != later


@pytest.mark.parametrize(
    ("groups", "change", "message"),
    [
        (GROUPS[:-1], {}, r"do not fit the images\. Expected: the shape \(100,\)"),
        (np.arange(100), {}, r"belongs to several groups\..*Received: \[0, 1, 2, 3, 4\]"),
        (GROUPS, {"within": 1.5}, "within is out of range"),
        (GROUPS, {"classes_per_batch": 10}, "group of 10 classes or more.*the largest of 9"),
    ],
)
def test_groups_that_cannot_be_drawn_are_refused(groups, change, message):
    with pytest.raises(ValueError, match=message):
        GroupBatches(LABELS, LABELS, groups=groups, **{"within": 0.5, **SIZE, **change})
