"""Weights given to a model that was just built: tensors of PyTorch, or a file of Keras."""

from pathlib import Path

import keras
import numpy as np

__all__ = ["assign", "last_layer", "load_file"]

_NORM = ("weight", "bias", "running_mean", "running_var")


def assign(model: keras.Model, tensors: dict[str, np.ndarray], names: dict[str, str]) -> None:
    """Give the layers `names` names the tensors with their prefixes.

    Kernels of convolutions are (out, in, h, w) in PyTorch and (h, w, in, out) here, depthwise ones
    (channels, 1, h, w) and (h, w, channels, 1).
    """
    for layer, prefix in names.items():
        layer = model.get_layer(layer)
        if isinstance(layer, keras.layers.BatchNormalization):
            layer.set_weights([tensors[f"{prefix}.{part}"] for part in _NORM])
        elif isinstance(layer, keras.layers.DepthwiseConv2D):
            layer.set_weights([tensors[f"{prefix}.weight"].transpose(2, 3, 0, 1)])
        else:
            layer.set_weights([tensors[f"{prefix}.weight"].transpose(2, 3, 1, 0)])


def last_layer(model: keras.Model, name: str, kernel: tuple[int, int]):
    """The Dense layer `name` if the model has it with a kernel of that shape, else None."""
    found = next((layer for layer in model.layers if layer.name == name), None)
    return found if found is not None and tuple(found.kernel.shape) == kernel else None


def load_file(model: keras.Model, path: Path) -> None:
    """Give `model` the weights of a file.

    `.weights.h5`: of a model with the same layers. `.keras`: of a model that has every layer with
    weights that this one has, by name and shape; only the last one, embedding or logits, may differ
    or lack, and then stays as it was initialized.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another kind of file, or a model with other layers.
    """
    if not path.is_file():
        raise FileNotFoundError(
            "There is no file of weights. Expected: a .keras or .weights.h5 file. "
            f"Received: {path}."
        )
    if path.name.endswith(".weights.h5"):
        model.load_weights(path)
    elif path.suffix == ".keras":
        from zoo.runs.runs import load

        _copy(load(path), model, path)
    else:
        raise ValueError(
            f"The weights are in an unknown format. Expected: a .keras or .weights.h5 file. "
            f"Received: {path.name}."
        )


def _copy(source: keras.Model, model: keras.Model, path: Path) -> None:
    given = {layer.name: layer.get_weights() for layer in source.layers if layer.weights}
    wanted = [layer for layer in model.layers if layer.weights]

    def fits(layer):
        shapes = [tuple(weight.shape) for weight in layer.weights]
        return [weight.shape for weight in given.get(layer.name, ())] == shapes

    other = [layer.name for layer in wanted if not fits(layer)]
    if set(other) - {wanted[-1].name} or len(other) == len(wanted):
        raise ValueError(
            f"The model in {path.name} has other layers. Expected: the layers of {model.name}, by "
            f"name and shape. Received: no fitting {', '.join(other[:5])}."
        )
    for layer in wanted:
        if layer.name not in other:
            layer.set_weights(given[layer.name])
