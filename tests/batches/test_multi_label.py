"""P labels x K images of pictures with several labels each, in training, too."""

from collections import Counter

import keras
import numpy as np
import pytest

import keras_metric as km
from keras_metric.batches import PKBatches, PKSampler

ROWS = (np.random.default_rng(3).random((40, 6)) < 0.3).astype(int)
NUMBERS = np.arange(40, dtype="float32")[:, None]


def batches(rows=ROWS, images=NUMBERS, **options):
    given = {"classes_per_batch": 3, "images_per_class": 4, "multi_label": True, **options}
    return PKBatches(images, rows, **given)


def test_a_batch_has_k_images_of_each_of_p_labels_and_their_rows():
    for images, labels in batches(batches_per_epoch=12):
        numbers = images[:, 0].astype(int)
        assert labels.dtype == np.int32
        np.testing.assert_array_equal(labels, ROWS[numbers])
        shared = [set.intersection(*({*np.flatnonzero(row)} for row in labels[at : at + 4]))
                  for at in (0, 4, 8)]  # fmt: skip
        assert all(shared)


def test_an_image_comes_twice_only_where_a_label_has_no_other():
    for images, _ in batches(batches_per_epoch=12):
        assert max(Counter(images[:, 0]).values()) == 1
    both = np.array([[1, 1], [1, 1], [1, 0], [0, 1]])
    few = batches(both, NUMBERS[:4], classes_per_batch=2, images_per_class=3, batches_per_epoch=9)
    for images, labels in few:
        assert labels[:3, 0].all() or labels[:3, 1].all()
        assert set(images[:3, 0]) | set(images[3:, 0]) == {0, 1, 2, 3}


def test_batches_depend_on_the_seed_and_the_epoch_alone():
    one, other = batches(seed=2), batches(seed=2)
    np.testing.assert_array_equal(one[1][0], other[1][0])
    other.epoch = 1
    assert (one[1][0] != other[1][0]).any()


def test_a_torch_sampler_deals_the_same_rows():
    rows = list(PKSampler(ROWS, classes_per_batch=3, images_per_class=4, multi_label=True))
    np.testing.assert_array_equal(rows, [images[:, 0] for images, _ in batches()])


def test_training_on_rows_of_labels_with_measures_and_a_whole_set():
    encoder = keras.Sequential([keras.Input((1,)), keras.layers.Dense(2)])
    loss = km.losses.MultiSimilarityLoss(multi_label=True)
    encoder.compile("sgd", loss, metrics=[km.metrics.RecallAtK(1, multi_label=True)])
    measured = km.metrics.EvaluateRetrieval(NUMBERS, ROWS, multi_label=True, k=1)
    logs = encoder.fit(batches(), callbacks=[measured], verbose=0).history
    assert np.isfinite(logs["loss"]).all()
    assert 0 < logs["recall@1"][0] <= 1
    assert 0 < logs["val_set_recall@1"][0] <= 1


@pytest.mark.parametrize(
    "rows",
    [ROWS * 2, ROWS.astype("float32"), ROWS[:, 0], np.where(ROWS, 1, -1), ROWS[..., None]],
    ids=["twos", "floats", "one column", "-1", "rank 3"],
)
def test_other_rows_are_refused(rows):
    with pytest.raises(ValueError, match=r"Expected: integers 0 and 1 of shape \(N, L\). Received"):
        batches(rows)


def test_what_cannot_be_is_refused():
    with pytest.raises(ValueError, match="Expected: one set of images with multi_label=True"):
        batches((ROWS, ROWS), (NUMBERS, NUMBERS))
    with pytest.raises(ValueError, match="Expected: one label an image. Received: 39 images"):
        batches(ROWS, NUMBERS[:39])
    with pytest.raises(ValueError, match="Expected: at least 7 with 1 or more"):
        batches(classes_per_batch=7)


@pytest.mark.parametrize(
    ("labels", "way"),
    [(np.array(["cat", "dog"] * 8), "np.unique"), (np.eye(16), "argmax")],
    ids=["texts", "one-hot"],
)
def test_labels_that_are_no_integers_are_refused_with_the_way_out(labels, way):
    with pytest.raises(ValueError, match=f"Expected: integers of shape.*Received.*{way}"):
        PKBatches(NUMBERS[:16], labels, classes_per_batch=2, images_per_class=2)


def one_label_each():
    rows, x = ROWS[:8], np.ones((8, 2), "float32")
    head = km.heads.ArcFace(6)
    return {
        "head": lambda: head.loss()(rows, head(x)),
        "in batch": lambda: km.metrics.NDCGAtK(3).update_state(rows, x),
        "diagnostics": lambda: km.diagnostics.ActiveTriplets(0.2).update_state(rows, x),
    }


@pytest.mark.parametrize("place", ["head", "in batch", "diagnostics"])
def test_where_a_sample_has_one_label_rows_are_refused(place):
    with pytest.raises(ValueError, match="here a sample has one label"):
        one_label_each()[place]()
