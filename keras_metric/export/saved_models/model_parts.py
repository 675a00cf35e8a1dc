"""A model taken apart for its export: its kind, and the networks that it consists of."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import NamedTuple

import keras
from keras import ops, tree

from keras_metric.export.saved_models.gallery import Gallery
from keras_metric.export.saved_models.linear_heads import (
    LinearEmbedding,
    PooledHead,
    linear_embedding,
    pooled_head,
)
from keras_metric.export.saved_models.options import Options
from keras_metric.preprocessing import check_same

OUTPUT_NAMES = {
    "embedding": "embeddings",
    "classifier": "scores",
    "dense": "map",
    "other": "outputs",
}


class Input(NamedTuple):
    """An input of a network: its shape without the batch, and its type."""

    shape: tuple[int | None, ...]
    dtype: str

    @property
    def is_image(self) -> bool:
        return len(self.shape) == 3


@dataclass(frozen=True)
class Branch:
    """One network, with its inputs and outputs by name."""

    model: keras.Model
    inputs: tuple[tuple[str, Input], ...]
    outputs: tuple[str, ...]

    def __call__(self, *tensors) -> dict:
        """Outputs at inference, whatever the layers: Keras's own export leaves augmentation on."""
        answer = self.model(_packed(self.model, tensors), training=False)
        if isinstance(answer, dict):
            return {name: answer[name] for name in self.outputs}
        answers = answer if isinstance(answer, list | tuple) else [answer]
        return dict(zip(self.outputs, answers, strict=True))

    @property
    def takes_one(self) -> bool:
        """Whether there is one input."""
        return len(self.inputs) == 1

    @property
    def shape(self) -> tuple:
        """Of the input without its batch; of several inputs, a tuple of their shapes."""
        shapes = tuple(one.shape for _, one in self.inputs)
        return shapes[0] if self.takes_one else shapes

    @property
    def dtype(self) -> str:
        return self.inputs[0][1].dtype

    @property
    def takes_pictures(self) -> bool:
        """Whether decoded image files (H, W, C) fit: one size, 1 or 3 channels, which come last."""
        if not self.takes_one or None in self.shape or len(self.shape) != 3:
            return False
        layers = self.model._flatten_layers(include_self=False)
        formats = {getattr(layer, "data_format", None) for layer in layers}
        return self.shape[-1] in (1, 3) and "channels_first" not in formats


@dataclass(frozen=True)
class ModelParts:
    """The kind of a model, its branches, and the distance between their embeddings.

    `explained` is the first branch with its last features among the outputs, where one of the heads
    can draw maps from them. `one_unit` says what the one output of a binary classifier is, a
    "probability" or a "logit", and is None for other models.
    """

    kind: str
    branches: tuple[Branch, ...]
    distance: str | Callable | None = None
    labels: tuple[str, ...] | None = None
    one_unit: str | None = None
    explained: Branch | None = None
    class_head: PooledHead | None = None
    embedding_head: LinearEmbedding | None = None

    def class_scores(self, scores):
        """`(B, classes)`; of one unit the scores of both classes, [1 - p, p] or [-z, z]."""
        if self.one_unit is None:
            return scores
        other = 1 - scores if self.one_unit == "probability" else -scores
        return ops.concatenate([other, scores], axis=-1)


def take_apart(model: keras.Model, options: Options | None = None) -> ModelParts:
    """The `ModelParts` of a model.

    A `SiameseNet` or `TripletNet` is its encoder, or its two, and its distance. Of any other model
    the output decides: class scores (softmax, one sigmoid unit, or `labels` are given), embeddings
    (rank 2), a map (of the rank of the image or signal), several outputs, or anything else.
    """
    options = options or Options()
    parts = _without_gallery(model, options)
    if options.gallery is None:
        return parts
    _check_gallery(parts, options.gallery, options)
    return _with_embedding_maps(parts)


def _without_gallery(model: keras.Model, options: Options) -> ModelParts:
    from keras_metric.models.branches import BranchNet

    if isinstance(model, BranchNet):
        encoders = tuple(model.branches().values())
        branches = tuple(_branch(one, options.image_shape, "embedding") for one in encoders)
        between = getattr(model, "distance", options.distance)
        return ModelParts("embedding", branches, between)
    if not isinstance(model, keras.Model):
        raise TypeError(
            f"This cannot be exported. Expected: a keras.Model. Received: {type(model).__name__}."
        )
    kind = _kind(model, _inputs(model, options.image_shape), options.labels)
    branch = _branch(model, options.image_shape, kind)
    if kind == "classifier":
        return _with_class_maps(_classifier(branch, options.labels))
    return ModelParts(kind, (branch,), options.distance if kind == "embedding" else None)


def _classifier(branch: Branch, labels: tuple[str, ...] | None) -> ModelParts:
    units = _output(branch.model, dict(branch.inputs)).shape[-1]
    one_unit = None
    if units == 1:
        sigmoid = _last_activation(branch.model) == "sigmoid"
        one_unit = "probability" if sigmoid else "logit"
        labels = (f"not {labels[0]}", *labels) if labels and len(labels) == 1 else labels
    classes = 2 if one_unit else units
    if labels is not None and len(labels) != classes:
        one_or_two = ", or one for class 1," if one_unit else ""
        raise ValueError(
            f"The labels do not fit model {branch.model.name!r}. Expected: a label for each of its "
            f"{classes} classes{one_or_two}. Received: {len(labels)}."
        )
    return ModelParts("classifier", (branch,), labels=labels, one_unit=one_unit)


def _check_gallery(parts: ModelParts, gallery: Gallery, options: Options) -> None:
    branch, width = parts.branches[0], gallery.embeddings.shape[1]
    if parts.kind != "embedding" or not branch.takes_one:
        received = f"of kind {parts.kind!r}" if branch.takes_one else "with several inputs"
        raise ValueError(
            f"Model {branch.model.name!r} finds no neighbours. Expected: a model of embeddings "
            f"with one input. Received: one {received}."
        )
    given = _output(branch.model, dict(branch.inputs)).shape[-1]
    if given != width:
        raise ValueError(
            f"The gallery does not fit model {branch.model.name!r}. Expected: embeddings of "
            f"{given} numbers. Received: of {width}."
        )
    if gallery.preprocessing is not None:
        served = options.preprocessing_of(branch.shape)
        served = replace(served, size=served.size or gallery.preprocessing.size)
        check_same(gallery.preprocessing, served, "The gallery")


def _with_embedding_maps(parts: ModelParts) -> ModelParts:
    """With the outputs that the map of a neighbour needs, if the encoder is linear at its end."""
    branch = parts.branches[0]
    found = linear_embedding(branch.model)
    if found is None:
        return parts
    outputs = {
        "embeddings": branch.model.outputs[0],
        "unscaled": found.embedding,
        "features": found.features,
    }
    return replace(parts, explained=_with_outputs(branch, outputs), embedding_head=found)


def _with_outputs(branch: Branch, outputs: dict) -> Branch:
    model = keras.Model(branch.model.inputs[0], outputs)
    return replace(branch, model=model, outputs=tuple(outputs))


def _with_class_maps(parts: ModelParts) -> ModelParts:
    """With the outputs that class activation maps need if the head of a classifier is linear."""
    branch = parts.branches[0]
    head = pooled_head(branch.model) if branch.takes_one else None
    if head is None:
        return parts
    outputs = {"scores": branch.model.outputs[0], "features": head.features}
    return replace(parts, explained=_with_outputs(branch, outputs), class_head=head)


def _kind(model: keras.Model, inputs: dict[str, Input], labels) -> str:
    output = _output(model, inputs)
    if isinstance(output, dict | list | tuple):
        return "several"
    shape = tuple(output.shape)
    if len(shape) == 2:
        last = _last_activation(model)
        scores = last == "softmax" or (last == "sigmoid" and shape[-1] == 1)
        return "classifier" if labels is not None or scores else "embedding"
    (first, *others) = inputs.values()
    is_map = not others and len(shape) == 1 + len(first.shape) >= 3
    return "dense" if is_map else "other"


def _branch(model: keras.Model, image_shape, kind: str) -> Branch:
    inputs = _inputs(model, image_shape)
    return Branch(model, tuple(inputs.items()), _output_names(model, inputs, kind))


def _output_names(model: keras.Model, inputs: dict[str, Input], kind: str) -> tuple[str, ...]:
    if kind in OUTPUT_NAMES:
        return (OUTPUT_NAMES[kind],)
    output = _output(model, inputs)
    if isinstance(output, dict):
        return tuple(output)
    names = getattr(model, "output_names", None)
    return tuple(names or (f"output_{place}" for place in range(len(output))))


def _inputs(model: keras.Model, image_shape) -> dict[str, Input]:
    """The inputs by name: `images` (or `inputs`, for another rank) where there is one."""
    known = [
        (tensor.name, Input(tuple(tensor.shape[1:]), keras.backend.standardize_dtype(tensor.dtype)))
        for tensor in getattr(model, "inputs", None) or []
    ]
    if len(known) > 1:
        if image_shape is not None:
            raise ValueError(
                f"image_shape does not fit model {model.name!r}. Expected: None for a model of "
                f"several inputs. Received: {image_shape}."
            )
        return dict(known)
    shape, dtype = known[0][1] if known else (None, "float32")
    if image_shape is not None:
        shape = _agreed(model, tuple(image_shape), shape)
    if not shape:
        raise ValueError(
            f"The input shape of model {model.name!r} is not known. Expected: a model with a "
            "keras.Input, or image_shape=(H, W, C), where None stands for any height or width. "
            f"Received: image_shape={image_shape}."
        )
    one = Input(shape, dtype)
    return {"images" if one.is_image else "inputs": one}


def _agreed(model: keras.Model, given: tuple, known: tuple | None) -> tuple:
    if known is None:
        return given
    if len(given) == len(known) and all(
        b is None or a == b for a, b in zip(given, known, strict=True)
    ):
        return given
    raise ValueError(
        f"image_shape does not fit model {model.name!r}. Expected: {known}. Received: {given}."
    )


def _output(model: keras.Model, inputs: dict[str, Input]):
    """The symbolic output for a batch."""
    tensors = [keras.KerasTensor((None, *one.shape), one.dtype) for one in inputs.values()]
    output = model.compute_output_spec(_packed(model, tensors))
    return output[0] if isinstance(output, list | tuple) and len(output) == 1 else output


def _packed(model: keras.Model, tensors):
    """The tensors in the structure that the model takes: alone, or a list or dict of them."""
    if len(tensors) == 1:
        return tensors[0]
    return tree.pack_sequence_as(getattr(model, "_inputs_struct", model.inputs), tensors)


def _last_activation(model: keras.Model) -> str | None:
    """ "softmax" or "sigmoid", if that is what the output went through last."""
    layer = _last_layer(model)
    while isinstance(layer, keras.Model):
        layer = _last_layer(layer)
    function = getattr(layer, "activation", None)
    for name in ("softmax", "sigmoid"):
        if function is keras.activations.get(name) or type(layer).__name__.lower() == name:
            return name
    return None


def _last_layer(model: keras.Model):
    """The layer (or operation) that makes the output, but for those that change nothing."""
    if not getattr(model, "outputs", None):
        return model.layers[-1] if model.layers else None
    tensor = model.outputs[0]
    while True:
        layer, node, _ = tensor._keras_history
        parents = layer._inbound_nodes[node].input_tensors
        if len(parents) != 1 or not _changes_nothing(layer):
            return layer
        tensor = parents[0]


def _changes_nothing(layer) -> bool:
    if isinstance(layer, keras.layers.Activation):
        return layer.activation is keras.activations.linear
    return isinstance(layer, keras.layers.Dropout | keras.layers.Identity)
