"""P x K and epochs fit the photographs, and what was asked for is kept."""

import numpy as np
import pytest

from zoo.datasets.reading.photographs import listed
from zoo.photographs.choices import batch_of, epochs_of, plan
from zoo.photographs.recipe import RECIPE


@pytest.mark.parametrize(
    ("sizes", "expected"),
    [
        ([250] * 10, (10, 6)),
        ([100, 100], (2, 16)),
        ([5] * 10_000, (15, 4)),
        ([1] * 500, (30, 2)),
        ([1] * 300 + [200] * 10, (30, 2)),
        ([3, 3, 3], (3, 3)),
    ],
)
def test_a_batch_fits_the_classes(sizes, expected):
    assert batch_of(np.array(sizes)) == expected


def test_what_is_asked_for_is_kept():
    assert batch_of(np.array([50] * 20), k=3) == (20, 3)
    assert batch_of(np.array([50] * 20), p=5, k=7) == (5, 7)


def test_more_photographs_take_fewer_epochs():
    epochs = [epochs_of(batches) for batches in (1, 15, 40, 400, 20_000)]
    assert epochs[0] == epochs[1] == 40
    assert epochs == sorted(epochs, reverse=True)
    assert epochs[-1] == 3


def test_classes_held_out_are_none_to_learn(shapes):
    """Of 8 classes of 14 drawings some are left for choosing and measuring."""
    made = plan({**RECIPE.settings, "split": "classes", "weights": "none"}, listed([shapes]))
    learned = made.settings["classes_per_batch"]
    assert learned < 8
    described = f"{learned} classes of 14 to 14 photographs"
    assert made.told["classes per batch"] == (str(learned), described)
