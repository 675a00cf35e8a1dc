"""Other libraries' names and signatures over this one: `compat.tfa` for TensorFlow Addons."""

from . import tfa

__all__ = ["tfa"]
