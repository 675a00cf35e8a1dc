"""The range of pixels that a model was trained on, as far as the model shows it.

A model with a scaling layer takes pixels from 0 to 255. One that was trained on pixels scaled
outside of it, such as `x / 255` in a data pipeline, has no record of it: its outputs for pixels
from 0 to 255 are wrong without an error.
"""

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import keras

RANGES = {"0..255": (0.0, 255.0), "0..1": (0.0, 1.0), "-1..1": (-1.0, 1.0)}
BYTES = "0..255"

_SCALES = ("Rescaling", "Normalization", "ImageNetScaling", "Multiply", "Subtract", "TrueDivide")
_PASSES = ("InputLayer", "Permute", "Reshape", "Cast", "Resizing", "CenterCrop", "Identity")
_RANDOM = "Random"  # layers of augmentation leave the range as it is
_FAR = 16.0  # times the deviation that batch normalization remembers


class Evidence(NamedTuple):
    """`range`: a key of `RANGES`, or None if it is unknown; `reason`: a sentence."""

    range: str | None
    reason: str


def known(name: str) -> tuple[float, float]:
    """The least and the largest pixel of a range.

    Raises:
        ValueError: it is none of `RANGES`.
    """
    if name not in RANGES:
        raise ValueError(
            f"Unknown range of pixels. Expected: one of {', '.join(RANGES)}. Received: {name!r}."
        )
    return RANGES[name]


def trained_on(model: "keras.Model") -> Evidence:
    """The range of pixels that the first layers of a model indicate.

    A layer that scales comes first: 0 to 255. Else the statistics of the first batch normalization
    are compared with those that noise of each range gives there.
    """
    first = _first_with_weights(model)
    if first is None:
        return Evidence(BYTES, "a layer of the model scales the pixels")
    norm = next((x for x in _layers(model) if "BatchNormalization" in type(x).__name__), None)
    if norm is None:
        return Evidence(None, f"no layer before {first!r} scales the pixels")
    deviations = _against(model, norm)
    if deviations is None:
        return Evidence(None, f"no layer before {first!r} scales the pixels")
    nearest = min(deviations, key=lambda name: abs(np.log(deviations[name])))
    listed = ", ".join(f"{value:.2g} for {name}" for name, value in deviations.items())
    reason = f"deviations before {norm.name!r} over those it remembers: {listed}"
    return Evidence(nearest, reason)


def warning(model: "keras.Model", chosen: str) -> str | None:
    """A warning if a model may need other pixels than it will get; else None."""
    found = trained_on(model)
    if found.range == chosen:
        return None
    if found.range is None:
        return (
            None
            if chosen != BYTES
            else f"the model gets pixels from 0 to 255, and {found.reason}. If it was trained on "
            "pixels scaled outside of it, say --pixels 0..1 or --pixels=-1..1"
        )
    if found.range != BYTES and chosen != BYTES:
        return None  # 0..1 and -1..1 differ too little to be told apart by their statistics
    return (
        f"the model gets pixels of {chosen}, but seems to be trained on {found.range} "
        f"({found.reason}). Say --pixels={found.range} if it was"
    )


def _layers(model) -> list:
    """The layers in the order of the graph, those of nested models in their place."""
    found = []
    for layer in model.layers:
        found += _layers(layer) if hasattr(layer, "layers") else [layer]
    return found


def _first_with_weights(model) -> str | None:
    """The first layer that neither scales nor leaves the range; None where one scales before it."""
    for layer in _layers(model):
        kind = type(layer).__name__
        if kind in _SCALES:
            return None
        if kind not in _PASSES and not kind.startswith(_RANDOM):
            return layer.name
    return None


def _against(model, norm) -> dict[str, float] | None:
    """Deviation of noise before `norm` over the one it remembers, for each range; None: unknown."""
    import keras
    from keras import ops

    shape = model.input_shape
    if not isinstance(shape, tuple) or len(shape) != 4 or norm not in model.layers:
        return None
    try:
        before = keras.Model(model.inputs[0], norm.input)
    except (ValueError, AttributeError):
        return None
    sides = [side or 64 for side in shape[1:]]
    pixels = _pictures(np.random.default_rng(0), sides)
    remembered = np.sqrt(ops.convert_to_numpy(norm.moving_variance) + 1e-12)
    found = {}
    for name, (low, high) in RANGES.items():
        answer = ops.convert_to_numpy(before(low + pixels * (high - low), training=False))
        axes = tuple(range(answer.ndim - 1))
        found[name] = float(np.median((answer.std(axes) + 1e-12) / remembered))
    far = all(abs(np.log(value)) > np.log(_FAR) for value in found.values())
    return None if far else found


def _pictures(rng: np.random.Generator, sides: list[int]) -> np.ndarray:
    """Eight pictures of patches of light and dark, from 0 to 1, as photographs have them."""
    height, width, channels = sides
    coarse = rng.random((8, -(-height // 4), -(-width // 4), channels), dtype=np.float32)
    large = coarse.repeat(4, axis=1).repeat(4, axis=2)[:, :height, :width]
    return 0.7 * large + 0.3 * rng.random(large.shape, dtype=np.float32)
