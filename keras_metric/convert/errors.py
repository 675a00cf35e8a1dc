"""The error of the converter."""


class ConversionError(ValueError):
    """A model cannot be converted without changing its outputs; the message names the layer."""
