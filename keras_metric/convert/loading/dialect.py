"""A layer of an old file in words of Keras 3: one row of `CHANGES` for everything that changed.

What no row names is refused: an argument that Keras 3 does not take, a class it does not have.
"""

import inspect
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import keras

from keras_metric.convert.errors import ConversionError
from keras_metric.convert.loading import keras_1
from keras_metric.convert.loading.changes import CHANGES, REMOVED
from keras_metric.convert.loading.mending import of_theano, of_version

_OF_EVERY_LAYER = {"name", "trainable", "dtype", "activity_regularizer", "autocast"}
_FIXED = {"rank", "pool_dimensions", "pool_mode"}  # by the class itself
_INNER = ("layer", "backward_layer", "cell")
_RENEW = "the original model, saved again with model.save('model.keras')"


@dataclass(frozen=True)
class Dialect:
    """Which Keras wrote a file.

    Attributes:
        file: its name, for errors.
        version: of Keras, such as "1.2.2" or "2.15.0".
        backend: "tensorflow", "theano", "cntk", or None where the file does not say.
        own: classes and functions of the caller, by name.
        image_format: the `data_format` of the file's layers.
        shapes: of each layer's first weight.
    """

    file: str
    version: str
    backend: str | None
    own: dict[str, Any] = field(default_factory=dict)
    image_format: str = "channels_last"
    shapes: dict[str, tuple[int, ...]] = field(default_factory=dict)

    @property
    def is_keras_1(self) -> bool:
        return self.version.startswith(("0", "1"))

    def layer(self, entry: dict) -> dict:
        """The entry of a layer, with its inner layers, as Keras 3 serializes it.

        Raises:
            ConversionError: with the layer, the argument, and what the file says.
        """
        kind, config = entry["class_name"], dict(entry["config"])
        if self._is_own(kind):
            config.pop("batch_input_shape", None)
            return {"module": None, "class_name": kind, "registered_name": kind, "config": config}
        if self.is_keras_1:
            shape = self.shapes.get(config.get("name", ""), ())
            renamed = partial(keras_1.renamed, image_format=self.image_format, shape=shape)
            kind, config = self._asked(renamed, kind, config)
        for name in _INNER:
            if isinstance(config.get(name), dict):
                config[name] = self.layer(config[name])
        if "cells" in config:
            config["cells"] = [self.layer(cell) for cell in config["cells"]]
        for change in CHANGES:
            if change.mend is not None:
                kind, config = self._asked(change.mend, kind, config)
        self._asked(partial(of_version, self.version), kind, config)
        if self.backend == "theano":
            self._asked(of_theano, kind, config)
        return self._serialized(kind, config, entry["class_name"])

    def refuse(self, kind: str, name: str, why: str) -> ConversionError:
        """The error for a layer without an equivalent."""
        return ConversionError(
            f"Keras 3 cannot read {self.file}: layer {name!r} ({kind}) {why}. Expected: layers "
            f"that Keras 3 has, custom_objects={{...}} for classes of your own, or {_RENEW}. "
            f"Received: a file of Keras {self.version}."
        )

    def _is_own(self, kind: str) -> bool:
        return keras.saving.get_registered_object(kind, self.own) is not None

    def _asked(self, change, kind: str, config: dict):
        try:
            return change(kind, config)
        except NotImplementedError as error:
            raise self.refuse(kind, config.get("name", "?"), str(error)) from None

    def _serialized(self, kind: str, config: dict, written: str) -> dict:
        name = config.get("name", "?")
        if kind in REMOVED:
            raise self.refuse(written, name, REMOVED[kind])
        entry = _of_ours(kind)
        cls = entry.pop("cls") if entry else getattr(keras.layers, kind, None)
        if cls is None:
            raise self.refuse(written, name, "is of a class that Keras 3 does not have")
        taken = _arguments(cls)
        for key in [k for k in config if k not in taken]:
            self._check_without_effect(written, name, key, config.pop(key))
        for change in CHANGES:
            for key, value in change.absent.items():
                if key in taken:
                    config.setdefault(key, value)
        entry = entry or {"module": "keras.layers", "class_name": kind, "registered_name": None}
        return entry | {"config": config}

    def _check_without_effect(self, kind: str, name: str, key: str, value) -> None:
        for change in CHANGES:
            if change.without_effect(kind, key, value):
                return
        raise self.refuse(kind, name, f"has {key}={value!r}, which Keras 3 does not take")


def _arguments(cls) -> set[str]:
    """What a layer's constructor takes, itself and by passing on."""
    taken: set[str] = set()
    for base in cls.__mro__:
        if base is keras.layers.Layer:
            taken |= _OF_EVERY_LAYER
            break
        if "__init__" not in vars(base):
            continue
        parameters = inspect.signature(base.__init__).parameters.values()
        taken |= {p.name for p in parameters if p.kind is not p.VAR_KEYWORD}
        if not any(p.kind is p.VAR_KEYWORD for p in parameters):
            break
    return taken - _FIXED


def _of_ours(kind: str) -> dict:
    from keras_metric.convert.loading import old_layers

    cls = getattr(old_layers, kind, None) if kind in old_layers.__all__ else None
    if cls is None:
        return {}
    named = keras.saving.get_registered_name(cls)
    return {"cls": cls, "module": cls.__module__, "class_name": kind, "registered_name": named}
