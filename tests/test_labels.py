"""Labels of 64 bits in the form that reaches a loss whole, and what a loss makes of it."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_metric import diagnostics, heads, losses, memory, metrics
from keras_metric.batches import PKBatches, exact_labels
from keras_metric.labels import as_labels, has_int64, same_class, widened

BIG = np.array([0, 2**32, 0, 2**32, 5, 5 - 2**32, -1, 2**32 - 1, -(2**63), 2**63 - 1])
NARROW = pytest.mark.skipif(has_int64(), reason="about a backend without 64-bit integers")


def halves(labels):
    """The form of `exact_labels` on a backend that has no 64-bit integers."""
    low = (labels & 0xFFFFFFFF).astype("uint32").view("int32")
    return np.stack([low, (labels >> 32).astype("int32")], axis=-1)[:, None]


def numbers(x):
    return np.array(x.tolist() if hasattr(x, "tolist") else x)


def test_labels_are_whole_or_two_words():
    labels = exact_labels(BIG[:, None])
    expected = BIG if has_int64() else halves(BIG)
    np.testing.assert_array_equal(labels, expected)
    assert labels.dtype == expected.dtype
    np.testing.assert_array_equal(exact_labels([3, -(2**31)]), np.array([3, -(2**31)]))
    assert exact_labels(np.array([2**31 - 1, 7], "uint32")).dtype == "int64"


@pytest.mark.parametrize(
    "form", [lambda x: x, halves, exact_labels], ids=["int64", "words", "exact"]
)
def test_every_form_is_compared_exactly(form):
    found = same_class(as_labels(form(BIG)), as_labels(BIG))
    np.testing.assert_array_equal(numbers(found), BIG[:, None] == BIG[None])


def test_tensors_of_32_bits_meet_labels_of_64():
    small = np.array([5, -1, 0], "int32")
    words = as_labels(ops.convert_to_tensor(small))
    found = same_class(words, as_labels(BIG))
    np.testing.assert_array_equal(numbers(found), small[:, None] == BIG[None])


def test_words_of_small_labels():
    words = widened(as_labels(np.array([3, -3], "int32")), 2)
    np.testing.assert_array_equal(numbers(words), [[3, 0], [-3, -1]])


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        (np.eye(3), r"Expected: 0 and 1, .B, L., as labels.astype.*Received: float64"),
        (np.array([[1, -1], [0, 1]]), "Expected: rows of 0 and 1.*numbers from -1 to 1"),
    ],
)
def test_rows_of_labels_are_of_0_and_1(rows, words):
    with pytest.raises(ValueError, match=words):
        as_labels(rows, multi_label=True)


def test_a_label_that_is_not_known_matches_nothing():
    """Rows that are tensors cannot be looked at: -1 is no label, and no match of -1."""
    rows = as_labels(ops.convert_to_tensor(np.array([[-1, 0], [-1, 1], [0, 1]])), multi_label=True)
    same = ops.convert_to_numpy(same_class(rows, rows, multi_label=True))
    np.testing.assert_array_equal(same, [[0, 0, 0], [0, 1, 1], [0, 1, 1]])


@pytest.mark.parametrize(
    ("labels", "words"),
    [
        (np.zeros((3, 2), int), r"Expected: integers of shape \(B,\) or \(B, 1\)"),
        (np.zeros(3), "Received: float64"),
        (["a"], "Received: str"),
    ],
)
def test_refuses(labels, words):
    with pytest.raises(ValueError, match=words):
        exact_labels(labels)


def problem(rng):
    """Four classes, two of which share the lower half of their label."""
    labels = np.array([1, 1 + 2**32, 2**40, 7])[np.arange(16) % 4]
    return rng.normal(size=(16, 3)).astype("float32"), labels


def compiled(loss, wrapped, dtype="float32"):
    keras.utils.set_random_seed(1)
    model = keras.Sequential([keras.Input((3,)), keras.layers.Dense(2, dtype=dtype)])
    model = memory.CrossBatchMemory(model, 24) if wrapped else model
    measures = [metrics.RecallAtK(1), diagnostics.MeanPositiveDistance()]
    model.compile(keras.optimizers.SGD(0.1), loss, metrics=measures)
    return model


@pytest.mark.parametrize("dtype", ["float32", "mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("wrapped", [False, True], ids=["plain", "memory"])
def test_fit_and_evaluate_see_whole_labels(wrapped, dtype, rng):
    """As with the classes numbered anew from 0."""
    x, labels = problem(rng)
    seen = []
    for y in (exact_labels(labels), np.unique(labels, return_inverse=True)[1]):
        model = compiled(losses.TripletLoss(1.0), wrapped, dtype)
        history = model.fit(x, y, batch_size=8, epochs=2, shuffle=False, verbose=0).history
        history["evaluated"] = model.evaluate(x, y, batch_size=8, verbose=0)
        seen.append(np.concatenate([history[name] for name in sorted(history)]))
    np.testing.assert_allclose(seen[0], seen[1], rtol=1e-5)


@NARROW
def test_without_words_such_labels_collide(rng):
    """What the two words are for: should this fail, they are no longer needed."""
    x, labels = problem(rng)
    model = compiled(losses.TripletLoss(1.0), wrapped=False)
    cut, whole = (
        model.evaluate(x, y, batch_size=16, verbose=0)[0] for y in (labels, exact_labels(labels))
    )
    assert cut != whole


@NARROW
def test_streams_refuse_what_would_be_cut():
    tf = pytest.importorskip("tensorflow")
    from keras_metric.batches import pk_dataset

    stream = tf.data.Dataset.from_tensor_slices((np.zeros((4, 2)), np.array([1, 1, 2, 2**32])))
    batches = pk_dataset(stream, classes_per_batch=2, images_per_class=1, buffer_size=4)
    with pytest.raises(Exception, match=r"Expected: labels from -2\*\*31.*Received: 4294967296"):
        list(batches)


def test_batches_hand_over_whole_labels(rng):
    x, labels = problem(rng)
    for _, y in PKBatches(x, labels, classes_per_batch=3, images_per_class=2):
        assert y.shape == ((6,) if has_int64() else (6, 1, 2))
        np.testing.assert_array_equal(numbers(same_class(as_labels(y), as_labels(y))).sum(1), 2)
    _, small = PKBatches(x, labels % 5, classes_per_batch=2, images_per_class=2)[0]
    assert (small.dtype, small.shape) == (np.int64, (4,))


def test_the_loss_of_a_head_sees_the_upper_half():
    head = heads.CosFace(3)
    logits = np.array([[3.0, 2.0, 1.0]] * 2, "float32")
    values = numbers(head.loss(reduction=None)(np.array([1, 1 + 2**32]), logits))
    assert np.isnan(values).tolist() == [False, True]


def test_training_without_labels_says_so_before_the_first_step():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.compile("sgd", losses.TripletLoss())
    with pytest.raises(
        ValueError, match=r"no labels.*Expected: fit\(images, labels\).*Received: None"
    ):
        model.fit(np.ones((4, 2), "float32"), verbose=0)
