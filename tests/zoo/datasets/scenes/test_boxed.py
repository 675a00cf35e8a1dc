"""Pictures with boxes, and patches of them."""

import numpy as np
import pytest

from zoo.datasets.scenes.boxed import Boxed
from zoo.datasets.scenes.patches import PatchBatches


@pytest.fixture
def pictures(rng):
    """Three pictures whose pixels tell where they are: two kinds, and one picture without boxes."""
    rows, columns = np.mgrid[:20, :30].astype("uint8")
    image = np.stack([rows, columns, np.zeros_like(rows)], -1)
    images = np.stack([image, image, image])
    images[:, :, :, 2] = np.arange(3)[:, None, None]
    boxes = [[[2, 3, 6, 9], [20, 10, 30, 20]], [[0, 0, 30, 20]], []]
    return Boxed(images, boxes, [[0, 1], [1], []], ("small", "large"))


def test_boxes_keep_to_their_pictures(pictures):
    assert repr(pictures) == "Boxed(3 RGB pictures of 20 x 30, boxes: 1 small, 2 large)"
    chosen = pictures.where([2, 0])
    assert [len(some) for some in chosen.boxes] == [0, 2]
    assert chosen.images[:, 0, 0, 2].tolist() == [2, 0]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((3, 4, 4))}, "the wrong form"),
        ({"boxes": [[], [], []]}, "3 lists of 0 boxes"),
        ({"labels": [[0, 1], [1]]}, "2 lists of 3 labels"),
        ({"labels": [[0, 2], [1], []]}, "Received: 0 to 2"),
    ],
)
def test_parts_that_do_not_fit_are_refused(pictures, change, message):
    fields = ("images", "boxes", "labels", "names")
    with pytest.raises(ValueError, match=message):
        Boxed(**{**{field: getattr(pictures, field) for field in fields}, **change})


def shares(pictures, patch, side):
    """By counting pixels: which kinds share at least half of the smaller of box and patch."""
    rows, columns, number = (set(np.unique(patch[..., k]).tolist()) for k in range(3))
    (picture,) = number
    found = np.zeros(len(pictures.names))
    for box, label in zip(pictures.boxes[picture], pictures.labels[picture], strict=True):
        left, top, right, bottom = box.astype(int)
        inside = len(rows & set(range(top, bottom))) * len(columns & set(range(left, right)))
        if inside >= 0.5 * min((right - left) * (bottom - top), side**2):
            found[label] = 1
    return found


def test_patches_are_square_pieces_and_know_their_kinds(pictures):
    batches = PatchBatches(pictures, 40, side=8, batches_per_epoch=2)
    images, present = batches[0]
    assert images.shape == (40, 8, 8, 3)
    for patch, found in zip(images, present, strict=True):
        assert np.ptp(patch[..., 0]) == np.ptp(patch[..., 1]) == 7
        np.testing.assert_array_equal(found, shares(pictures, patch, 8))
    assert 5 < present[:, 0].sum() < 35
    again = PatchBatches(pictures, 40, side=8, batches_per_epoch=2)
    np.testing.assert_array_equal(again[0][0], images)
    again.epoch = 1
    assert not np.array_equal(again[0][0], images)


def test_patches_larger_than_the_pictures_are_refused(pictures):
    for wrong in ({"side": 21}, {"side": 8, "share": 0}):
        with pytest.raises(ValueError, match="No patches can be cut"):
            PatchBatches(pictures, 4, **wrong)
