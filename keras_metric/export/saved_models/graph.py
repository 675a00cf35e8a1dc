"""Writes the SavedModel: traces each branch once, adds the signatures, checks what was written."""

import functools
import json
import tempfile
from pathlib import Path

import keras
import tensorflow as tf

from keras_metric.export.quiet import quiet_tensorflow
from keras_metric.export.saved_models.any_batch import of_any_batch
from keras_metric.export.saved_models.model_parts import Branch, Subject, take_apart
from keras_metric.export.saved_models.checking import check
from keras_metric.export.saved_models.signatures import Endpoint, Run, image_endpoints, images_of
from keras_metric.export.saved_models.from_files import from_files, name_of_twin
from keras_metric.export.saved_models.gallery import Gallery
from keras_metric.export.saved_models.metadata import describe, metadata_file
from keras_metric.export.saved_models.neighbours import Shelf, gallery_endpoints
from keras_metric.export.saved_models.options import Options
from keras_metric.export.saved_models.warmup import write_warmup

_ALIASES = ("embed", "dense")  # of serving_default: the twin of one is the twin of the other


def write(model: keras.Model, draft: Path, options: Options) -> None:
    """Writes `model` as a SavedModel into the folder `draft` and compares the two."""
    subject = take_apart(model, options)
    with tempfile.TemporaryDirectory() as folder:
        names = _names(options.labels, Path(folder) / "labels.txt")
        shelf = _shelf(options.gallery, Path(folder) / "gallery.txt")
        parts = (options, names, shelf)
        served = _chosen(_endpoints(subject, functools.cache(_traced), *parts), options)
        _save(served, draft, [names, shelf and shelf.labels])
        plain = _endpoints(subject, _by_keras, *parts)
        expected = {name: plain[name] for name in served}
        asked = check(draft, expected, pixel_range=options.pixel_range)
    write_warmup(draft, asked)
    _save_metadata(draft, describe(subject, served, options))


def _endpoints(
    subject: Subject, run: Run, options: Options, names, shelf: Shelf | None
) -> dict[str, Endpoint]:
    """All signatures, those that take files after those that take images."""
    found = image_endpoints(subject, run, options, names)
    if shelf is not None:
        found |= gallery_endpoints(subject, run, shelf, options.top)
    for name, endpoint in tuple(found.items()):
        twin = None if name in _ALIASES else from_files(endpoint, options)
        if twin is not None:
            found[name_of_twin(name)] = twin
    return {name: of_any_batch(endpoint) for name, endpoint in found.items()}


def _chosen(available: dict[str, Endpoint], options: Options) -> dict[str, Endpoint]:
    wanted = options.signatures or tuple(available)
    unknown = [name for name in wanted if name not in available]
    if unknown:
        raise ValueError(
            f"This model has no such signature. Expected some of: {', '.join(available)}. "
            f"Received: {', '.join(unknown)}."
        )
    return {name: available[name] for name in wanted}


def _traced(branch: Branch) -> tf.types.experimental.PolymorphicFunction:
    return tf.function(branch, [images_of(branch)], autograph=False)


def _by_keras(branch: Branch) -> Branch:
    return branch


def _shelf(gallery: Gallery | None, place: Path) -> Shelf | None:
    return None if gallery is None else Shelf.of(gallery, _names(gallery.names or None, place))


def _names(labels, place: Path) -> tf.lookup.StaticHashTable | None:
    """Class number -> name, from a file that becomes an asset of the SavedModel."""
    if labels is None:
        return None
    place.write_text("\n".join(labels) + "\n", encoding="utf-8")
    file = tf.lookup.TextFileInitializer(
        str(place),
        tf.int64,
        tf.lookup.TextFileIndex.LINE_NUMBER,
        tf.string,
        tf.lookup.TextFileIndex.WHOLE_LINE,
    )
    return tf.lookup.StaticHashTable(file, default_value="")


def _save(served: dict[str, Endpoint], draft: Path, tables: list) -> None:
    """One set of weights, whatever the number of signatures: each variable is tracked once."""
    functions = {
        name: tf.function(endpoint.answer, autograph=False).get_concrete_function(
            **{key: tf.TensorSpec(s.shape, s.dtype, key) for key, s in endpoint.inputs.items()}
        )
        for name, endpoint in served.items()
    }
    module = tf.Module()
    used = {v.ref(): v for function in functions.values() for v in function.graph.variables}
    module.weights, module.tables = list(used.values()), tables
    with quiet_tensorflow():
        tf.saved_model.save(module, str(draft), signatures=functions)


def _save_metadata(draft: Path, facts: dict) -> None:
    place = metadata_file(draft)
    place.parent.mkdir(exist_ok=True)
    place.write_text(json.dumps(facts, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
