"""What the batches hold: classes, images, shares, as their docstrings state."""

from collections import Counter

import numpy as np
import pytest

from keras_metric.batches import PairBatches, PKBatches, PKSampler, TripletBatches

SIZES = (5, 2, 7, 4, 1, 6, 3)
LABELS = np.repeat(np.arange(7) * 11 + 2**40, SIZES)[::-1].copy()
ROWS = np.arange(len(LABELS), dtype="float32")[:, None]


def numbers(labels):
    """Labels as they were, also from the two words of a backend without 64-bit integers."""
    return np.ascontiguousarray(labels).view("int64").reshape(-1) if labels.ndim == 3 else labels


def label_of(images):
    return LABELS[images[:, 0].astype(int)]


class TestPK:
    def batches(self, **options):
        return PKBatches(ROWS, LABELS, **{"classes_per_batch": 3, "images_per_class": 3, **options})

    def test_holds_p_classes_of_k_images_with_exact_labels(self):
        for images, words in self.batches(batches_per_epoch=8):
            labels = numbers(words)
            assert labels.dtype == np.int64
            assert images.shape == (9, 1)
            np.testing.assert_array_equal(labels, label_of(images))
            assert sorted(Counter(labels.tolist()).values()) == [3, 3, 3]

    def test_repeats_an_image_only_in_small_classes_and_evenly(self):
        for images, words in self.batches(batches_per_epoch=8):
            labels = numbers(words)
            for name in set(labels.tolist()):
                times = Counter(images[labels == name, 0].tolist()).values()
                size = int((name == LABELS).sum())
                assert len(times) == min(size, 3)
                assert max(times) - min(times) <= 1

    def test_a_round_takes_every_class_at_most_once(self):
        batches = self.batches(batches_per_epoch=8)
        for turn in range(4):
            names = [set(numbers(batches[2 * turn + place][1]).tolist()) for place in (0, 1)]
            assert len(names[0] | names[1]) == 6

    def test_a_class_deals_all_its_images_before_it_repeats_one(self):
        labels = np.repeat([0, 1], 6)
        batches = PKBatches(
            np.arange(12.0)[:, None],
            labels,
            classes_per_batch=2,
            images_per_class=2,
            batches_per_epoch=6,
        )
        for deck in (range(3), range(3, 6)):
            seen = np.concatenate([batches[index][0][:, 0] for index in deck])
            assert sorted(seen) == list(range(12))

    def test_two_domains_share_the_classes(self):
        sketches, photos = np.arange(8.0)[:, None], np.arange(100.0, 112.0)[:, None]
        of_sketches, of_photos = np.repeat([1, 2, 3, 9], 2), np.repeat([2, 3, 1, 8], 3)
        batches = PKBatches(
            (sketches, photos), (of_sketches, of_photos), classes_per_batch=3, images_per_class=2
        )
        for (left, right), labels in batches:
            np.testing.assert_array_equal(of_sketches[left[:, 0].astype(int)], labels)
            np.testing.assert_array_equal(of_photos[right[:, 0].astype(int) - 100], labels)
            assert set(labels.tolist()) == {1, 2, 3}

    def test_default_length_sees_about_every_image(self):
        assert len(self.batches()) == len(LABELS) // 9

    def test_reads_one_batch_only(self, tmp_path):
        class Watched:
            read = 0

            def __len__(self):
                return len(ROWS)

            def __getitem__(self, rows):
                self.read += len(rows)
                return ROWS[rows]

        images = Watched()
        PKBatches(images, LABELS, classes_per_batch=2, images_per_class=2)[0]
        assert images.read == 4

    def test_refuses_more_classes_than_there_are(self):
        with pytest.raises(ValueError, match=r"8 classes.*Expected: at least 8.*Received: 7"):
            self.batches(classes_per_batch=8)


class TestPairs:
    @pytest.mark.parametrize(("share", "count"), [(0.5, 5), (0.25, 2), (0.0, 0), (1.0, 10)])
    def test_holds_the_stated_share_and_y_is_right(self, share, count):
        batches = PairBatches(ROWS, LABELS, batch_size=10, positive_fraction=share)
        for (left, right), y in batches:
            assert y.dtype == np.float32
            assert y.sum() == count
            np.testing.assert_array_equal(y, label_of(left) == label_of(right))
            assert not (left == right).any()

    def test_draws_every_class_and_every_partner_evenly(self):
        labels = np.repeat(np.arange(4), 3)
        rows = np.arange(12.0)[:, None]
        (left, right), y = PairBatches(rows, labels, batch_size=8000)[0]
        pairs = Counter(zip(left[:, 0], right[:, 0], strict=True))
        expected = {True: 4000 / (4 * 6), False: 4000 / (12 * 9)}
        assert len(pairs) == 12 * 11
        for (a, b), times in pairs.items():
            mean = expected[labels[int(a)] == labels[int(b)]]
            assert abs(times - mean) < 6 * np.sqrt(mean)

    def test_two_domains(self):
        left, right = np.arange(6.0)[:, None], np.arange(6.0)[:, None] + 100
        of_left, of_right = np.array([0, 0, 1, 2, 2, 5]), np.array([2, 1, 1, 0, 4, 2])
        for (x1, x2), y in PairBatches((left, right), (of_left, of_right), batch_size=20):
            first = of_left[x1[:, 0].astype(int)]
            second = of_right[x2[:, 0].astype(int) - 100]
            np.testing.assert_array_equal(y, first == second)
            assert set(first) | set(second) <= {0, 1, 2}

    @pytest.mark.parametrize(
        ("labels", "share", "words"),
        [
            ([0, 1, 2], 0.5, "similar"),
            ([0, 0, 0], 0.5, "dissimilar"),
            ([0, 0, 1], 1.5, "positive_fraction"),
        ],
    )
    def test_refuses_what_cannot_be_drawn(self, labels, share, words):
        with pytest.raises(ValueError, match=f"{words}.*Expected.*Received"):
            PairBatches(ROWS[:3], np.array(labels), batch_size=4, positive_fraction=share)


class TestTriplets:
    def test_two_of_one_class_and_one_of_another(self):
        for (anchor, positive, negative), zeros in TripletBatches(ROWS, LABELS, batch_size=9):
            np.testing.assert_array_equal(label_of(anchor), label_of(positive))
            assert (label_of(anchor) != label_of(negative)).all()
            assert (anchor != positive).all()
            assert zeros.shape == (9,)
            assert not zeros.any()

    def test_two_domains(self):
        left, right = np.arange(6.0)[:, None], np.arange(6.0)[:, None] + 100
        of_left, of_right = np.array([0, 0, 1, 2, 2, 5]), np.array([2, 1, 1, 0, 4, 2])
        (a, p, n), _ = TripletBatches((left, right), (of_left, of_right), batch_size=50)[0]
        anchors = of_left[a[:, 0].astype(int)]
        np.testing.assert_array_equal(anchors, of_right[p[:, 0].astype(int) - 100])
        others = of_right[n[:, 0].astype(int) - 100]
        assert (anchors != others).all()
        assert set(others) == {0, 1, 2}

    @pytest.mark.parametrize("labels", [[0, 1, 2], [0, 0, 0]])
    def test_refuses_what_has_no_positive_or_no_negative(self, labels):
        with pytest.raises(ValueError, match=r"Expected: at least.*Received"):
            TripletBatches(ROWS[:3], np.array(labels), batch_size=4)


@pytest.mark.parametrize(
    ("labels", "received"),
    [
        (np.array([0.0, 1.0, 1.0]), "float64"),
        (np.array(["a", "b", "b"]), "<U1"),
        (np.eye(3, dtype=int), "int64 of shape"),
        (np.array([2**63, 1, 1], np.uint64), str(2**63)),
        (np.array([0, 1]), "3 images and 2 labels"),
    ],
)
def test_refuses_labels_that_are_not_one_integer_an_image(labels, received):
    with pytest.raises(ValueError, match=f"Expected.*Received: .*{received}"):
        PKBatches(ROWS[:3], labels, classes_per_batch=1, images_per_class=1)


def test_neighbouring_int64_labels_stay_apart():
    labels = 2**53 + np.repeat([0, 1, 2], 2)
    _, names = PKBatches(ROWS[:6], labels[:, None], classes_per_batch=3, images_per_class=2)[0]
    assert set(numbers(names).tolist()) == set(labels.tolist())


def test_a_sampler_gives_the_rows_of_the_batches():
    labels = np.repeat(np.arange(6), 5)
    options = {"classes_per_batch": 2, "images_per_class": 3, "seed": 4}
    sampler, batches = PKSampler(labels, **options), PKBatches(np.arange(30), labels, **options)
    next(iter(sampler))  # a trial batch is no epoch
    for epoch in range(2):
        batches.epoch = epoch
        assert sampler.epoch == epoch
        expected = [batches[index][0].tolist() for index in range(len(batches))]
        assert list(sampler) == expected
        assert len(sampler) == len(expected)
    sampler.epoch = 0
    batches.epoch = 0
    assert next(iter(sampler)) == batches[0][0].tolist()
