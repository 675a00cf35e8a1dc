"""Metric learning, fully convolutional networks and activation maps for Keras 3.

    import keras_metric as km

Each name below is a submodule, or a name of one, imported when it is first used.
"""

from importlib import import_module

from keras_metric.saved_classes import import_when_met
from keras_metric.version import VERSION as __version__

_SUBMODULES = (
    "batches",
    "cam",
    "compat",
    "convert",
    "diagnostics",
    "distances",
    "export",
    "heads",
    "image_files",
    "location",
    "losses",
    "memory",
    "metrics",
    "miners",
    "models",
    "pairs",
    "plots",
    "pooling",
    "preprocessing",
    "retrieval",
    "serve",
)

_HOMES = {"Locator": "location", "Preprocessing": "preprocessing", "locate": "location"}

__all__ = ["__version__", *_HOMES, *_SUBMODULES]

import_when_met()


def __getattr__(name: str):
    if name in _SUBMODULES:
        return import_module(f"keras_metric.{name}")
    if name in _HOMES:
        return getattr(import_module(f"keras_metric.{_HOMES[name]}"), name)
    raise AttributeError(
        f"keras_metric has no such attribute. Expected: one of "
        f"{', '.join([*_HOMES, *_SUBMODULES])}. Received: {name!r}."
    )


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOMES, *_SUBMODULES])
