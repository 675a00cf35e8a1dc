import keras
import numpy as np
import pytest

from keras_metric import losses


def test_contrastive_equals_loops(rng):
    similar, distances = rng.integers(0, 2, 20), rng.uniform(0, 2, 20).astype("float32")
    expected = 0.0
    for y, d in zip(similar, distances.astype("float64"), strict=True):
        expected += (d**2 if y else max(0, 1.3 - d) ** 2) / 20
    loss = losses.ContrastiveLoss(1.3)
    np.testing.assert_allclose(float(loss(similar, distances)), expected, rtol=1e-6)
    assert float(loss(similar[:, None], distances)) == float(loss(similar, distances[:, None]))


def test_triplets_are_hinged_one_by_one():
    """A satisfied triplet does not pay for one that is not."""
    distances = np.array([[0.1, 3.0], [2.0, 0.5]], "float32")
    value = float(losses.TripletMarginLoss(0.5)(np.zeros(2), distances))
    np.testing.assert_allclose(value, (0 + 2.0) / 2, rtol=1e-6)


def test_wrong_shapes_are_named():
    with pytest.raises(ValueError, match=r"Received: \(3,\) and \(4,\)"):
        losses.ContrastiveLoss()(np.zeros(3), np.zeros(4, "float32"))
    with pytest.raises(ValueError, match=r"Expected: shape \(B,\)"):
        losses.ContrastiveLoss()(np.zeros(3), np.zeros((3, 3), "float32"))
    with pytest.raises(ValueError, match=r"Expected: \(B, 2\)"):
        losses.TripletMarginLoss()(np.zeros(3), np.zeros((3, 3), "float32"))


@pytest.mark.parametrize("labels", [[0, 1, 2], [1, 7, 0], [0.0, 0.5, 1.0], [-1, 1, 1]])
def test_what_is_no_pair_label_is_refused(labels):
    with pytest.raises(ValueError, match=r"Expected: y_true of 1 .*Received: \[.*Pairwise"):
        losses.ContrastiveLoss()(np.array(labels), np.ones(3, "float32"))


@pytest.mark.parametrize("dtype", ["bool", "int64", "float32"])
def test_0_and_1_of_any_type(dtype):
    loss = losses.ContrastiveLoss(2.0, reduction=None)
    values = loss(np.array([[0], [1]], dtype), np.array([0.5, 0.5], "float32"))
    assert [float(value) for value in values] == [2.25, 0.25]


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch compiles nothing here")
def test_class_numbers_in_a_compiled_step_make_the_loss_nan():
    model = keras.Sequential([keras.Input((1,)), keras.layers.Identity()])
    model.compile(loss=losses.ContrastiveLoss())
    for first, known in ((1, True), (2, False)):
        labels = np.array([first, 0, 1, 0])
        value = model.evaluate(np.ones((4, 1)), labels, batch_size=4, verbose=0)
        assert np.isfinite(value) == known


@pytest.mark.parametrize("labels", [None, np.array(["same", "other"])], ids=["none", "texts"])
def test_pairs_without_a_number_for_their_label_are_refused(labels):
    with pytest.raises(ValueError, match="Expected: 1 for a similar pair and 0.*Received"):
        losses.ContrastiveLoss()(labels, np.ones(2, "float32"))
