"""The training size of a converted network, kept where every file keeps it: in a layer's name.

Behind each image input stands an `Identity` layer named after the size it was trained on, as in

    trained_on_28x28    trained_on_224x224_map    trained_on_64x64_densify_4

A standard layer that does nothing, so `save`, `load_model`, `clone_model` and a rename of the model
keep it, and reading it back needs neither custom objects nor this package.
"""

import re
from dataclasses import dataclass

import keras
from keras import layers

_NAME = re.compile(r"trained_on_(\d+(?:x\d+)*)(_map)?(?:_densify_(\d+))?(?:_\d+)?")


@dataclass(frozen=True)
class Note:
    """What a converted network remembers of its conversion: see `Conversion`."""

    window: tuple[int, ...]
    pooling: str = "window"
    densify: int = 1

    @property
    def name(self) -> str:
        size = "x".join(map(str, self.window))
        reading = "_map" if self.pooling == "map" else ""
        finer = f"_densify_{self.densify}" if self.densify > 1 else ""
        return f"trained_on_{size}{reading}{finer}"


def write(image, name: str):
    """The same image behind a layer of that name, in the precision it came in."""
    return layers.Identity(dtype=image.dtype if "float" in image.dtype else None, name=name)(image)


def read(fcn: keras.Model) -> Note | None:
    """The note behind the first image input that has one; None for a network without."""
    for layer in getattr(fcn, "layers", ()):
        found = _NAME.fullmatch(layer.name) if isinstance(layer, layers.Identity) else None
        if found:
            window = tuple(map(int, found[1].split("x")))
            return Note(window, "map" if found[2] else "window", int(found[3] or 1))
    return None
