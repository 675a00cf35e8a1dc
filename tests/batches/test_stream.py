"""P x K batches out of a tf.data stream, with a bounded buffer."""

from collections import Counter

import numpy as np
import pytest

from keras_metric.batches import pk_dataset

pytestmark = pytest.mark.tensorflow


@pytest.fixture(scope="module")
def tf():
    return pytest.importorskip("tensorflow")


def stream(tf, labels):
    labels = np.asarray(labels)
    images = np.arange(len(labels), dtype="float32")[:, None]
    return tf.data.Dataset.from_tensor_slices((images, labels))


def drawn(dataset):
    return [(x[:, 0].astype(int).tolist(), y.tolist()) for x, y in dataset.as_numpy_iterator()]


def mixed(seed=0, count=200):
    return np.random.default_rng(seed).integers(2**40, 2**40 + 5, count)


def pk(tf, labels, **options):
    arguments = {"classes_per_batch": 3, "images_per_class": 2, "buffer_size": 20, **options}
    return pk_dataset(stream(tf, labels), **arguments)


def test_batches_are_p_by_k_with_exact_labels_and_no_image_twice(tf):
    labels = mixed()
    batches = drawn(pk(tf, labels))
    rows = [row for batch, _ in batches for row in batch]
    assert len(rows) == len(set(rows)) > 180
    for batch, names in batches:
        assert sorted(Counter(names).values()) == [2, 2, 2]
        assert labels[batch].tolist() == names


def test_reads_no_further_than_the_buffer_needs(tf):
    pulled = 0

    def source():
        nonlocal pulled
        for row, label in enumerate(mixed(count=5000)):
            pulled += 1
            yield np.float32([row]), label

    spec = (tf.TensorSpec((1,), tf.float32), tf.TensorSpec((), tf.int64))
    dataset = tf.data.Dataset.from_generator(source, output_signature=spec)
    iterator = iter(pk_dataset(dataset, classes_per_batch=3, images_per_class=2, buffer_size=20))
    for number in range(10):
        next(iterator)
        assert pulled <= 20 + 6 * (number + 20)  # tf.data keeps a few batches ready


def test_the_same_stream_and_seed_give_the_same_batches(tf):
    labels = mixed()
    assert drawn(pk(tf, labels, seed=1)) == drawn(pk(tf, labels, seed=1))
    assert drawn(pk(tf, labels, seed=1)) != drawn(pk(tf, labels, seed=2))


def test_shards_make_up_the_whole(tf):
    labels = mixed()
    whole = drawn(pk(tf, labels))
    for shard in range(3):
        assert drawn(pk(tf, labels, shard=(shard, 3))) == whole[shard::3]


def test_a_small_class_repeats_its_images(tf):
    batches = drawn(pk(tf, [0, 1, 2, 0, 1, 0]))
    assert len(batches) == 1
    assert Counter(zip(*batches[0], strict=True))[2, 2] == 2


def test_a_stream_sorted_by_class_is_refused(tf):
    with pytest.raises(Exception, match=r"buffer is full.*Expected: a larger.*Received: 1 such"):
        drawn(pk(tf, np.repeat(np.arange(5), 40)))


@pytest.mark.parametrize(
    ("options", "words"),
    [({"buffer_size": 5}, "buffer_size of at least 6"), ({"shard": (0, 0)}, "index, count")],
)
def test_refuses_options(tf, options, words):
    with pytest.raises(ValueError, match=words):
        pk(tf, mixed(), **options)


STRANGE = {
    "images alone": lambda tf, x, y: tf.data.Dataset.from_tensor_slices(x),
    "dictionaries": lambda tf, x, y: tf.data.Dataset.from_tensor_slices({"image": x, "label": y}),
    "texts": lambda tf, x, y: tf.data.Dataset.from_tensor_slices((x, y.astype("U"))),
    "floats": lambda tf, x, y: tf.data.Dataset.from_tensor_slices((x, y.astype("float32"))),
    "three": lambda tf, x, y: tf.data.Dataset.from_tensor_slices((x, y, y)),
    "two images": lambda tf, x, y: tf.data.Dataset.from_tensor_slices(((x, x), y)),
    "named labels": lambda tf, x, y: tf.data.Dataset.from_tensor_slices((x, {"label": y})),
    "ragged": lambda tf, x, y: tf.data.Dataset.from_tensor_slices(
        (tf.ragged.constant([[[1.0], [1.0, 2.0]]] * len(x)), y)
    ),
    "a list": lambda tf, x, y: [(x, y)],
}


@pytest.mark.parametrize("kind", STRANGE)
def test_other_elements_are_refused_at_once(tf, kind):
    x, y = np.zeros((8, 2), "float32"), np.arange(8)
    with pytest.raises(ValueError, match=r"Expected: a tf.data.Dataset of \(image, int.*Received"):
        pk_dataset(STRANGE[kind](tf, x, y), classes_per_batch=2, images_per_class=2, buffer_size=8)


def test_images_of_several_shapes_are_refused_by_their_shapes(tf):
    def images():
        yield from ((np.zeros(2 + number % 2, "float32"), number // 4) for number in range(16))

    elements = tf.TensorSpec([None], "float32"), tf.TensorSpec([], "int64")
    several = tf.data.Dataset.from_generator(images, output_signature=elements)
    dataset = pk_dataset(several, classes_per_batch=2, images_per_class=2, buffer_size=8)
    with pytest.raises(Exception, match=r"one shape.*Expected: \(2,\).*Received: \(3,\)"):
        list(dataset)


def test_batches_are_refused_at_once(tf):
    stream = tf.data.Dataset.from_tensor_slices((np.ones((8, 2)), np.arange(8))).batch(4)
    with pytest.raises(
        ValueError, match=r"Expected: single elements, as dataset.unbatch.*Received"
    ):
        pk_dataset(stream, classes_per_batch=2, images_per_class=2, buffer_size=8)
