import keras
import numpy as np
import pytest
from keras import ops

from keras_metric import distances, pairs
from keras_metric.labels import as_labels

LABELS = np.array([3, 1, 3, 3, 2])


def numbers(x):
    return np.array(x.tolist() if hasattr(x, "tolist") else x)


def found(labels, candidate_labels=None, **options):
    width = len(labels if candidate_labels is None else candidate_labels)
    distances = np.zeros((len(labels), width))
    _, positives, negatives = pairs.from_labels(distances, labels, candidate_labels, **options)
    return numbers(positives), numbers(negatives)


def test_positives_and_negatives_without_itself():
    positives, negatives = found(LABELS)
    same = LABELS[:, None] == LABELS[None]
    np.testing.assert_array_equal(positives, same & ~np.eye(5, dtype=bool))
    np.testing.assert_array_equal(negatives, ~same)


def test_offset_says_where_the_anchors_stand():
    bank = np.concatenate([[3, 2], LABELS])
    positives, negatives = found(LABELS, bank, offset=2)
    np.testing.assert_array_equal(positives[:, 2:], found(LABELS)[0])
    np.testing.assert_array_equal(positives[:, :2], LABELS[:, None] == [3, 2])
    assert not (positives | negatives)[range(5), range(2, 7)].any()


def test_without_offset_nobody_is_itself():
    positives, negatives = found(LABELS, LABELS, offset=None)
    assert (positives | negatives).all()
    assert positives[range(5), range(5)].all()


@pytest.mark.parametrize("step", [1, 2**24, 2**32, 2**40, 2**61])
def test_labels_of_any_size_stay_different(step):
    labels = np.array([0, 1, 0, 1, -1], "int64") * step + (step > 1)
    expected = (labels[:, None] == labels[None]) & ~np.eye(5, dtype=bool)
    np.testing.assert_array_equal(found(labels)[0], expected)
    np.testing.assert_array_equal(found(labels[:, None])[0], expected)
    np.testing.assert_array_equal(found(labels, labels.tolist(), offset=0)[0], expected)


def test_small_and_wide_labels_meet():
    wide = np.array([2**40 + 1, 1, -1])
    positives, _ = found(np.array([1, -1], "int32"), wide, offset=None)
    np.testing.assert_array_equal(positives, [[False, True, False], [False, False, True]])


@pytest.mark.parametrize("dtype", ["bool", "int8", "uint8", "int16", "uint32", "uint64"])
def test_every_integer_dtype(dtype):
    labels = np.array([0, 1, 1, 0]).astype(dtype)
    expected = (labels[:, None] == labels[None]) & ~np.eye(4, dtype=bool)
    np.testing.assert_array_equal(found(labels)[0], expected)


def test_multi_label_is_any_overlap():
    labels = np.array([[1, 1, 0], [0, 1, 1], [0, 0, 1], [0, 0, 0]])
    positives, negatives = found(labels, multi_label=True)
    expected = (labels @ labels.T > 0) & ~np.eye(4, dtype=bool)
    np.testing.assert_array_equal(positives, expected)
    np.testing.assert_array_equal(negatives, ~expected & ~np.eye(4, dtype=bool))


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.eye(3, dtype=int), "one-hot"),
        (np.array([0.0, 1.0]), "Received: float64"),
        (np.array(["cat", "dog"]), "Received: str"),
        (np.zeros((2, 2, 2), int), r"Received: shape \(2, 2, 2\)"),
    ],
)
def test_other_labels_are_refused(labels, message):
    with pytest.raises(ValueError, match=message):
        as_labels(labels)


def test_masked_reductions_equal_numpy(rng):
    values = rng.normal(size=(3, 6)).astype("float32")
    chosen = np.array([[1, 0, 1, 1, 0, 0], [0, 1, 0, 0, 0, 0], [0, 0, 0, 0, 0, 0]], bool)
    references = {
        pairs.masked_sum: np.sum,
        pairs.masked_mean: np.mean,
        pairs.masked_min: np.min,
        pairs.masked_max: np.max,
        pairs.masked_logsumexp: lambda x: np.log(np.sum(np.exp(x))),
    }
    for reduce, reference in references.items():
        nothing = -1e37 if reduce is pairs.masked_logsumexp else 0
        rows = zip(values, chosen, strict=True)
        expected = [reference(row[mask]) if mask.any() else nothing for row, mask in rows]
        reduced = reduce(ops.convert_to_tensor(values), ops.convert_to_tensor(chosen))
        np.testing.assert_allclose(numbers(reduced), expected, rtol=1e-5)


def test_masked_logsumexp_of_huge_values():
    values = ops.convert_to_tensor(np.array([[1e12, 1e12, -1e12]], "float32"))
    chosen = ops.ones_like(values, dtype="bool")
    np.testing.assert_allclose(numbers(pairs.masked_logsumexp(values, chosen)), [1e12])


def test_count_below_equals_searchsorted(rng):
    rows = np.sort(rng.integers(0, 9, (4, 11)).astype("float32"), axis=1)
    limits = rng.integers(-1, 10, (4, 7)).astype("float32")
    for strictly, side in ((True, "left"), (False, "right")):
        expected = [np.searchsorted(r, x, side) for r, x in zip(rows, limits, strict=True)]
        counts = pairs.count_below(*map(ops.convert_to_tensor, (rows, limits)), strictly=strictly)
        np.testing.assert_array_equal(numbers(counts), expected)


@pytest.mark.skipif(keras.backend.backend() == "torch", reason="torch compiles nothing here")
def test_labels_of_a_compiled_step_stay_exact(rng):
    """In `fit` the labels arrive as tensors of the graph."""
    from keras_metric.losses import TripletLoss

    x, labels = rng.normal(size=(8, 3)).astype("float32"), np.arange(8) % 4
    model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Identity()])
    model.compile(loss=TripletLoss(0.5))
    first, second = (model.evaluate(x, labels + k, batch_size=8, verbose=0) for k in (0, 2**30))
    assert first == second


def test_arrays_serve_as_tensors_do():
    values, mask = np.array([[1.0, 2.0, 4.0]], "float32"), np.array([[True, False, True]])
    assert float(pairs.masked_mean(values, mask)[0]) == 2.5
    assert float(pairs.masked_max(values, mask)[0]) == 4
    assert float(distances.root(values)[0, 2]) == 2
