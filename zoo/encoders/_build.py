"""Scaling, features, pooling, last layer: the frame around every family."""

import re
from dataclasses import replace
from pathlib import Path

import keras
from keras import layers

from keras_metric.pooling import GeM
from zoo.encoders._parts import Family, Options
from zoo.encoders._weights import load_file
from zoo.encoders.layers import UnitLength


def assemble(
    name: str,
    family: Family,
    input_shape: tuple,
    options: Options,
    *,
    embedding: int | None,
    classes: int | None,
    normalize: bool,
    pooling: str | None,
    activation: str | None,
) -> keras.Model:
    """The model `zoo.encoders.build` describes."""
    pooling = pooling or family.pooling
    _check(name, family, input_shape, options, pooling)
    _check_output(embedding, classes, normalize)
    published = options.weights == "imagenet"
    file = None if published or options.weights is None else Path(options.weights)
    options = options if published else replace(options, weights=None)
    images = keras.Input(input_shape, name="images")
    if pooling == "class_token":
        x = family.class_token(images, name, options)
    else:
        x = _pool(family.features(images, name, options), family, options, pooling)
    if options.dropout:
        x = layers.Dropout(options.dropout, name="dropout")(x)
    if classes is not None:
        x = layers.Dense(classes, activation, name="logits", **options.kernel())(x)
    elif embedding is not None:
        chosen = activation or family.activation
        x = layers.Dense(embedding, chosen, name="embedding", **options.kernel())(x)
    if normalize:
        x = UnitLength(name="unit_length")(x)
    model = keras.Model(images, x, name=_plain(name))
    if published and family.load is not None:
        family.load(model, name)
    if file is not None:
        load_file(model, file)
    return model


def _plain(name: str) -> str:
    """The name of an encoder as that of a Keras model."""
    last = name.rpartition("/")[-1] if "/" in name else name.rpartition(".")[-1]
    return re.sub(r"\W", "_", last).lower()


def _pool(x, family: Family, options: Options, pooling: str):
    if pooling == "average":
        return layers.GlobalAveragePooling2D(name="pool")(x)
    if pooling == "gem":
        return GeM(name="pool")(x)
    x = layers.Flatten(name="pool")(x)
    for number, (units, activation) in enumerate(family.hidden, 1):
        if options.dropout:
            x = layers.Dropout(options.dropout, name=f"hidden{number}_dropout")(x)
        units = options.channels(units)
        x = layers.Dense(units, activation, name=f"hidden{number}", **options.kernel())(x)
    return x


def _check(name: str, family: Family, input_shape: tuple, options: Options, pooling: str) -> None:
    if len(input_shape) != 3 or not input_shape[2]:
        raise ValueError(
            "The input shape of an encoder is that of one image. Expected: (height, width, "
            "channels). "
            f"Received: {input_shape}."
        )
    ways = ["average", "gem", "flatten", *(["class_token"] if family.class_token else [])]
    if pooling not in ways:
        raise ValueError(
            f"Unknown pooling of {name}. Expected: {', '.join(ways)} or None. "
            f"Received: {pooling!r}."
        )
    known = [side for side in input_shape[:2] if side is not None]
    if any(side < family.smallest for side in known):
        raise ValueError(
            f"The images are too small for {name}. Expected: at least {family.smallest} x "
            f"{family.smallest}. Received: input_shape={input_shape}."
        )
    if len(known) < 2 and pooling == "flatten":
        raise ValueError(
            "Images of any size have no fixed number of positions. Expected: pooling='average' or "
            "'gem', or a "
            f"known height and width. Received: pooling='flatten', input_shape={input_shape}."
        )
    if options.width <= 0 or options.weight_decay < 0 or not 0 <= options.dropout < 1:
        raise ValueError(
            "An option is out of range. Expected: width > 0, weight_decay >= 0, 0 <= dropout < 1. "
            f"Received: {options}."
        )
    for option in ("width", "weight_decay", "squeeze_excite", "weights"):
        value = getattr(options, option)
        if option == "weights" and value != "imagenet":
            continue  # a file, which any family takes
        if value != getattr(Options(), option) and option not in family.accepts:
            has = ", ".join(sorted({"dropout", *family.accepts}))
            raise ValueError(
                f"{name} has no option {option}. Expected: {has}. Received: {option}={value!r}."
            )


def _check_output(embedding: int | None, classes: int | None, normalize: bool) -> None:
    if classes is not None and (classes < 1 or normalize):
        raise ValueError(
            "A classifier has logits, not embeddings. Expected: classes >= 1 and normalize=False. "
            f"Received: classes={classes}, normalize={normalize}."
        )
    if embedding is not None and embedding < 1:
        raise ValueError(
            f"The embedding is empty. Expected: embedding >= 1 or None. Received: {embedding}."
        )
