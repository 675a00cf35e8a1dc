"""Base class of networks with one shared encoder or two: embed the inputs, save the branches."""

import os
import tempfile
from pathlib import Path

import keras
from keras import ops, tree

Encoder = keras.Model | tuple[keras.Model, keras.Model]


class BranchNet(keras.Model):
    """Base class of the networks that embed several inputs with one encoder or two.

    `roles` names the inputs in order; `sides` gives, for two encoders, the one of each input.
    Subclasses compute the output from the embeddings.
    """

    roles: tuple[str, ...] = ()
    sides: tuple[int, ...] = ()
    branch_names: tuple[str, str] = ("a", "b")

    def __init__(
        self,
        encoder: Encoder,
        *,
        classifier: int | keras.Layer | None = None,
        name: str | None = None,
        **layer_options,
    ):
        super().__init__(name=name, **layer_options)
        self._encoders = _checked_encoders(encoder)
        self.classifier = _checked_classifier(classifier)
        if all(hasattr(e, "input_shape") and e.built for e in self._encoders):
            self.build([self._encoder_of(side).input_shape for side in self.sides])

    @property
    def encoder(self) -> keras.Model:
        """The embedding model that all inputs share."""
        if len(self._encoders) == 2:
            raise ValueError(
                f"{self.name!r} has no single encoder. "
                "Expected: `encoders` or `branches()` for a network of two encoders. "
                f"Received: encoders {[e.name for e in self._encoders]}."
            )
        return self._encoders[0]

    @property
    def encoders(self) -> tuple[keras.Model, keras.Model]:
        """The embedding models of the two branches; the same one twice if it is shared."""
        return self._encoders[0], self._encoders[-1]

    def branches(self) -> dict[str, keras.Model]:
        """Name of each branch -> its embedding model; `{"encoder": model}` if it is shared."""
        if len(self._encoders) == 1:
            return {"encoder": self._encoders[0]}
        return dict(zip(self.branch_names, self._encoders, strict=True))

    def save_branches(self, folder: str | os.PathLike) -> dict[str, Path]:
        """Save each branch as a model, `folder/NAME.keras`, atomically.

        Returns the path for each name of `branches()`. To export a SavedModel with a signature for
        each branch, pass the network to `keras_metric.export.saved_model`.
        """
        folder = Path(folder)
        folder.mkdir(parents=True, exist_ok=True)
        return {name: _save(model, folder / name) for name, model in self.branches().items()}

    def export(self, filepath, *arguments, **options):
        """As `keras.Model.export`; the network need not have been called before.

        Keras requires a call first, and on JAX neither `fit` nor `predict` of a network whose
        encoders were already built counts as one.
        """
        if all(getattr(encoder, "inputs", None) for encoder in self._encoders):
            self([_symbolic_input(self._encoder_of(side)) for side in self.sides])
        return super().export(filepath, *arguments, **options)

    def build(self, input_shape):
        shapes = _checked_inputs(input_shape, self.roles, is_leaf=_is_shape)
        for side, shape in zip(self.sides, shapes, strict=True):
            if not self._encoder_of(side).built:
                self._encoder_of(side).build(shape)
        if self.classifier is not None and not self.classifier.built:
            self.classifier.build(self._encoders[0].compute_output_shape(shapes[0]))
        self.built = True

    def embed(self, inputs, training=None) -> list:
        """One `(B, D)` embedding for each input.

        Inputs of one encoder are joined along the batch axis and embedded in one call, so that
        batch normalization sees them as one batch, and losses that the encoder adds count once.
        """
        inputs = _checked_inputs(inputs, self.roles)
        if len(self._encoders) == 1:
            return _embed_joined(self._encoders[0], inputs, self.roles, training)
        embeddings = [None] * len(inputs)
        for side in sorted(set(self.sides)):
            positions = [i for i, other in enumerate(self.sides) if other == side]
            joined = _embed_joined(
                self._encoders[side],
                [inputs[i] for i in positions],
                [self.roles[i] for i in positions],
                training,
            )
            for i, embedding in zip(positions, joined, strict=True):
                embeddings[i] = embedding
        _check_same_dimensions(embeddings, self._encoders)
        return embeddings

    def with_classes(self, name: str, output, embeddings: list):
        """`output`, or a dict of it and the classifier's output `(B, inputs, classes)`."""
        if self.classifier is None:
            return output
        return {name: output, "classes": self.classifier(ops.stack(embeddings, axis=1))}

    def _encoder_of(self, side: int) -> keras.Model:
        return self._encoders[min(side, len(self._encoders) - 1)]

    def get_config(self) -> dict:
        serialize = keras.saving.serialize_keras_object
        encoders = [serialize(encoder) for encoder in self._encoders]
        if _share_layers(self._encoders):
            # Keras marks an object as shared from its second serialization on
            encoders = [serialize(encoder) for encoder in self._encoders]
        return {
            **super().get_config(),
            "encoder": encoders[0] if len(encoders) == 1 else encoders,
            "classifier": self.classifier and serialize(self.classifier),
        }

    @classmethod
    def from_config(cls, config: dict):
        revive = keras.saving.deserialize_keras_object
        config = dict(config)
        encoder = config.pop("encoder")
        encoder = tuple(map(revive, encoder)) if isinstance(encoder, list) else revive(encoder)
        classifier = config.pop("classifier", None)
        return cls(encoder, classifier=classifier and revive(classifier), **config)


def _embed_joined(encoder: keras.Model, inputs: list, roles, training) -> list:
    if len(inputs) == 1:
        return [_checked_embedding(encoder(inputs[0], training=training), encoder)]
    _check_same_shapes(inputs, roles)
    joined = tree.map_structure(lambda *parts: ops.concatenate(parts, axis=0), *inputs)
    embedding = _checked_embedding(encoder(joined, training=training), encoder)
    parts = ops.reshape(embedding, (len(inputs), -1, embedding.shape[-1]))
    return [parts[i] for i in range(len(inputs))]


def _checked_encoders(encoder) -> tuple[keras.Model, ...]:
    encoders = tuple(encoder) if isinstance(encoder, (tuple, list)) else (encoder,)
    if not 1 <= len(encoders) <= 2 or not all(isinstance(e, keras.Model) for e in encoders):
        raise TypeError(
            "The encoder cannot be used. Expected: a keras.Model, or a tuple of two for unshared "
            f"branches. Received: {encoder!r}."
        )
    return encoders[:1] if encoders[0] is encoders[-1] else encoders


def _share_layers(encoders) -> bool:
    first, *rest = ({id(variable) for variable in encoder.variables} for encoder in encoders)
    return any(first & other for other in rest)


def _checked_classifier(classifier) -> keras.Layer | None:
    if classifier is None or isinstance(classifier, keras.Layer):
        return classifier
    if isinstance(classifier, int) and not isinstance(classifier, bool) and classifier > 0:
        return keras.layers.Dense(classifier, name="classifier")
    raise TypeError(
        "The classifier cannot be used. Expected: a number of classes, a keras.Layer from "
        f"embeddings to logits, or None. Received: {classifier!r}."
    )


def _symbolic_input(encoder: keras.Model):
    tensors = [keras.KerasTensor(tensor.shape, tensor.dtype) for tensor in encoder.inputs]
    return tensors[0] if len(tensors) == 1 else tree.pack_sequence_as(encoder.input, tensors)


def _is_shape(structure) -> bool:
    return isinstance(structure, (tuple, list)) and all(
        size is None or isinstance(size, int) for size in structure
    )


def _checked_inputs(inputs, roles, is_leaf=lambda _: False) -> list:
    if not isinstance(inputs, (tuple, list)) or is_leaf(inputs) or len(inputs) != len(roles):
        raise ValueError(
            f"The input has the wrong structure. Expected: a tuple of {len(roles)} inputs "
            f"({', '.join(roles)}). Received: {_described(inputs)}."
        )
    return list(inputs)


def _described(inputs) -> str:
    if isinstance(inputs, (tuple, list)):
        return f"a {type(inputs).__name__} of {len(inputs)}"
    shape = getattr(inputs, "shape", None)
    return f"{type(inputs).__name__}" + (f" of shape {tuple(shape)}" if shape is not None else "")


def _check_same_shapes(inputs: list, roles) -> None:
    shapes = [[tuple(x.shape) for x in tree.flatten(part)] for part in inputs]
    known = [[tuple(shape) for shape in part] for part in shapes]
    for part in known[1:]:
        for first, other in zip(known[0], part, strict=True):
            if len(first) != len(other) or any(
                a is not None and b is not None and a != b
                for a, b in zip(first, other, strict=True)
            ):
                raise ValueError(
                    "Inputs of one shared encoder differ in shape. Expected: the same shape for "
                    f"{', '.join(roles)}. Received: {shapes}. (Inputs of different sizes need "
                    "two encoders.)"
                )


def _checked_embedding(embedding, encoder: keras.Model):
    shape = getattr(embedding, "shape", None)
    if shape is None or len(shape) != 2:
        received = f"shape {tuple(shape)}" if shape is not None else _described(embedding)
        raise ValueError(
            f"Encoder {encoder.name!r} does not give embeddings. Expected: one tensor of shape "
            f"(batch, dimensions). Received: {received}."
        )
    return embedding


def _check_same_dimensions(embeddings: list, encoders) -> None:
    dimensions = {embedding.shape[-1] for embedding in embeddings}
    if len(dimensions) > 1:
        raise ValueError(
            "The branches embed into different spaces. Expected: encoders of the same number of "
            f"dimensions. Received: {dimensions} from {[e.name for e in encoders]}."
        )


def _save(model: keras.Model, path: Path) -> Path:
    path = path.with_name(path.name + ".keras")
    with tempfile.TemporaryDirectory(dir=path.parent) as folder:
        beside = Path(folder) / path.name
        model.save(beside)
        os.replace(beside, path)
    return path
