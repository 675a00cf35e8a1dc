"""What is held out: whole classes or photographs, groups together, and never too little."""

import numpy as np
import pytest

from zoo.datasets.reading.paths import Paths
from zoo.datasets.reading.photographs import Listing
from zoo.photographs import splitting
from zoo.photographs.splitting import Shares, parts, way


def listing(sizes, groups=None, given=None):
    labels = np.repeat(np.arange(len(sizes)), sizes)
    count = len(labels)
    return Listing(
        Paths.of(str(row) for row in range(count)),
        labels,
        tuple(map(str, range(len(sizes)))),
        np.full(count, -1, np.int8) if given is None else np.array(given, np.int8),
        None if groups is None else np.array(groups),
    )


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([300] * 10, "photos"),
        ([4] * 200, "classes"),
        ([50] * 120, "classes"),
        ([3, 3], "photos"),
        ([1] * 500 + [40] * 3, "classes"),
    ],
)
def test_the_classes_say_what_to_hold_out(sizes, expected):
    assert way(listing(sizes)) == expected


def test_held_out_classes_are_on_one_side():
    found = listing([3] * 100)
    which = parts(found, "classes", Shares(0.1, 0.1), 0)
    of_class = which.reshape(100, 3)
    assert (of_class == of_class[:, :1]).all()
    assert np.bincount(of_class[:, 0], minlength=3).tolist() == [80, 10, 10]
    assert (parts(found, "classes", Shares(0.1, 0.1), 1) != which).any()


def test_classes_of_a_common_group_move_together():
    groups = np.arange(120)
    groups[[0, 5, 9]] = 0  # photographs of classes 0, 1 and 3
    which = parts(listing([3] * 40, groups), "classes", Shares(0.3, 0.3), 0)
    together = [which.reshape(40, 3)[label, 0] for label in (0, 1, 3)]
    assert len(set(together)) == 1


def test_classes_of_one_photograph_are_learnt_from():
    sizes = [1] * 50 + [4] * 50
    which = parts(listing(sizes), "classes", Shares(0.1, 0.1), 0)
    assert (which[:50] == splitting.TRAIN).all()


def test_held_out_photographs_of_every_class():
    which = parts(listing([40, 10, 5, 3]), "photos", Shares(0.1, 0.1), 0)
    counts = [np.bincount(part, minlength=3).tolist() for part in np.split(which, [40, 50, 55])]
    assert counts == [[32, 4, 4], [6, 2, 2], [3, 2, 0], [3, 0, 0]]


def test_groups_stay_on_one_side():
    rng = np.random.default_rng(0)
    groups = np.repeat(np.arange(60), 5)
    found = listing([100, 100, 100], groups[rng.permutation(300)])
    which = parts(found, "photos", Shares(0.2, 0.2), 0)
    for group in range(60):
        assert len(set(which[found.groups == group])) == 1
    assert min(np.bincount(which, minlength=3)) > 20


def test_the_given_split_is_kept():
    given = [0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 2, 2]
    which = parts(listing([6, 6], given=given), "given", Shares(0.4, 0), 0)
    assert (which[np.array(given) == 2] == splitting.TEST).all()
    assert np.bincount(which, minlength=3).tolist() == [4, 4, 4]


@pytest.mark.parametrize("how", ["classes", "photos"])
def test_too_little_is_refused(how):
    with pytest.raises(ValueError, match="Expected.*Received"):
        parts(listing([2, 2, 1]), how, Shares(0.1, 0.1), 0)
