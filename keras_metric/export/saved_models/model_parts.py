"""A model taken apart for its export: its kind, and its image networks one by one."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import keras

from keras_metric.export.saved_models.gallery import Gallery
from keras_metric.export.saved_models.linear_heads import (
    LinearEmbedding,
    PooledHead,
    linear_embedding,
    pooled_head,
)
from keras_metric.export.saved_models.options import Options

OUTPUT_NAMES = {"embedding": "embeddings", "classifier": "scores", "dense": "map"}


@dataclass(frozen=True)
class Branch:
    """One network from images to a tensor (or to several, by name)."""

    model: keras.Model
    shape: tuple[int | None, int | None, int]
    dtype: str
    outputs: tuple[str, ...]

    def __call__(self, images) -> dict:
        """Answers at inference, whatever the layers: Keras's own export leaves augmentation on."""
        answer = self.model(images, training=False)
        if isinstance(answer, dict):
            return {name: answer[name] for name in self.outputs}
        answers = answer if isinstance(answer, list | tuple) else [answer]
        return dict(zip(self.outputs, answers, strict=True))

    @property
    def fixed_size(self) -> bool:
        return None not in self.shape


@dataclass(frozen=True)
class ModelParts:
    """The kind of a model, its branches, and the distance between their embeddings.

    `explained` is the first branch with its last features among the outputs, where one of
    the heads can draw maps from them.
    """

    kind: str
    branches: tuple[Branch, ...]
    distance: str | Callable | None = None
    explained: Branch | None = None
    class_head: PooledHead | None = None
    embedding_head: LinearEmbedding | None = None


def take_apart(model: keras.Model, options: Options | None = None) -> ModelParts:
    """The `ModelParts` of a model.

    A `SiameseNet` or `TripletNet` is its encoder, or its two, and its distance. Of any other model
    the output decides: a map (rank 4), class scores (softmax, or `labels` are given), embeddings
    (rank 2), or several named outputs.
    """
    options = options or Options()
    parts = _without_gallery(model, options)
    if options.gallery is None:
        return parts
    _check_gallery(parts, options.gallery)
    return _with_embedding_maps(parts)


def _without_gallery(model: keras.Model, options: Options) -> ModelParts:
    from keras_metric.models.branches import BranchNet

    if isinstance(model, BranchNet):
        encoders = tuple(model.branches().values())
        branches = tuple(_branch(one, "embedding", options.image_shape) for one in encoders)
        between = getattr(model, "distance", options.distance)
        return ModelParts("embedding", branches, between)
    if not isinstance(model, keras.Model):
        raise TypeError(
            "This cannot be exported. Expected: a keras.Model with one image input. "
            f"Received: {type(model).__name__}."
        )
    kind = _kind(model, _image_shape(model, options.image_shape), options.labels)
    branch = _branch(model, kind, options.image_shape)
    if kind == "classifier":
        _check_labels(model, branch, options.labels)
        return _with_class_maps(branch)
    return ModelParts(kind, (branch,), options.distance if kind == "embedding" else None)


def _check_labels(model: keras.Model, branch: Branch, labels) -> None:
    classes = _answer(model, branch.shape).shape[-1]
    if labels is not None and len(labels) != classes:
        raise ValueError(
            f"The labels do not fit model {model.name!r}. Expected: a name for each of its "
            f"{classes} classes. Received: {len(labels)}."
        )


def _check_gallery(parts: ModelParts, gallery: Gallery) -> None:
    branch, width = parts.branches[0], gallery.embeddings.shape[1]
    if parts.kind != "embedding":
        raise ValueError(
            f"Model {branch.model.name!r} finds no neighbours. Expected: a model of embeddings. "
            f"Received: one of kind {parts.kind!r}."
        )
    given = _answer(branch.model, branch.shape).shape[-1]
    if given != width:
        raise ValueError(
            f"The gallery does not fit model {branch.model.name!r}. Expected: embeddings of "
            f"{given} numbers. Received: of {width}."
        )


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


def _with_class_maps(branch: Branch) -> ModelParts:
    """A classifier, with the outputs that class activation maps need if its head is linear."""
    head = pooled_head(branch.model)
    if head is None:
        return ModelParts("classifier", (branch,))
    outputs = {"scores": branch.model.outputs[0], "features": head.features}
    return ModelParts(
        "classifier", (branch,), explained=_with_outputs(branch, outputs), class_head=head
    )


def _kind(model: keras.Model, shape, labels) -> str:
    answer = _answer(model, shape)
    if isinstance(answer, dict | list | tuple):
        return "several"
    rank = len(answer.shape)
    if rank == 4:
        return "dense"
    if rank != 2:
        raise ValueError(
            f"Model {model.name!r} answers with a shape that has no signature. Expected: "
            "embeddings or scores (B, D), or a map (B, H, W, D). "
            f"Received: {tuple(answer.shape)}."
        )
    return "classifier" if labels is not None or _ends_in_softmax(model) else "embedding"


def _branch(model: keras.Model, kind: str, image_shape) -> Branch:
    shape = _image_shape(model, image_shape)
    dtype = model.inputs[0].dtype if getattr(model, "inputs", None) else "float32"
    return Branch(model, shape, dtype, _output_names(model, kind, shape))


def _output_names(model: keras.Model, kind: str, shape) -> tuple[str, ...]:
    if kind in OUTPUT_NAMES:
        return (OUTPUT_NAMES[kind],)
    answer = _answer(model, shape)
    if isinstance(answer, dict):
        return tuple(answer)
    names = getattr(model, "output_names", None)
    return tuple(names or (f"output_{place}" for place in range(len(answer))))


def _image_shape(model: keras.Model, given) -> tuple:
    inputs = getattr(model, "inputs", None) or []
    if len(inputs) > 1:
        raise ValueError(
            f"Model {model.name!r} has several inputs. Expected: one image input, or a SiameseNet "
            f"or TripletNet over such a model. Received: {[i.name for i in inputs]}."
        )
    shape = tuple(inputs[0].shape[1:]) if inputs else None
    if given is not None:
        shape = _agreed(model, tuple(given), shape)
    if shape is None or len(shape) != 3 or shape[-1] not in (1, 3):
        raise ValueError(
            f"The images of model {model.name!r} have no usable shape. Expected: a model whose "
            "input is (H, W, C) with C = 1 or 3, or image_shape=(H, W, C), where None stands for "
            f"any height or width. Received: {shape}."
        )
    return shape


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


def _answer(model: keras.Model, shape):
    """The symbolic output for a batch of images."""
    answer = model.compute_output_spec(keras.KerasTensor((None, *shape)))
    return answer[0] if isinstance(answer, list | tuple) and len(answer) == 1 else answer


def _ends_in_softmax(model: keras.Model) -> bool:
    last = model.layers[-1] if model.layers else None
    if isinstance(last, keras.layers.Softmax):
        return True
    return getattr(last, "activation", None) is keras.activations.softmax
