"""The signatures of each kind of model, as functions from named tensors to named tensors."""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from keras_metric import distances
from keras_metric.export.branches import Branch, Subject


@dataclass(frozen=True)
class Endpoint:
    """One signature: what it takes, and how it answers."""

    inputs: dict[str, tf.TensorSpec]
    answer: Callable[..., dict[str, tf.Tensor]]


def endpoints(
    subject: Subject, run: Callable[[Branch], Callable], *, threshold: float | None
) -> dict[str, Endpoint]:
    """Every signature that fits the subject, by name.

    `run` says how a branch is run: traced once for the graph, or as Keras to compare with.
    """
    found = _fitting(subject, run, threshold)
    return {name: Endpoint(e.inputs, _of_any_batch(e)) for name, e in found.items()}


def images_of(branch: Branch) -> tf.TensorSpec:
    return tf.TensorSpec([None, *branch.shape], branch.dtype, name="images")


def _fitting(subject: Subject, run: Callable, threshold: float | None) -> dict[str, Endpoint]:
    first = subject.branches[0]
    single = Endpoint({"images": images_of(first)}, lambda images: run(first)(images))
    if subject.kind == "dense":
        return {"serving_default": single, "dense": single}
    if subject.kind != "embedding":
        return {"serving_default": single}
    found = {"serving_default": single, "embed": single}
    if len(subject.branches) == 2:
        second = subject.branches[1]
        other = Endpoint({"images": images_of(second)}, lambda images: run(second)(images))
        found |= {f"embed_{first.model.name}": single, f"embed_{second.model.name}": other}
    return {**found, "similarity": _similarity(subject, run, threshold)}


def _similarity(subject: Subject, run: Callable, threshold: float | None) -> Endpoint:
    between = distances.paired(subject.distance)
    left_branch, right_branch = subject.branches[0], subject.branches[-1]

    def answer(left, right):
        (a,), (b,) = run(left_branch)(left).values(), run(right_branch)(right).values()
        distance = between(a, b)
        if threshold is None:
            return {"distance": distance}
        return {"distance": distance, "same": distance <= threshold}

    return Endpoint({"left": images_of(left_branch), "right": images_of(right_branch)}, answer)


def _of_any_batch(endpoint: Endpoint) -> Callable:
    """Float32 answers to a batch of any size, none included.

    TensorFlow's fused convolutions refuse an empty batch, so one blank item stands in for none and
    its answer is cut off. A server feeds what it is sent: shapes are checked here, in the graph.
    """

    def answer(**inputs):
        given = {
            name: tf.ensure_shape(inputs[name], s.shape) for name, s in endpoint.inputs.items()
        }
        count = _common_count(given)
        padded = {name: _never_empty(tensor) for name, tensor in given.items()}
        answers = endpoint.answer(**padded)
        return {name: _float32(tensor)[:count] for name, tensor in answers.items()}

    return answer


def _common_count(inputs: dict):
    first, *others = ((name, tf.shape(tensor)[0]) for name, tensor in inputs.items())
    checks = [
        tf.debugging.assert_equal(
            count, first[1], f"The inputs {first[0]} and {name} differ in number."
        )
        for name, count in others
    ]
    with tf.control_dependencies(filter(None, checks)):
        return tf.identity(first[1])


def _never_empty(tensor):
    shape = tf.shape(tensor)
    missing = tf.cast(tf.equal(shape[:1], 0), tf.int32)
    blank = tf.zeros(tf.concat([missing, shape[1:]], axis=0), tensor.dtype)
    return tf.concat([tensor, blank], axis=0)


def _float32(tensor):
    return tf.cast(tensor, tf.float32) if tensor.dtype.is_floating else tensor
