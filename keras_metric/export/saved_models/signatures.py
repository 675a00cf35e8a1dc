"""The signatures of each kind of model, as functions from named tensors to named tensors.

First those that take arrays, then those that need a gallery. For each of them that takes images of
one size there is a second that takes image files; and all of them take a batch of any size.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import tensorflow as tf

from keras_metric import distances
from keras_metric.export.saved_models.gallery import GalleryVariables
from keras_metric.export.saved_models.model_parts import Branch, ModelParts
from keras_metric.export.saved_models.options import Options
from keras_metric.export.saved_models.pictures import decoder

_ALIASES = ("embed", "dense")  # of serving_default, which has the signature for files
_FILE_NAMES = {"images": "image_bytes", "left": "left_bytes", "right": "right_bytes"}
_FAR = tf.float32.max
_WITHOUT_IMAGE = {"distance": _FAR, "distances": _FAR, "classes": -1, "ids": -1}


@dataclass(frozen=True)
class Endpoint:
    """One signature: its inputs, the function that computes its outputs, and whether all its
    inputs could come from image files."""

    inputs: dict[str, tf.TensorSpec]
    answer: Callable[..., dict[str, tf.Tensor]]
    takes_pictures: bool = False


Run = Callable[[Branch], Callable]  # how a branch is run: traced for the graph, or by Keras


def all_endpoints(
    parts: ModelParts,
    run: Run,
    options: Options,
    labels: tf.lookup.StaticHashTable | None,
    gallery: GalleryVariables | None,
) -> dict[str, Endpoint]:
    """Every signature that fits the model, by name."""
    found = _image_endpoints(parts, run, options, labels)
    if gallery is not None:
        found |= _gallery_endpoints(parts, run, gallery, options.top)
    for name, endpoint in tuple(found.items()):
        if name not in _ALIASES and endpoint.takes_pictures:
            found[_name_for_files(name)] = _taking_files(endpoint, options)
    return {name: _taking_any_batch(endpoint) for name, endpoint in found.items()}


def _image_endpoints(parts: ModelParts, run: Run, options: Options, labels) -> dict[str, Endpoint]:
    first = parts.branches[0]
    single = _endpoint(first, run)
    if parts.kind == "dense":
        return {"serving_default": single, "dense": single}
    if parts.kind == "embedding":
        found = {"serving_default": single, "embed": single, **_branch_endpoints(parts, run)}
        if all(branch.takes_one for branch in parts.branches):
            found["similarity"] = _similarity(parts, run, options.threshold)
        return found
    if parts.kind == "classifier":
        return {"serving_default": single, **_class_endpoints(parts, run, options, labels)}
    return {"serving_default": single}


def specs_of(branch: Branch) -> dict[str, tf.TensorSpec]:
    return {
        name: tf.TensorSpec([None, *one.shape], one.dtype, name=name) for name, one in branch.inputs
    }


def _endpoint(branch: Branch, run: Run, after: Callable[[dict], dict] = dict) -> Endpoint:
    """The outputs of a branch, and what `after` makes of them."""
    inputs = specs_of(branch)

    def answer(**tensors):
        return after(run(branch)(*(tensors[name] for name in inputs)))

    return Endpoint(inputs, answer, branch.takes_pictures)


def _branch_endpoints(parts: ModelParts, run: Run) -> dict[str, Endpoint]:
    """`embed_NAME` for each branch, where there are several."""
    if len(parts.branches) == 1:
        return {}
    return {f"embed_{branch.model.name}": _endpoint(branch, run) for branch in parts.branches}


def _similarity(parts: ModelParts, run: Run, threshold: float | None) -> Endpoint:
    between = distances.paired(parts.distance)
    branches = {"left": parts.branches[0], "right": parts.branches[-1]}

    def answer(left, right):
        (a,), (b,) = run(branches["left"])(left).values(), run(branches["right"])(right).values()
        distance = between(a, b)
        if threshold is None:
            return {"distance": distance}
        return {"distance": distance, "same": distance <= threshold}

    inputs = {
        side: tf.TensorSpec([None, *branch.shape], branch.dtype, name=side)
        for side, branch in branches.items()
    }
    return Endpoint(inputs, answer, all(branch.takes_pictures for branch in branches.values()))


def _class_endpoints(parts: ModelParts, run: Run, options: Options, labels) -> dict[str, Endpoint]:
    """`classify`: the best classes; `explain`: with the map of each, if the head has one."""

    def classify(outputs):
        scores = parts.class_scores(tf.cast(outputs["scores"], tf.float32))
        top = min(options.top, scores.shape[-1])
        values, classes = tf.math.top_k(scores, top)
        named = {} if labels is None else {"labels": labels.lookup(tf.cast(classes, tf.int64))}
        return {"classes": classes, "scores": values, **named}

    def explain(outputs):
        found = classify(outputs)
        return {**found, "maps": parts.class_head.maps(outputs["features"], found["classes"])}

    found = {"classify": _endpoint(parts.branches[0], run, classify)}
    if parts.explained is not None:
        found["explain"] = _endpoint(parts.explained, run, explain)
    return found


def _gallery_endpoints(
    parts: ModelParts, run: Run, gallery: GalleryVariables, top: int
) -> dict[str, Endpoint]:
    """`neighbours`; and `explain`, with the map of each neighbour, where the encoder has one."""

    def neighbours(outputs):
        (queries,) = outputs.values()
        return gallery.records(*gallery.nearest(tf.cast(queries, tf.float32), top))

    def explain(outputs):
        found, places = gallery.nearest(tf.cast(outputs["embeddings"], tf.float32), top)
        others = tf.gather(gallery.embeddings, places)
        maps = parts.embedding_head.maps(outputs["features"], outputs["unscaled"], others)
        return {**gallery.records(found, places), "maps": maps}

    endpoints = {"neighbours": _endpoint(parts.branches[0], run, neighbours)}
    if parts.explained is not None:
        endpoints["explain"] = _endpoint(parts.explained, run, explain)
    return endpoints


def _name_for_files(name: str) -> str:
    return "bytes" if name == "serving_default" else f"{name}_bytes"


def _taking_files(endpoint: Endpoint, options: Options) -> Endpoint:
    """The endpoint behind a decoder, with `valid` beside its outputs.

    Where a file is no image, `valid` is false and the outputs are 0, "", false, -1 for a class or
    an id, and the largest float for a distance.
    """
    decoders = {
        name: decoder(
            options.preprocessing_of(tuple(spec.shape[1:])),
            spec.dtype.name,
            max_pixels=options.max_pixels,
        )
        for name, spec in endpoint.inputs.items()
    }

    def answer(**files):
        decoded = {name: decode(files[_FILE_NAMES[name]]) for name, decode in decoders.items()}
        outputs = endpoint.answer(**{name: images for name, (images, _) in decoded.items()})
        valid = tf.reduce_all(tf.stack([valid for _, valid in decoded.values()]), axis=0)
        return {"valid": valid, **{k: _where_valid(valid, v, k) for k, v in outputs.items()}}

    names = [_FILE_NAMES[name] for name in endpoint.inputs]
    return Endpoint({name: tf.TensorSpec([None], tf.string, name) for name in names}, answer)


def _where_valid(valid, tensor, name: str):
    otherwise = _WITHOUT_IMAGE.get(name, "" if tensor.dtype == tf.string else 0)
    otherwise = tf.cast(otherwise, tensor.dtype)
    return tf.where(tf.reshape(valid, [-1] + [1] * (tensor.shape.rank - 1)), tensor, otherwise)


def _taking_any_batch(endpoint: Endpoint) -> Endpoint:
    """The endpoint with float32 outputs, empty ones for an empty batch.

    TensorFlow's fused convolutions refuse an empty batch, so one blank item stands in for none and
    its outputs are cut off. A server feeds what it is sent: shapes are checked here, in the graph.
    """

    def answer(**inputs):
        shapes = {name: spec.shape for name, spec in endpoint.inputs.items()}
        given = {name: tf.ensure_shape(inputs[name], shape) for name, shape in shapes.items()}
        count = _common_count(given)
        with tf.control_dependencies([count]):  # nothing is computed before the check
            padded = {name: _never_empty(tensor) for name, tensor in given.items()}
        outputs = endpoint.answer(**padded)
        return {name: _float32(tensor)[:count] for name, tensor in outputs.items()}

    return replace(endpoint, answer=answer)


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
