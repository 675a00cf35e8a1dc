"""The parts of a family: options, and layers that use them."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import keras
from keras import layers

from zoo.encoders.layers import FusedBatchNormalization


@dataclass(frozen=True)
class Options:
    """The options of a network, the same for every family."""

    width: float = 1.0
    weight_decay: float = 0.0
    dropout: float = 0.0
    squeeze_excite: bool = False
    weights: str | Path | None = None

    def channels(self, count: int) -> int:
        """`count` channels times the width, at least 1."""
        return max(1, round(count * self.width))

    def kernel(self) -> dict:
        """Arguments of every layer with a kernel: He initialisation and the weight decay."""
        decay = keras.regularizers.L2(self.weight_decay) if self.weight_decay else None
        return {"kernel_initializer": "he_normal", "kernel_regularizer": decay}


@dataclass(frozen=True)
class Family:
    """One family of encoders.

    - `features(images, name, options) -> (B, h, w, K)`, from images 0..255.
    - `pooling`: what `build(pooling=None)` means. `smallest`: the least height and width.
    - `hidden`: units and activations of the Dense layers between "flatten" and the last one.
    - `activation`: of the embedding, unless `build` is given one.
    - `accepts`: the options besides dropout that the family supports.
    - `load(model, name)`: loads the published weights into the built model, unless `features` does.
    - `class_token(images, name, options) -> (B, D)`: what `pooling="class_token"` takes.
    """

    features: Callable
    pooling: str = "average"
    smallest: int = 1
    hidden: tuple[tuple[int, str], ...] = ()
    activation: str | None = None
    accepts: frozenset[str] = field(default=frozenset({"width", "weight_decay"}))
    load: Callable | None = None
    class_token: Callable | None = None


def unit_range(images):
    """Images 0..255 as 0..1, inside the model."""
    return layers.Rescaling(1 / 255, name="scaling")(images)


def rgb(images):
    """Three channels: gray images are repeated."""
    if images.shape[-1] == 3:
        return images
    if images.shape[-1] == 1:
        return layers.Concatenate(name="rgb")([images, images, images])
    raise ValueError(
        f"This is a network for RGB. Expected: 1 or 3 channels. Received: {images.shape[-1]}."
    )


def conv_norm(
    x,
    filters,
    kernel,
    options,
    name,
    *,
    strides=1,
    number="",
    activation=True,
    gamma="ones",
    padding="same",
):
    """Convolution without bias, batch normalisation and ReLU: `{name}_conv{number}` and so on."""
    x = layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding=padding,
        use_bias=False,
        name=f"{name}_conv{number}",
        **options.kernel(),
    )(x)
    x = FusedBatchNormalization(
        momentum=0.9, epsilon=1e-5, gamma_initializer=gamma, name=f"{name}_norm{number}"
    )(x)
    return layers.ReLU(name=f"{name}_relu{number}")(x) if activation else x


def conv_relu(x, filters, kernel, options, name, *, strides=1, padding="same"):
    """Convolution with bias and ReLU, one layer."""
    return layers.Conv2D(
        filters,
        kernel,
        strides=strides,
        padding=padding,
        activation="relu",
        name=name,
        **options.kernel(),
    )(x)
