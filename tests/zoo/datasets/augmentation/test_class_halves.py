"""Characters made of two: one cut for all images of a class, the rest of one other class."""

import numpy as np
import pytest

from zoo.datasets.augmentation.new_classes import ClassHalves

SIDE, EACH = 10, 3


def same(rng, images):
    return images


def numbered(classes):
    """Every pixel of image k of class p is 10 p + k."""
    values = 10 * np.arange(classes)[:, None] + np.arange(EACH)
    return np.broadcast_to(values.reshape(-1, 1, 1, 1), (values.size, SIDE, SIDE, 1)).copy()


def halves(classes, share, seed=0):
    made = ClassHalves(share, EACH, same)(np.random.default_rng(seed), numbered(classes))
    return made[..., 0].reshape(classes, EACH, SIDE, SIDE)


def test_a_straight_cut_parts_a_class_from_one_other():
    found = halves(200, 1.0)
    shares = []
    for number, images in enumerate(found):
        own = images[0] // 10 == number
        for k, image in enumerate(images):
            assert set(np.unique(image % 10)) == {k}
            assert (own == (image // 10 == number)).all()
            assert len(np.unique(image[~own] // 10)) <= 1
        lines = own if (own == own[:1]).all() else own.T
        assert (lines == lines[:1]).all()
        assert np.count_nonzero(np.diff(lines[0].astype(int))) <= 1
        shares.append(own.mean())
    assert {round(share, 1) for share in shares} <= {0.4, 0.5, 0.6, 1.0}


def test_cuts_run_along_and_across_and_keep_either_side():
    kinds = set()
    for number, images in enumerate(halves(200, 1.0)):
        own = images[0] // 10 == number
        along = (own == own[:1]).all()
        kinds.add((bool(along), bool(own[0, 0])))
    assert len(kinds) == 4


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_classes_is_made_of_two(share):
    own = halves(400, share) // 10 == np.arange(400)[:, None, None, None]
    mixed = ~own.reshape(400, -1).all(1)
    assert abs(mixed.mean() - share) < 0.08
    assert share or not mixed.any()


def test_what_comes_next_has_the_made_images_and_the_same_numbers():
    seen = []
    ClassHalves(1.0, EACH, lambda rng, images: seen.append((rng, images)))(
        rng := np.random.default_rng(0), numbered(4)
    )
    assert seen[0][0] is rng
    assert seen[0][1].shape == (12, SIDE, SIDE, 1)
    assert seen[0][1].dtype == numbered(4).dtype


def test_pictures_without_a_channel_are_put_together_alike():
    made = [
        ClassHalves(1.0, EACH, same)(np.random.default_rng(0), images)
        for images in (numbered(5), numbered(5)[..., 0])
    ]
    np.testing.assert_array_equal(made[0][..., 0], made[1])


@pytest.mark.parametrize(("share", "each"), [(-0.1, 4), (1.1, 4), (0.5, 0)])
def test_values_out_of_range_are_refused(share, each):
    with pytest.raises(ValueError, match=r"Expected: share from 0 to 1[\s\S]*Received"):
        ClassHalves(share, each, same)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        ((7, 9, 9, 1), r"whole classes[\s\S]*multiple of 4[\s\S]*Received: 7"),
        ((8, 5), r"not images[\s\S]*Expected[\s\S]*Received: \(8, 5\)"),
    ],
)
def test_what_is_no_batch_of_whole_classes_is_refused(shape, said):
    with pytest.raises(ValueError, match=said):
        ClassHalves(0.5, 4, same)(np.random.default_rng(0), np.zeros(shape))
