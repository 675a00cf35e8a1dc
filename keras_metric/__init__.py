"""Metric learning, fully convolutional networks and activation maps for Keras 3.

    import keras_metric as km

Each name below is a submodule, or a name of `location`, imported when it is first used.
"""

from importlib import import_module

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
    "retrieval",
    "serve",
)

_OF_LOCATION = ("Locator", "locate")

__all__ = ["__version__", *_OF_LOCATION, *_SUBMODULES]


def __getattr__(name: str):
    if name in _SUBMODULES:
        return import_module(f"keras_metric.{name}")
    if name in _OF_LOCATION:
        return getattr(import_module("keras_metric.location"), name)
    raise AttributeError(
        f"keras_metric has no such attribute. Expected: one of "
        f"{', '.join([*_OF_LOCATION, *_SUBMODULES])}. Received: {name!r}."
    )


def __dir__() -> list[str]:
    return sorted([*globals(), *_OF_LOCATION, *_SUBMODULES])
