"""Write values and gradients of TF Addons' metric losses for many random batches.

Run it with the Python of TF Addons' own environment (TensorFlow 2.15), which one command makes:

    python benchmarks/peers/make.py tensorflow-addons
    PEER=~/.cache/keras-metric/peers/tensorflow-addons
    $PEER/bin/python tests/reference/make_tensorflow_addons.py

The same seed gives the same file. One record is a loss, its arguments, a batch, what the loss
returned and the gradient of `sum(ramp * loss)`, where `ramp` goes from 1 to 2 (1 for a scalar).
"""

import argparse
import json
import os
from itertools import product
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa

DISTANCES = ("L2", "squared-L2", "angular", "manhattan")
SHAPES = ((3, 2, 4), (4, 3, 8), (6, 4, 5), (10, 2, 6))  # classes, images of each, dimensions


def manhattan(x):
    return tf.reduce_sum(tf.abs(x[:, None] - x[None]), axis=-1)


def balanced(rng, classes, images, dimensions):
    """Unit vectors, the same number of images of each class, in random order."""
    labels = rng.permutation(np.repeat(np.arange(classes), images))
    return labels, unit(rng.normal(size=(labels.size, dimensions)))


def unbalanced(rng, classes, images, dimensions):
    """Any class sizes, single images among them; long identifiers; vectors of length about 3."""
    labels = np.concatenate([[0, 0], rng.integers(0, classes, classes * images)])
    identifiers = rng.integers(2**30, 2**31) + labels  # distinct only as integers
    return identifiers, 1.5 * rng.normal(size=(labels.size, dimensions))


def clustered(rng, classes, images, dimensions):
    """Classes far apart, so that most triplets are satisfied."""
    labels = rng.permutation(np.repeat(np.arange(classes), images))
    centres = unit(rng.normal(size=(classes, dimensions)))
    return labels, 2.5 * centres[labels] + 0.2 * rng.normal(size=(labels.size, dimensions))


def coincident(rng, classes, images, dimensions):
    """Equal points: two of one class, and the only two of classes of their own."""
    labels, points = balanced(rng, classes, images, dimensions)
    labels = np.sort(labels)
    labels[-2:] = classes, classes + 1
    for one, other in ((0, 1), (-1, -2)):
        points[one] = points[other] = np.round(8 * points[one]) / 8  # exact in any precision
    return labels, points


def unit(vectors):
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def embedding_batches(rng):
    for make, shape in product((balanced, unbalanced, clustered, coincident), SHAPES):
        yield make.__name__, *make(rng, *shape)
    yield "no negative", np.zeros(5, int), rng.normal(size=(5, 4))
    yield "no positive", np.arange(6), rng.normal(size=(6, 4))


def embedding_cases(rng):
    """Every batch meets every loss and distance; margins and soft go round."""
    margins = (1.0, 0.2, 0.5)
    for turn, (kind, labels, points) in enumerate(embedding_batches(rng)):
        margin = margins[turn % len(margins)]
        for place, distance in enumerate(DISTANCES):
            if kind == "coincident" and distance == "manhattan":
                continue  # the gradient of |x| at 0 is a convention of the framework
            arguments = {"margin": margin, "distance_metric": distance}
            soft = {"soft": True} if (turn + place) % 2 else {}
            if kind != "no positive":
                yield "TripletSemiHardLoss", arguments, labels, points, "float32"
            yield "TripletHardLoss", arguments | soft, labels, points, "float32"
        if not kind.startswith("no "):
            yield "LiftedStructLoss", {"margin": margin}, labels, points, "float32"
        for squared in (False, True):
            yield "pairwise_distance", {"squared": squared}, None, points, "float32"
        yield "angular_distance", {}, None, points, "float32"


def half_cases(rng):
    """Half precision in, half precision out."""
    for dtype, distance in product(("float16", "bfloat16"), ("L2", "angular")):
        labels, points = balanced(rng, 4, 3, 6)
        yield "TripletSemiHardLoss", {"distance_metric": distance}, labels, points, dtype
        yield "TripletHardLoss", {"distance_metric": distance}, labels, points, dtype
        yield "LiftedStructLoss", {}, labels, points, dtype
        yield "ContrastiveLoss", {}, rng.integers(0, 2, 9), rng.uniform(0, 2, 9), dtype


def pair_cases(rng):
    reductions = ("sum_over_batch_size", "sum", "none")
    for size, margin, reduction in product((1, 6, 17), (1.0, 0.4), reductions):
        labels, distances = rng.integers(0, 2, size), rng.uniform(0, 2, size)
        arguments = {"margin": margin, "reduction": reduction}
        yield "ContrastiveLoss", arguments, labels, distances, "float32"


def similarity_cases(rng):
    for size in (2, 5, 12, 20):
        similarities = 3 * rng.normal(size=(size, size))
        yield "NpairsLoss", {}, rng.integers(0, 4, size), similarities, "float32"
        tags = (rng.random((size, 4)) < 0.4).astype(int)
        tags[:, 0] |= tags.sum(axis=1) == 0  # a row without a tag has no target
        yield "NpairsMultilabelLoss", {}, tags, similarities, "float32"


def evaluate(loss, arguments, labels, inputs, dtype):
    """The loss and the gradient of its ramp-weighted sum, as float32 arrays."""
    arguments = dict(arguments)
    if arguments.get("distance_metric") == "manhattan":
        arguments["distance_metric"] = manhattan
    inputs = tf.cast(inputs, dtype)
    with tf.GradientTape() as tape:
        tape.watch(inputs)
        if labels is None:
            output = getattr(tfa.losses.metric_learning, loss)(inputs, **arguments)
        else:
            output = getattr(tfa.losses, loss)(**arguments)(tf.constant(labels), inputs)
        size = int(tf.size(output))
        ramp = tf.reshape(tf.linspace(1.0, 2.0, size) if size > 1 else tf.ones(1), output.shape)
        total = tf.reduce_sum(tf.cast(output, "float32") * ramp)
    gradient = tape.gradient(total, inputs)
    return tuple(tf.cast(x, "float32").numpy() for x in (inputs, output, gradient))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    default = Path(__file__).with_name("tensorflow_addons.npz")
    parser.add_argument("--out", type=Path, default=default)
    parser.add_argument("--seed", type=int, default=20240415)
    arguments = parser.parse_args()
    tf.get_logger().setLevel("ERROR")  # every batch has its own shape, hence its own trace
    rng = np.random.default_rng(arguments.seed)
    cases, parts = [], {"labels": [], "inputs": [], "outputs": [], "gradients": []}
    stored = {}  # a batch met by several losses is stored once
    for make in (embedding_cases, half_cases, pair_cases, similarity_cases):
        for loss, options, labels, points, dtype in make(rng):
            inputs, output, gradient = evaluate(loss, options, labels, points, dtype)
            if not (np.isfinite(output).all() and np.isfinite(gradient).all()):
                raise ValueError(f"expected finite references. Received: {loss} {options} {output}")
            case = {"loss": loss, "arguments": options, "dtype": dtype}
            arrays = {"labels": labels, "inputs": inputs, "outputs": output, "gradients": gradient}
            for name, array in arrays.items():
                if array is None:
                    continue
                kind = np.int64 if name == "labels" else np.float32
                array = np.asarray(array, kind)
                key = (name, array.shape, array.tobytes())
                if key not in stored:
                    stored[key] = sum(part.size for part in parts[name])
                    parts[name].append(array.ravel())
                case[name] = [stored[key], *array.shape]
            cases.append(case)
    beside = arguments.out.with_suffix(".tmp.npz")
    flat = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    np.savez_compressed(beside, cases=json.dumps(cases), **flat)
    os.replace(beside, arguments.out)
    print(f"{len(cases)} records, {arguments.out.stat().st_size} bytes: {arguments.out}")


if __name__ == "__main__":
    main()
