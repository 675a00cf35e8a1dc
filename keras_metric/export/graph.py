"""Writes the SavedModel: traces each branch once, adds the signatures, checks what was written."""

import json
from collections.abc import Callable
from pathlib import Path

import keras
import tensorflow as tf

from keras_metric.export.branches import Branch, Subject, take_apart
from keras_metric.export.checking import check
from keras_metric.export.endpoints import Endpoint, endpoints, images_of
from keras_metric.export.metadata import describe, metadata_file
from keras_metric.export.options import Options
from keras_metric.export.quiet import quiet_tensorflow


def write(model: keras.Model, draft: Path, options: Options) -> None:
    """Writes `model` as a SavedModel into the folder `draft` and compares the two."""
    subject = take_apart(
        model,
        labels=options.labels,
        image_shape=options.image_shape,
        distance=options.distance,
    )
    served = _chosen(endpoints(subject, _traced(subject), threshold=options.threshold), options)
    _save(served, draft)
    plain = endpoints(subject, lambda branch: branch, threshold=options.threshold)
    check(draft, {name: plain[name] for name in served})
    _save_metadata(draft, describe(subject, served, options))


def _chosen(available: dict[str, Endpoint], options: Options) -> dict[str, Endpoint]:
    wanted = options.signatures or tuple(available)
    unknown = [name for name in wanted if name not in available]
    if unknown:
        raise ValueError(
            f"This model has no such signature. Expected some of: {', '.join(available)}. "
            f"Received: {', '.join(unknown)}."
        )
    return {name: available[name] for name in wanted}


def _traced(subject: Subject) -> Callable[[Branch], Callable]:
    functions = {
        branch: tf.function(branch, [images_of(branch)], autograph=False)
        for branch in subject.branches
    }
    return functions.__getitem__


def _save(served: dict[str, Endpoint], draft: Path) -> None:
    """One set of weights, whatever the number of signatures: each variable is tracked once."""
    functions = {
        name: tf.function(endpoint.answer, autograph=False).get_concrete_function(
            **{key: tf.TensorSpec(s.shape, s.dtype, key) for key, s in endpoint.inputs.items()}
        )
        for name, endpoint in served.items()
    }
    module = tf.Module()
    used = {v.ref(): v for function in functions.values() for v in function.graph.variables}
    module.weights = list(used.values())
    with quiet_tensorflow():
        tf.saved_model.save(module, str(draft), signatures=functions)


def _save_metadata(draft: Path, facts: dict) -> None:
    place = metadata_file(draft)
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
