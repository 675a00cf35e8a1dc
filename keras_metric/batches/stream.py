"""Batches of P classes x K images from a `tf.data` stream, with a bounded buffer of images."""

from collections.abc import Iterable, Iterator

import numpy as np

from keras_metric.arguments import whole
from keras_metric.batches.base import checked_shard
from keras_metric.labels import exact_labels


def pk_dataset(
    dataset,
    *,
    classes_per_batch: int,
    images_per_class: int,
    buffer_size: int,
    seed: int = 0,
    shard: tuple[int, int] = (0, 1),
):
    """A `tf.data.Dataset` of P x K batches, from a dataset of single (image, label) elements.

        (image, label) ... -> images (P·K, ...), labels (P·K,), one class after the other

    Images are collected in a buffer of `buffer_size`; when it is full, P classes with at least K
    images in it are drawn and form a batch. At the end of the stream the buffer is emptied; a class
    with fewer than K images in the whole stream repeats them, and a remainder of fewer than P
    classes is dropped. The batches depend only on the order of the stream and on `seed`: if the
    stream is shuffled with a seed, the epochs are repeatable.

    Args:
        dataset: `tf.data.Dataset` of (image, integer label), unbatched, images of one shape.
        buffer_size: maximum number of images in the buffer. With C classes in random order most
            classes are ready at about C·(K - 1).
        shard: `(index, count)`: every count-th batch. Each process reads the whole stream.

    Raises:
        ValueError: the elements are not (image, integer label); while iterating, when the buffer
            is full and fewer than P classes are ready (as in a stream sorted by class), or images
            differ in shape.
    """
    import tensorflow as tf

    wanted = whole("classes_per_batch", classes_per_batch)
    each = whole("images_per_class", images_per_class)
    if whole("buffer_size", buffer_size) < wanted * each:
        raise ValueError(
            "The buffer cannot hold one batch. "
            f"Expected: buffer_size of at least {wanted * each}. Received: {buffer_size}."
        )
    mine, count = checked_shard(shard)
    image, label = _image_and_label(dataset)

    def batches():
        stream = dataset.as_numpy_iterator()
        rng = np.random.default_rng(seed)
        for number, batch in enumerate(_batches(stream, wanted, each, buffer_size, rng)):
            if number % count == mine:
                yield batch

    size = wanted * each
    signature = (
        tf.TensorSpec((size, *image.shape), image.dtype),
        tf.TensorSpec((size,), label.dtype),
    )
    return tf.data.Dataset.from_generator(batches, output_signature=signature)


def _image_and_label(dataset) -> tuple:
    """The specifications of an image and its label.

    Raises:
        ValueError: the elements are something else, or batches.
    """
    import tensorflow as tf

    spec = getattr(dataset, "element_spec", None)
    tensors = isinstance(spec, tuple) and all(isinstance(part, tf.TensorSpec) for part in spec)
    if not tensors or len(spec) != 2 or not spec[1].dtype.is_integer:
        what = type(dataset).__name__ if spec is None else spec
        raise ValueError(
            "The stream must give single images with their labels. Expected: a tf.data.Dataset of "
            f"(image, integer label), dense tensors. Received: {what}."
        )
    if spec[1].shape.rank:
        raise ValueError(
            "The stream must give one image at a time with its label. Expected: single elements, "
            f"as dataset.unbatch() gives them. Received: batches, with labels {spec[1].shape}."
        )
    return spec


def _batches(
    stream: Iterable, wanted: int, each: int, buffer_size: int, rng: np.random.Generator
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    waiting: dict[int, list] = {}
    dealt: set[int] = set()
    held, shape = 0, None
    for image, label in stream:
        shape = np.shape(image) if shape is None else shape
        if np.shape(image) != shape:
            raise ValueError(
                "The images of a batch have one shape; resize them in the stream. "
                f"Expected: {shape}, that of the first. Received: {np.shape(image)}."
            )
        waiting.setdefault(_integer(label), []).append(image)
        held += 1
        if held == buffer_size:
            yield _deal(waiting, dealt, wanted, each, rng, label.dtype)
            held -= wanted * each
    for name, images in waiting.items():
        if name not in dealt and len(images) < each:
            images.extend(images[row % len(images)] for row in range(each - len(images)))
    while len(_ready(waiting, each)) >= wanted:
        yield _deal(waiting, dealt, wanted, each, rng, label.dtype)


def _integer(label: np.ndarray) -> int:
    if np.ndim(label):
        raise ValueError(
            "A label names the class of one image. "
            f"Expected: an integer. Received: an array of shape {np.shape(label)}."
        )
    if exact_labels([label]).ndim > 1:
        raise ValueError(
            "A label would lose its upper half: this backend has no 64-bit integers. Expected: "
            f"labels from -2**31 to 2**31 - 1. Received: {label}. Renumber the classes, or allow "
            "64 bits (JAX_ENABLE_X64=1)."
        )
    return int(label)


def _ready(waiting: dict[int, list], each: int) -> list[int]:
    return [name for name, images in waiting.items() if len(images) >= each]


def _deal(waiting, dealt, wanted, each, rng, dtype) -> tuple[np.ndarray, np.ndarray]:
    """Takes K images of each of P ready classes out of `waiting`."""
    ready = _ready(waiting, each)
    if len(ready) < wanted:
        held = sum(map(len, waiting.values()))
        raise ValueError(
            "The buffer is full before a batch is ready. Expected: a larger buffer_size, or a "
            f"stream that mixes classes: {wanted} classes with {each} images each. "
            f"Received: {len(ready)} such classes in {held} images of {len(waiting)} classes."
        )
    chosen = [ready[place] for place in rng.choice(len(ready), wanted, replace=False)]
    images = np.stack([image for name in chosen for image in waiting[name][:each]])
    for name in chosen:
        del waiting[name][:each]
        if not waiting[name]:
            del waiting[name]
    dealt.update(chosen)
    return images, np.repeat(np.asarray(chosen, dtype), each)
