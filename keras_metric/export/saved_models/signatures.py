"""The signatures of each kind of model, as functions from named tensors to named tensors."""

from collections.abc import Callable
from dataclasses import dataclass

import tensorflow as tf

from keras_metric import distances
from keras_metric.export.saved_models.model_parts import Branch, Subject
from keras_metric.export.saved_models.options import Options


@dataclass(frozen=True)
class Endpoint:
    """One signature: what it takes, and how it answers."""

    inputs: dict[str, tf.TensorSpec]
    answer: Callable[..., dict[str, tf.Tensor]]


Run = Callable[[Branch], Callable]  # how a branch is run: traced for the graph, or by Keras


def image_endpoints(
    subject: Subject, run: Run, options: Options, names: tf.lookup.StaticHashTable | None
) -> dict[str, Endpoint]:
    """Every signature that takes images and fits the subject, by name."""
    first = subject.branches[0]
    single = Endpoint({"images": images_of(first)}, lambda images: run(first)(images))
    if subject.kind == "dense":
        return {"serving_default": single, "dense": single}
    if subject.kind == "embedding":
        found = {"serving_default": single, "embed": single, **_by_branch(subject, run)}
        return {**found, "similarity": _similarity(subject, run, options.threshold)}
    if subject.kind == "classifier":
        return {"serving_default": single, **_by_class(subject, run, options, names)}
    return {"serving_default": single}


def images_of(branch: Branch) -> tf.TensorSpec:
    return tf.TensorSpec([None, *branch.shape], branch.dtype, name="images")


def _by_branch(subject: Subject, run: Run) -> dict[str, Endpoint]:
    """`embed_NAME` for each branch, where there are several."""
    if len(subject.branches) == 1:
        return {}
    return {
        f"embed_{branch.model.name}": Endpoint({"images": images_of(branch)}, run(branch))
        for branch in subject.branches
    }


def _similarity(subject: Subject, run: Run, threshold: float | None) -> Endpoint:
    between = distances.paired(subject.distance)
    left_branch, right_branch = subject.branches[0], subject.branches[-1]

    def answer(left, right):
        (a,), (b,) = run(left_branch)(left).values(), run(right_branch)(right).values()
        distance = between(a, b)
        if threshold is None:
            return {"distance": distance}
        return {"distance": distance, "same": distance <= threshold}

    return Endpoint({"left": images_of(left_branch), "right": images_of(right_branch)}, answer)


def _by_class(subject: Subject, run: Run, options: Options, names) -> dict[str, Endpoint]:
    """`classify`: the best classes; `explain`: with the map of each, if the head has one."""
    branch = subject.branches[0]

    def best(scores):
        top = min(options.top, scores.shape[-1])
        values, classes = tf.math.top_k(tf.cast(scores, tf.float32), top)
        labels = {} if names is None else {"labels": names.lookup(tf.cast(classes, tf.int64))}
        return {"classes": classes, "scores": values, **labels}

    def classify(images):
        return best(run(branch)(images)["scores"])

    def explain(images):
        answer = run(subject.explained)(images)
        found = best(answer["scores"])
        return {**found, "maps": subject.head.maps(answer["features"], found["classes"])}

    inputs = {"images": images_of(branch)}
    found = {"classify": Endpoint(inputs, classify)}
    if subject.explained is not None:
        found["explain"] = Endpoint(inputs, explain)
    return found
