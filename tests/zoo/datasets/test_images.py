"""`Images` and its splits."""

import numpy as np
import pytest

from zoo.datasets import Images, split_by_class, stratified_split
from zoo.datasets.images import joined


@pytest.fixture
def images(rng):
    """12 pictures, shuffled: 5 of a, 4 of b, 2 of c, 1 of d; two groups, four drawers."""
    labels = rng.permutation(np.repeat([0, 1, 2, 3], [5, 4, 2, 1]))
    pictures = rng.integers(0, 256, (12, 3, 4, 1), dtype=np.uint8)
    return Images(pictures, labels, tuple("abcd"), labels // 2, ("low", "high"), np.arange(12) % 4)


def test_where_selects_every_field_by_mask_and_by_position(images):
    mask = images.labels == 1
    for selection in (mask, np.flatnonzero(mask)):
        chosen = images.where(selection)
        np.testing.assert_array_equal(chosen.images, images.images[mask])
        np.testing.assert_array_equal(chosen.labels, images.labels[mask])
        np.testing.assert_array_equal(chosen.groups, images.groups[mask])
        np.testing.assert_array_equal(chosen.drawers, images.drawers[mask])
        assert chosen.names == images.names


def test_classes_and_groups_are_chosen_by_number_or_name(images):
    assert set(images.of_classes(["b", 3]).labels) == {1, 3}
    assert set(images.of_groups(["high"]).labels) == {2, 3}
    assert len(images.where([])) == 0


def test_joined_keeps_all_classes_apart(images):
    both = joined(images, images.of_classes("cd"))
    assert both.names == tuple("abcdabcd")
    assert len(both) == 15
    np.testing.assert_array_equal(np.bincount(both.labels), [5, 4, 2, 1, 0, 0, 2, 1])
    np.testing.assert_array_equal(both.images[12:], images.of_classes("cd").images)


def test_relabelled_keeps_each_pictures_name(images):
    chosen = images.of_classes("bd")
    again = chosen.relabelled()
    assert again.names == ("b", "d")
    np.testing.assert_array_equal(again.classes, [0, 1])
    assert [again.names[i] for i in again.labels] == [chosen.names[i] for i in chosen.labels]


def test_repr_tells_what_there_is(images):
    text = repr(images)
    assert "12 grey pictures of 3 x 4" in text
    assert "4 (a, b, c, d)" in text
    assert "2 groups, 4 drawers" in text


def test_labels_stay_exact_integers():
    names = tuple(map(str, range(2050)))
    labels = np.array([2048, 2049], np.uint16)
    images = Images(np.zeros((2, 1, 1, 1), np.uint8), labels, names)
    assert images.labels.dtype == np.int64
    assert images.labels.tolist() == [2048, 2049]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"images": np.zeros((2, 3, 3, 1), np.float32)}, r"uint8 array .* Received: float32"),
        ({"images": np.zeros((2, 3, 3), np.uint8)}, r"Received: uint8 \(2, 3, 3\)"),
        ({"labels": np.array([0.0, 1.0])}, r"`labels` .*Received: float64 \(2,\)"),
        ({"labels": np.array([0])}, r"Expected: 2 integers.* Received: int64 \(1,\)"),
        ({"labels": np.array([0, 2])}, "Expected: numbers 0 to 1. Received: 0 to 2"),
        ({"labels": np.array([-1, 0])}, "Received: -1 to 0"),
        ({"groups": np.array([0, 5])}, "`groups` points outside `group_names`"),
        ({"drawers": np.array([1, 2, 3])}, "`drawers` does not fit"),
    ],
)
def test_what_does_not_fit_is_refused(change, message):
    fields = {"images": np.zeros((2, 3, 3, 1), np.uint8), "labels": [0, 1], "names": ("a", "b")}
    Images(**fields)
    with pytest.raises(ValueError, match=message):
        Images(**{**fields, **change})


@pytest.mark.parametrize("choose", ["of_classes", "of_groups"])
def test_unknown_names_are_refused(images, choose):
    with pytest.raises(ValueError, match=r"Unknown .* Expected: one of .* Received: \['z'\]"):
        getattr(images, choose)(["z"])


def test_selections_of_another_form_are_refused(images):
    with pytest.raises(ValueError, match=r"Expected: the shape \(12,\). Received: \(3,\)"):
        images.where(np.array([True, False, True]))
    with pytest.raises(ValueError, match="Received: float64"):
        images.where(np.array([0.0, 1.0]))


@pytest.mark.parametrize(
    ("held_out", "count"), [(1, 1), (3, 3), (0.5, 2), (["a"], 1), ([0, "d"], 2)]
)
def test_split_by_class_shares_no_class_and_loses_no_picture(images, held_out, count):
    seen, unseen = split_by_class(images, held_out, seed=3)
    assert len(unseen.classes) == count
    assert not set(seen.classes) & set(unseen.classes)
    assert len(seen) + len(unseen) == len(images)


def test_split_by_class_follows_its_seed(images):
    chosen = [tuple(split_by_class(images, 2, seed=seed)[1].classes) for seed in range(20)]
    assert chosen[5] == tuple(split_by_class(images, 2, seed=5)[1].classes)
    assert len(set(chosen)) > 1


@pytest.mark.parametrize("held_out", [0, 4, 0.0, 1.0, [], "abcd", -1])
def test_split_by_class_refuses_an_empty_side(images, held_out):
    with pytest.raises(
        ValueError, match="Expected: `held_out` to name between 1 and 3 of 4 classes"
    ):
        split_by_class(images, held_out)


def test_stratified_split_takes_the_fraction_of_every_class(images):
    training, validation = stratified_split(images, 0.4, seed=1)
    assert np.bincount(validation.labels, minlength=4).tolist() == [2, 2, 1, 0]
    assert np.bincount(training.labels, minlength=4).tolist() == [3, 2, 1, 1]
    pictures = {picture.tobytes() for part in (training, validation) for picture in part.images}
    assert len(pictures) == 12


def test_stratified_split_follows_its_seed(images):
    parts = [
        stratified_split(images, 0.4, seed=seed)[1].images.tobytes() for seed in (0, 0, 1, 2, 3)
    ]
    assert parts[0] == parts[1]
    assert len(set(parts)) > 1


@pytest.mark.parametrize("fraction", [0, 1, -0.1, 2])
def test_stratified_split_refuses_other_fractions(images, fraction):
    with pytest.raises(ValueError, match="Expected: a fraction between 0 and 1"):
        stratified_split(images, fraction)
