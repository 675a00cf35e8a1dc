"""The one error of the converter: a model that cannot be rewritten, and the layer that is why."""


class ConversionError(ValueError):
    """A model that cannot become fully convolutional without changing what it computes."""
