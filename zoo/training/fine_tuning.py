"""Fine-tuning of a pretrained encoder: what learns, how fast, and which adapters it gets.

Plain functions beside Keras's own parts; `compile`, `fit` and the callbacks stay as they are.

    encoder = zoo.encoders.build("efficientnet_lite0", (160, 160, 3), weights="imagenet")
    zoo.fine_tuning.freeze(encoder, "block5_expand_conv")
    rates = zoo.fine_tuning.layer_rates(encoder, first=0.1)
    schedule = zoo.fine_tuning.warm_up_cosine(1e-3, steps=1000)
    optimizer = zoo.fine_tuning.LayerwiseAdamW(schedule, rates=rates, use_ema=True)
    encoder.compile(optimizer, SupConLoss())
    encoder.fit(batches, epochs=10, callbacks=[zoo.fine_tuning.KeepBest(images, labels)])
"""

from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_metric.arguments import number, whole
from zoo.training.keep_best import KeepBest

__all__ = [
    "KeepBest",
    "LayerwiseAdamW",
    "LayerwiseRates",
    "LayerwiseSGD",
    "enable_lora",
    "freeze",
    "layer_rates",
    "merge_lora",
    "start_from_discriminants",
    "warm_up_cosine",
]


def freeze(
    encoder: keras.Model,
    depth: float | str,
    *,
    normalization: bool = True,
    depthwise: bool = False,
) -> tuple[str, ...]:
    """Freeze the layers nearest to the input, let the others learn; names of the frozen ones.

    Call it before `compile`, as often as wanted: `freeze(encoder, 0)` lets all layers learn again.
    A frozen BatchNormalization is in inference mode: it uses its moving averages and leaves them
    as they are.

    Args:
        encoder: a model; the layers of models inside it are taken one by one.
        depth: the share of the layers with weights that is frozen, from 0 to 1, or the name of the
            first layer that learns.
        normalization: freeze every BatchNormalization, those above `depth` too.
        depthwise: freeze every DepthwiseConv2D too: few weights, whose gradients cost most of a
            step on a CPU.

    Raises:
        ValueError: a share out of range, or a layer that the encoder does not have.
    """
    found = list(_with_weights(encoder))
    count = _count_below(encoder, found, depth)
    kinds = {
        keras.layers.BatchNormalization: normalization,
        keras.layers.DepthwiseConv2D: depthwise,
    }
    fixed = tuple(kind for kind in kinds if kinds[kind] and depth != 0)
    frozen = []
    for place, layer in enumerate(found):
        layer.trainable = not (place < count or isinstance(layer, fixed))
        if not layer.trainable:
            frozen.append(layer.name)
    return tuple(frozen)


def layer_rates(encoder: keras.Model, first: float = 0.1) -> dict[str, float]:
    """Path of each variable -> factor of its learning rate: `first` at the input, 1 at the output.

        factor of layer i of n = first^(1 - i / (n - 1))

    over the layers with weights. `LayerwiseRates` takes it; variables that are not named, such as
    those of a head, learn at the whole rate. Howard and Ruder, "Universal Language Model
    Fine-tuning for Text Classification", 2018, arXiv:1801.06146, section 3.2.

    Raises:
        ValueError: `first` is not above 0 and at most 1, or the encoder has no weights.
    """
    first = number("first", first, above=0, most=1)
    found = list(_with_weights(encoder))
    if not found:
        raise ValueError(
            f"There is nothing to fine-tune in {encoder.name!r}. Expected: layers with weights. "
            "Received: none; a model has them once it is built."
        )
    last = max(len(found) - 1, 1)
    return {
        variable.path: first ** (1 - place / last)
        for place, layer in enumerate(found)
        for variable in layer.weights
    }


@keras.saving.register_keras_serializable("keras_metric")
class LayerwiseRates(keras.optimizers.Optimizer):
    """Makes an optimizer of Keras multiply its learning rate by a factor for each variable.

        class LayerwiseLion(LayerwiseRates, keras.optimizers.Lion):
            pass

    The factor also counts for weight decay. Everything else (schedules, `use_ema`, clipping,
    accumulated gradients) is the optimizer's.

    Args:
        rates: path of a variable -> factor, as from `layer_rates`; variables not named have 1.
        arguments, options: those of the optimizer.

    Raises:
        ValueError: a factor that is not a finite number from 0, or rates of another model.
    """

    def __init__(self, *arguments, rates: Mapping[str, float], **options):
        super().__init__(*arguments, **options)
        self.rates = {path: number(f"rates[{path!r}]", rates[path], least=0) for path in rates}

    def build(self, variables):
        variables = list(variables)
        paths = [variable.path for variable in variables]
        if self.rates and self.rates.keys().isdisjoint(paths):
            raise ValueError(
                "The rates are those of another model. Expected: paths such as "
                f"{', '.join(paths[:3])}. Received: {', '.join(list(self.rates)[:3])}."
            )
        super().build(variables)
        self._factors = tuple(self.rates.get(path, 1.0) for path in paths)

    def update_step(self, gradient, variable, learning_rate):
        rate = ops.cast(learning_rate, variable.dtype) * self._factor(variable)
        super().update_step(gradient, variable, rate)

    def _apply_weight_decay(self, variables):
        if self.weight_decay is None:
            return
        whole_decay, variables = self.weight_decay, list(variables)
        try:
            for factor in sorted({self._factor(variable) for variable in variables}):
                self.weight_decay = whole_decay * factor
                group = [variable for variable in variables if self._factor(variable) == factor]
                super()._apply_weight_decay(group)
        finally:
            self.weight_decay = whole_decay

    def _factor(self, variable) -> float:
        return self._factors[self._get_variable_index(variable)]

    def get_config(self):
        return {**super().get_config(), "rates": dict(self.rates)}


@keras.saving.register_keras_serializable("keras_metric")
class LayerwiseAdamW(LayerwiseRates, keras.optimizers.AdamW):
    """`keras.optimizers.AdamW` with `rates`: a factor of the learning rate for each variable."""


@keras.saving.register_keras_serializable("keras_metric")
class LayerwiseSGD(LayerwiseRates, keras.optimizers.SGD):
    """`keras.optimizers.SGD` with `rates`: a factor of the learning rate for each variable."""


def warm_up_cosine(
    rate: float, steps: int, *, warm_up: float = 0.1
) -> keras.optimizers.schedules.CosineDecay:
    """A learning rate that climbs to `rate` along a line and falls to 0 along half a cosine.

    Args:
        rate: the highest learning rate.
        steps: batches of the whole training.
        warm_up: the share of them in which it climbs.

    Raises:
        ValueError: a rate that is not above 0, no steps, or a share out of [0, 1).
    """
    rate, steps = number("rate", rate, above=0), whole("steps", steps)
    climbing = round(number("warm_up", warm_up, least=0, below=1) * steps)
    if not climbing:
        return keras.optimizers.schedules.CosineDecay(rate, steps)
    return keras.optimizers.schedules.CosineDecay(
        0.0, max(steps - climbing, 1), warmup_target=rate, warmup_steps=climbing
    )


def start_from_discriminants(
    embedding: keras.layers.Dense,
    head: keras.layers.Layer | None,
    features: np.ndarray,
    labels: np.ndarray,
    *,
    shrinkage: float = 0.2,
    noise: float = 0.1,
) -> None:
    """Give an embedding, and a head above it, the weights of linear discriminant analysis.

        embedding(x) = s W^T (x - mean),   head: the means of the classes, as unit vectors

    The first columns of W are the directions that tell the classes apart, most important first,
    after the covariance within the classes was whitened; the others are random directions of length
    `noise`. s makes embeddings as long as 1 on average. So training begins where a frozen backbone
    with LDA ends, and not with an embedding that knows nothing.

    Args:
        embedding: a linear Dense layer, built, on the features.
        head: a head of `keras_metric.heads` with one center a class, built; or None.
        features: `(N, D)` of the backbone as it is, of the photos to learn from.
        labels: `(N,)` integers 0 to classes - 1.
        shrinkage: of the covariance towards a multiple of the identity; Ledoit and Wolf 2004.
        noise: length of the random directions beside the whitened ones.

    Raises:
        ValueError: features that do not fit the layer, or fewer than two classes.
    """
    kernel = embedding.kernel
    features, labels = np.asarray(features, np.float64), np.asarray(labels)
    classes, labels = np.unique(labels, return_inverse=True)
    if features.ndim != 2 or features.shape[1] != kernel.shape[0] or len(classes) < 2:
        raise ValueError(
            f"The embedding cannot start from these features. Expected: (N, {kernel.shape[0]}) of "
            f"two classes or more. Received: shape {features.shape}, {len(classes)} classes."
        )
    means = np.stack([features[labels == label].mean(0) for label in range(len(classes))])
    middle = features.mean(0)
    whitening = _whitening(features - means[labels], shrinkage)
    directions = np.linalg.svd((means - middle) @ whitening, full_matrices=False)[2]
    directions = directions[: min(len(classes) - 1, kernel.shape[1])]
    rest = np.random.default_rng(0).normal(size=(kernel.shape[1] - len(directions), len(middle)))
    rest *= noise / np.linalg.norm(rest, axis=1, keepdims=True)
    weights = whitening @ np.concatenate([directions, rest]).T
    weights /= np.sqrt((((features - middle) @ weights) ** 2).sum(1).mean())
    embedding.set_weights([weights, -middle @ weights][: len(embedding.weights)])
    if head is not None:
        vectors = (means - middle) @ weights
        head.set_weights([vectors / np.linalg.norm(vectors, axis=1, keepdims=True)])


def _whitening(within: np.ndarray, shrinkage: float) -> np.ndarray:
    """(D, D): the inverse root of the covariance of what is left within the classes."""
    covariance = within.T @ within / len(within)
    size = len(covariance)
    covariance *= 1 - shrinkage
    covariance[np.diag_indices(size)] += (
        shrinkage * np.trace(within.T @ within) / len(within) / size
    )
    values, vectors = np.linalg.eigh(covariance)
    return vectors / np.sqrt(np.maximum(values, 1e-12))


def enable_lora(encoder: keras.Model, rank: int = 8) -> tuple[str, ...]:
    """Freeze the encoder but for adapters of low rank in its kernels; names of layers with one.

        kernel' = kernel + A B,   A: (inputs, rank), B: (rank, outputs), B = 0 at first

    Every layer that offers Keras's `enable_lora` gets adapters and keeps its bias learning: Dense,
    EinsumDense, Embedding, Conv2D; DepthwiseConv2D and BatchNormalization do not and are frozen.
    Call it before `compile`, and `merge_lora` after `fit`. Hu et al., "LoRA: Low-Rank Adaptation of
    Large Language Models", 2021, arXiv:2106.09685, equation 3.

    Raises:
        ValueError: a rank below 1, adapters that are there already, or no layer that offers them.
    """
    rank = whole("rank", rank)
    layers = [x for x in encoder._flatten_layers(include_self=False) if x.weights]
    able = [x for x in layers if hasattr(x, "enable_lora") and not isinstance(x, keras.Model)]
    if not able or any(layer.lora_enabled for layer in able):
        raise ValueError(
            f"{encoder.name!r} cannot get adapters. Expected: layers that offer enable_lora and "
            f"have none yet. Received: {len(able)} layers that offer it, "
            f"{sum(layer.lora_enabled for layer in able)} of them with adapters."
        )
    inside = {id(part) for layer in able for part in layer._flatten_layers()}
    for layer in layers:
        if not any(True for _ in layer._flatten_layers(include_self=False)):
            layer.trainable = id(layer) in inside
    for layer in able:
        layer.enable_lora(rank)
    return tuple(layer.name for layer in able)


def merge_lora(encoder: keras.Model) -> keras.Model:
    """A copy of the encoder with its adapters added to the kernels, without further weights."""
    plain = keras.models.clone_model(encoder, clone_function=_without_lora, recursive=True)
    both = zip(encoder._flatten_layers(), plain._flatten_layers(), strict=True)
    for adapted, merged in both:
        kept: dict[str, Any] = {}
        adapted.save_own_variables(kept)  # Keras adds the adapters to the kernels
        merged.load_own_variables({key: ops.convert_to_numpy(kept[key]) for key in kept})
    return plain


def _without_lora(layer: keras.Layer) -> keras.Layer:
    config = layer.get_config()
    for key in ("lora_rank", "lora_alpha"):
        config.pop(key, None)
    return type(layer).from_config(config)


def _with_weights(model: keras.Model) -> Iterator[keras.Layer]:
    """The layers with weights, from input to output; those of models inside one by one."""
    for layer in model.layers:
        if isinstance(layer, keras.Model):
            yield from _with_weights(layer)
        elif layer.weights:
            yield layer


def _count_below(encoder: keras.Model, found: list[keras.Layer], depth: float | str) -> int:
    if not isinstance(depth, str):
        return round(number("depth", depth, least=0, most=1) * len(found))
    names = [layer.name for layer in found]
    if depth not in names:
        raise ValueError(
            f"{encoder.name!r} has no layer with weights of that name. Expected: one of "
            f"{', '.join(names[:4])}, ... {', '.join(names[-2:])}. Received: {depth!r}."
        )
    return names.index(depth)
