"""Compatibility with other libraries: `compat.tfa` has the names of TensorFlow Addons."""

from . import tfa

__all__ = ["tfa"]
