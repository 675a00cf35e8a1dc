"""The signatures of each kind of model, as functions from named tensors to named tensors.

First those that take images, then those that need a gallery. Each of them that takes images of one
size gets a second signature that takes image files; and all of them take a batch of any size.
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
    """One signature: its inputs, and the function that computes its outputs."""

    inputs: dict[str, tf.TensorSpec]
    answer: Callable[..., dict[str, tf.Tensor]]


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
        if name not in _ALIASES and _takes_one_size(endpoint):
            found[_name_for_files(name)] = _taking_files(endpoint, options)
    return {name: _taking_any_batch(endpoint) for name, endpoint in found.items()}


def _image_endpoints(parts: ModelParts, run: Run, options: Options, labels) -> dict[str, Endpoint]:
    first = parts.branches[0]
    single = Endpoint({"images": images_of(first)}, lambda images: run(first)(images))
    if parts.kind == "dense":
        return {"serving_default": single, "dense": single}
    if parts.kind == "embedding":
        found = {"serving_default": single, "embed": single, **_branch_endpoints(parts, run)}
        return {**found, "similarity": _similarity(parts, run, options.threshold)}
    if parts.kind == "classifier":
        return {"serving_default": single, **_class_endpoints(parts, run, options, labels)}
    return {"serving_default": single}


def images_of(branch: Branch) -> tf.TensorSpec:
    return tf.TensorSpec([None, *branch.shape], branch.dtype, name="images")


def _branch_endpoints(parts: ModelParts, run: Run) -> dict[str, Endpoint]:
    """`embed_NAME` for each branch, where there are several."""
    if len(parts.branches) == 1:
        return {}
    return {
        f"embed_{branch.model.name}": Endpoint({"images": images_of(branch)}, run(branch))
        for branch in parts.branches
    }


def _similarity(parts: ModelParts, run: Run, threshold: float | None) -> Endpoint:
    between = distances.paired(parts.distance)
    left_branch, right_branch = parts.branches[0], parts.branches[-1]

    def answer(left, right):
        (a,), (b,) = run(left_branch)(left).values(), run(right_branch)(right).values()
        distance = between(a, b)
        if threshold is None:
            return {"distance": distance}
        return {"distance": distance, "same": distance <= threshold}

    return Endpoint({"left": images_of(left_branch), "right": images_of(right_branch)}, answer)


def _class_endpoints(parts: ModelParts, run: Run, options: Options, labels) -> dict[str, Endpoint]:
    """`classify`: the best classes; `explain`: with the map of each, if the head has one."""
    branch = parts.branches[0]

    def best(scores):
        top = min(options.top, scores.shape[-1])
        values, classes = tf.math.top_k(tf.cast(scores, tf.float32), top)
        named = {} if labels is None else {"labels": labels.lookup(tf.cast(classes, tf.int64))}
        return {"classes": classes, "scores": values, **named}

    def classify(images):
        return best(run(branch)(images)["scores"])

    def explain(images):
        outputs = run(parts.explained)(images)
        found = best(outputs["scores"])
        return {**found, "maps": parts.class_head.maps(outputs["features"], found["classes"])}

    inputs = {"images": images_of(branch)}
    found = {"classify": Endpoint(inputs, classify)}
    if parts.explained is not None:
        found["explain"] = Endpoint(inputs, explain)
    return found


def _gallery_endpoints(
    parts: ModelParts, run: Run, gallery: GalleryVariables, top: int
) -> dict[str, Endpoint]:
    """`neighbours`; and `explain`, with the map of each neighbour, where the encoder has one."""
    branch = parts.branches[0]

    def neighbours(images):
        (queries,) = run(branch)(images).values()
        return gallery.records(*gallery.nearest(tf.cast(queries, tf.float32), top))

    def explain(images):
        outputs = run(parts.explained)(images)
        found, places = gallery.nearest(tf.cast(outputs["embeddings"], tf.float32), top)
        others = tf.gather(gallery.embeddings, places)
        maps = parts.embedding_head.maps(outputs["features"], outputs["unscaled"], others)
        return {**gallery.records(found, places), "maps": maps}

    inputs = {"images": images_of(branch)}
    endpoints = {"neighbours": Endpoint(inputs, neighbours)}
    if parts.explained is not None:
        endpoints["explain"] = Endpoint(inputs, explain)
    return endpoints


def _takes_one_size(endpoint: Endpoint) -> bool:
    return not any(None in spec.shape[1:] for spec in endpoint.inputs.values())


def _name_for_files(name: str) -> str:
    return "bytes" if name == "serving_default" else f"{name}_bytes"


def _taking_files(endpoint: Endpoint, options: Options) -> Endpoint:
    """The endpoint behind a decoder, with `valid` beside its outputs.

    Where a file is no image, `valid` is false and the outputs are 0, "", false, -1 for a class or
    an id, and the largest float for a distance.
    """
    decoders = {
        name: decoder(
            tuple(spec.shape[1:]),
            spec.dtype.name,
            pixel_range=options.pixel_range,
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
